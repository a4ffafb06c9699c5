//! Writing into the list, and offering again what it lacks.

use cloakroom_core::PrincipalId;
use cloakroom_store::{ErrorKind, RevocationEntry, StoreError, Verb};

use super::copy::{Copy, Lacking};
use super::dues::{Acknowledged, Followed, MOST_DUES};
use super::mark::OFFER_BITS;
use super::{Mirror, Need};

/// What was sent and is withdrawn when this is dropped, unless the list said yes before.
struct Sent<'a> {
    mirror: &'a Mirror,
    entries: &'a [RevocationEntry],
    followed: Followed,
}

impl<'a> Sent<'a> {
    fn by(mirror: &'a Mirror, entries: &'a [RevocationEntry]) -> Self {
        let followed = mirror.dues.lock().send(entries);
        Self { mirror, entries, followed }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.mirror.dues.lock().withdraw(self.entries);
    }
}

impl Mirror {
    /// Writes entries down. They hold here once the list has acknowledged them.
    ///
    /// # Errors
    /// [`StoreError`]; nothing holds here. Where it says so, they may be in the list.
    pub(crate) async fn write(&self, entries: &[RevocationEntry]) -> Result<(), StoreError> {
        let entries = self.under_fresh_nonces(entries)?;
        let sent = Sent::by(self, &entries);
        self.add(&entries).await?;
        self.acknowledged(&entries, sent.followed);
        Ok(())
    }

    /// Reads the list, and until whatever ended all of a principal's sessions here is met in it: what was lost is offered at once.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read, or does not have all of that.
    pub(crate) async fn know(&self, principal: Option<&PrincipalId>) -> Result<(), StoreError> {
        for _ in 0..KNOWN_IN {
            self.refresh(Need::Fresh).await?;
            if !self.after(principal).has_unread {
                return Ok(());
            }
            self.offer().await?;
        }
        Err(self.unread(ErrorKind::Unavailable))
    }

    /// Entries that the list could not take, or may not have taken, hold here, and are offered to it until it has them.
    pub(crate) fn owe(&self, entries: &[RevocationEntry]) {
        self.dues.lock().owe(&self.copy, entries);
        self.streams.listed(entries.iter().map(|entry| &entry.scope));
        self.written.notify_one();
    }

    /// Offers some of what the list lacks. Whether there was anything; what it has taken is to be met in a reading, like whatever
    /// is written.
    pub(super) async fn offer(&self) -> Result<bool, StoreError> {
        let some = self.dues.lock().next(&self.copy, self.clock.now());
        if some.is_empty() {
            return Ok(false);
        }
        let some = self.under_fresh_nonces(&some)?;
        self.add(&some).await?;
        self.acknowledged(&some, Followed::Yes);
        self.metrics.offered(some.len());
        Ok(true)
    }

    /// Whether an end that was written or owed here was not read yet.
    pub(crate) fn is_due(&self, entry: &RevocationEntry) -> bool {
        self.dues.lock().is_due(entry)
    }

    /// How many ends are owed to the list.
    pub(super) fn owed(&self) -> usize {
        self.dues.lock().owed()
    }

    /// A complete reading was taken in: what it passed by is owed, and so is what another history of the list lacks.
    pub(super) async fn settle(&self, reading: u64, history: u32) {
        if !self.dues.lock().settle(reading, history) {
            return;
        }
        let (now, mut lacking) = (self.clock.now(), Lacking::at_most(MOST_DUES));
        for room in 0..Copy::ROOMS {
            self.copy.look_for_lacking(room, history, now, &mut lacking);
            tokio::task::yield_now().await;
        }
        let (entries, is_all) = lacking.into_entries();
        self.dues.lock().lacking(entries, is_all);
    }

    async fn add(&self, entries: &[RevocationEntry]) -> Result<(), StoreError> {
        self.in_time(self.list.add(entries), Verb::End)
            .await
            .map_err(|error| if error.kind() == ErrorKind::Timeout { error.maybe_applied() } else { error })
    }

    fn acknowledged(&self, entries: &[RevocationEntry], followed: Followed) {
        let yes = Acknowledged { reading: self.readings.begun(), at: self.nanos() };
        self.dues.lock().acknowledge(&self.copy, entries, followed, yes);
        self.streams.listed(entries.iter().map(|entry| &entry.scope));
        self.written.notify_one();
    }

    /// The same entries as they may be added once more. With its old nonce one might come to stand under its old number, before what
    /// others added to a history that began anew: who stands there would never read that.
    fn under_fresh_nonces(&self, entries: &[RevocationEntry]) -> Result<Vec<RevocationEntry>, StoreError> {
        let fresh = |entry: &RevocationEntry| {
            let drawn = self.drawn()?;
            let nonce = (entry.nonce >> OFFER_BITS << OFFER_BITS) | (drawn >> OFFER_BITS);
            Ok(RevocationEntry { nonce, ..entry.clone() })
        };
        entries.iter().map(fresh).collect()
    }
    /// Random bits for an entry.
    pub(super) fn drawn(&self) -> Result<u64, StoreError> {
        let failed =
            |error| StoreError::new(ErrorKind::Internal, self.list.name(), Verb::End).caused_by(error);
        self.nonce().map_err(failed)
    }
}

/// Readings until a node knows its own ends: one that was acknowledged after the first began is in the second, one that was
/// lost is owed by then, and in the third.
const KNOWN_IN: usize = 3;
