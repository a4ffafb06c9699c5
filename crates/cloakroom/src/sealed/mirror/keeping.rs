//! Reading on and on, beside the requests.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::time::Duration;

use cloakroom_store::{RevocationEntry, StoreError};
use tokio::time::{sleep, sleep_until, timeout};

use super::{Mirror, Need};
use crate::system::timer_now;

impl Mirror {
    /// Reads the list for as long as it is polled: four times in a lease, and at once when something may be new.
    pub(crate) async fn keep(&self) -> Infallible {
        let pace = self.lease / READINGS_IN_A_LEASE;
        let shortest = pace / CLOSEST;
        let mut tale = Tale::default();
        self.readings.keep();
        // A request may have read the list before. Where there are no random bits, the first turn tries again.
        let _ = self.hold_the_beginning();
        loop {
            // Asked for before the reading: what comes during it is not missed.
            let changed = self.list.changed();
            let begun = timer_now();
            let mut read = self.refresh(Need::Turn).await;
            if read.is_ok() {
                read = self.hold_the_beginning();
            }
            if read.is_ok() {
                read = self.settle_doubts().await;
            }
            if read.is_ok() && self.owed() > 0 {
                read = self.offer().await.map(drop);
                tale.offers(self, &read);
            }
            tale.goes_on(self, &read);
            self.metrics.stands(self.entries(), self.owed(), self.is_trusted());
            let news = async {
                tokio::select! {
                    changed = changed => if changed.is_err() { pending::<()>().await },
                    () = self.written.notified() => {}
                }
                sleep_until(begun + shortest).await;
            };
            tokio::select! {
                // From the beginning of this reading: a list that answers slowly is asked as often.
                () = sleep_until(begun + pace) => {}
                () = news, if read.is_ok() => {}
            }
        }
    }
}

impl Mirror {
    /// Offers what is owed once more before this node goes, for a bounded time: nobody else may know it.
    pub(crate) async fn leave(&self) {
        let offering = async {
            while self.owed() > 0 {
                let read = self.refresh(Need::Turn).await;
                if read.is_err() || !self.offer().await.unwrap_or_default() {
                    sleep(self.lease / READINGS_IN_A_LEASE).await;
                }
            }
        };
        let in_time = timeout(LAST_OFFERS, offering).await;
        let entries = self.owed();
        self.metrics.stands(self.entries(), entries, self.is_trusted());
        if in_time.is_err() && entries > 0 {
            tracing::warn!(
                event = "revocation_list_owed",
                list = self.list.name(),
                entries,
                "the list of ends could not be told of ends that hold here; where nobody else knows them, they are over with \
                 this node"
            );
        }
    }

    /// A list without a single entry, at a node's first reading, is new, or has forgotten everything: the newest entry always stays.
    /// Nobody can tell which. What was issued before this is ended, so that nobody comes back who was ended; in a new installation
    /// there is nothing to end. It holds here before the list is believed, and is offered to it until it has it: a list that takes
    /// nothing lets nobody in.
    ///
    /// By whoever reads on and on alone: not by a command that is run beside a server.
    ///
    /// # Errors
    /// [`StoreError`] where there are no random bits for it.
    pub(super) fn hold_the_beginning(&self) -> Result<(), StoreError> {
        let mut found = self.readings.found_empty();
        let Some(at) = *found else { return Ok(()) };
        let beginning = RevocationEntry::of_the_beginning(at, self.longest_life, self.drawn()?);
        self.owe(&[beginning]);
        *found = None;
        tracing::warn!(
            event = "revocation_list_began",
            list = self.list.name(),
            "the list of ends is empty: sealed sessions from before this are over, and everybody signs in again; \
             nothing to mind at the first start, else see whether the list is the right one"
        );
        Ok(())
    }
}

/// What is logged of trust: when it is lost, and when it is back; not more often than every few seconds.
#[derive(Default)]
struct Tale {
    /// Since when it is lost, by the monotonic clock, and whether that was told.
    lost: Option<(u64, bool)>,
    told_at: Option<u64>,
    /// When it was last told that the list takes nothing, by the monotonic clock.
    unwritten_at: Option<u64>,
}

impl Tale {
    fn goes_on(&mut self, mirror: &Mirror, read: &Result<(), StoreError>) {
        let (list, now) = (mirror.list.name(), mirror.nanos());
        if mirror.is_trusted() {
            if let Some((since, true)) = self.lost.take() {
                let seconds = Duration::from_nanos(now.saturating_sub(since)).as_secs_f64();
                tracing::info!(
                    event = "revocation_list_trusted",
                    list,
                    seconds,
                    "the list of ends is read again"
                );
            }
            return;
        }
        let (since, told) = self.lost.unwrap_or((now, false));
        let is_due = self.told_at.is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY);
        self.lost = Some((since, told || is_due));
        if !told && is_due {
            self.told_at = Some(now);
            // What whoever waited is told says less.
            let failed = mirror.readings.failed();
            let error = failed.as_deref().or(read.as_ref().err());
            let kind = error.map_or("none", |error| error.kind().as_str());
            let cause = error.map(|error| whole(error)).unwrap_or_default();
            tracing::warn!(
                event = "revocation_list_unread",
                list,
                kind,
                cause,
                "the list of ends cannot be read"
            );
        }
    }
}

impl Tale {
    /// What is owed was offered to the list, or could not be.
    fn offers(&mut self, mirror: &Mirror, offered: &Result<(), StoreError>) {
        let now = mirror.nanos();
        let Err(error) = offered else { return self.unwritten_at = None };
        if self.unwritten_at.is_some_and(|at| now.saturating_sub(at) < UNWRITTEN_EVERY) {
            return;
        }
        self.unwritten_at = Some(now);
        tracing::warn!(
            event = "revocation_list_unwritten",
            list = mirror.list.name(),
            kind = error.kind().as_str(),
            cause = whole(error),
            entries = mirror.owed(),
            "the list of ends takes nothing: what it lacks holds here, and is known nowhere else"
        );
    }
}

/// An error with all that caused it.
fn whole(error: &dyn Error) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// Readings begun in a lease: one may take three quarters of it before trust is lost.
pub(super) const READINGS_IN_A_LEASE: u32 = 4;
/// News make readings follow each other this much faster than the pace, and no faster: a hundred and more in a second.
const CLOSEST: u32 = 32;
/// Shortest time between two lines in the log about lost trust, in nanoseconds.
const TOLD_EVERY: u64 = 10_000_000_000;
/// Shortest time between two lines in the log about a list that takes nothing, in nanoseconds.
const UNWRITTEN_EVERY: u64 = 60_000_000_000;
/// Longest that what is owed is offered before a node goes.
const LAST_OFFERS: Duration = Duration::from_secs(3);
