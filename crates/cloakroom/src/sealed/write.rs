//! Changing a sealed session: its attributes, its token.

use std::sync::Arc;

use cloakroom_core::{SessionRecord, Timestamp};
use cloakroom_store::{Applied, Live, RevocationEntry, Scope, SealedContents, StoreError, Verb};

use super::doubts::Exchange;
use super::entries::{Exchanged, core_name, used_up};
use super::mirror::Covered;
use super::seal::{Claim, Seal};
use super::tally::{Kind, Room};
use super::validate::expired;
use super::{Mirror, Need, Replay, Seals, WhenUnreachable};
use crate::revoke::Known;
use crate::{ActiveSession, Changes, Renewal, Renewed, RetiredToken, SessionError, Sessions, Written};

impl Sessions {
    /// Makes changes to what `session` holds, and seals it anew at once: what is too large changes nothing.
    ///
    /// Another request's changes are not seen here: of two that change the session at the same time, the one whose answer reaches
    /// the client last is what stays.
    pub(crate) async fn apply_sealed(
        &self,
        seals: &Seals,
        session: &ActiveSession,
        mut changes: Changes,
    ) -> Result<Written, SessionError> {
        let now = self.now();
        let Some(before) = session.contents() else { return Ok(Written::Unknown) };
        match seals.over(session, &before, now) {
            Some(Covered::Ended(tombstone)) => {
                self.refuse_resurrection(&tombstone, now);
                return Ok(Written::Ended(tombstone));
            }
            Some(Covered::Retired(retired)) => {
                return Ok(Written::Retired(retired_of(&before, retired.rotated_at)));
            }
            None => {}
        }
        let mut record = SessionRecord::clone(&before.record);
        changes.apply_to(&mut record.attributes).map_err(SessionError::Attribute)?;
        if record.attributes == before.record.attributes {
            return Ok(Written::Done(session.clone()));
        }
        self.check_size(record.attributes.size())?;
        let is_signed_in = record.principal.is_some();
        let Some(version) = Seals::changed(before.version) else {
            return Err(SessionError::Store(used_up()));
        };
        let contents = SealedContents { record: Arc::new(record), version, ..before.clone() };
        let token = seals.seal(&contents, now)?;
        if let (Replay::Changes, true, Some(mirror)) = (seals.policy.replay(), is_signed_in, seals.mirror()) {
            let scope = Scope::Floor { session: contents.record.id, version };
            let rooms = seals.room_for_change(mirror, &before, now).map_err(SessionError::Store)?;
            let floor = seals.entry_of_copies(mirror, &before, scope, now)?;
            self.write_or_owe(seals, mirror, floor, rooms).await.map_err(SessionError::Store)?;
        }
        let seal = Seal::of(&contents, Some(token));
        let session = ActiveSession::sealed(live(contents), seal);
        self.streams().seen(&session);
        Ok(Written::Done(session))
    }

    /// Gives a session a new core, and with it another token. The old one is dead, as far as there is a list, before the new one
    /// is handed out; and of several that exchange one token at the same time, on whichever nodes, one is given another.
    pub(crate) async fn rotate_sealed(
        &self,
        seals: &Seals,
        session: &ActiveSession,
        mut renewal: Renewal,
    ) -> Result<Renewed, SessionError> {
        let now = self.now();
        let Some(before) = session.contents() else { return Ok(Renewed::Unknown) };
        match seals.over(session, &before, now) {
            Some(Covered::Ended(tombstone)) => {
                self.refuse_resurrection(&tombstone, now);
                return Ok(Renewed::Ended(tombstone));
            }
            Some(Covered::Retired(retired)) => {
                return Ok(Renewed::Retired(retired_of(&before, retired.rotated_at)));
            }
            None => {}
        }
        let mut record = SessionRecord::clone(&before.record);
        renewal.apply(&mut record, self, now)?;
        let old = session.binding().map(core_name).unwrap_or_default();
        let exchanged = match seals.mirror() {
            Some(mirror) => {
                let why = if renewal.is_proof() { Kind::Proof } else { Kind::Exchange };
                seals.exchange_of(mirror, &before, old, why, now).map_err(SessionError::Store)?
            }
            None => Exchanged::LeftToTime(before.version.next()),
        };
        let keeps = matches!(exchanged, Exchanged::Kept(_));
        let contents = SealedContents {
            record: Arc::new(record),
            version: exchanged.version(),
            last_seen_at: before.last_seen_at.max(now),
            known: before.known,
            core: if keeps { before.core.clone() } else { seals.new_core()? },
        };
        let token = seals.seal(&contents, now)?;
        let seal = Seal::of(&contents, None);
        let exchange = self.streams().exchanging(session.id(), session.digest(), seal.binding.digest());
        if let (Exchanged::Written { scope, rooms, .. }, Some(mirror)) = (exchanged, seals.mirror()) {
            let entry = seals.entry_of_copies(mirror, &before, scope, now)?;
            self.write_or_owe(seals, mirror, entry.clone(), rooms).await.map_err(SessionError::Store)?;
            // The list decides between two exchanges of one token: the one that stands first in it. Where it cannot be read, the old
            // token is dead, and the new one has to be handed out; who came first turns out later.
            let read = mirror.refresh(Need::Fresh).await;
            let new = core_name(&seal.binding);
            // The session may have ended meanwhile, and the end have been read just now.
            let over = seals.known_over(&Claim { contents: &contents, core: new }, self.now());
            if let Some(Covered::Ended(tombstone)) = over {
                self.refuse_resurrection(&tombstone, now);
                return Ok(Renewed::Ended(tombstone));
            }
            let exchange = Exchange { entry, old, contents: &contents, new };
            match read {
                Ok(()) => {
                    if let Some(rotated_at) = exchange.lost_to_another(mirror) {
                        return Ok(Renewed::Retired(retired_of(&before, rotated_at)));
                    }
                }
                Err(_) => exchange.leave_in_doubt(seals, mirror, now),
            }
        }
        let session = ActiveSession::sealed(live(contents), seal);
        exchange.done(&session);
        self.report_renewal(&session, &renewal, now);
        Ok(Renewed::Done { token, session })
    }

    /// Writes down that older copies of a token count for nothing.
    ///
    /// Where the list refuses, nothing has changed and the old copy lives on. Where nobody knows whether it took it, the old copy
    /// may be dead: the new one has to be handed out, or its client would be left with neither. The entry holds here then, and is
    /// offered to the list until it has it. What was refused gives its room back.
    async fn write_or_owe(
        &self,
        seals: &Seals,
        mirror: &Mirror,
        entry: RevocationEntry,
        mut rooms: Vec<Room>,
    ) -> Result<(), StoreError> {
        let entries = [entry];
        rooms.iter_mut().for_each(Room::keep);
        let mut may_fail = seals.policy.when_unreachable() == WhenUnreachable::Closed;
        for _ in 0..TRIES {
            match self.ask(Verb::End, mirror.write(&entries)).await {
                Ok(()) => return Ok(()),
                Err(error) if error.applied() == Applied::Unknown => may_fail = false,
                Err(error) if may_fail => {
                    rooms.into_iter().for_each(Room::give_back);
                    return Err(error);
                }
                Err(_) => break,
            }
        }
        mirror.owe(&entries);
        Ok(())
    }
}

impl Seals {
    /// Why nothing of a session can change any more, as far as this node knows.
    pub(super) fn over(
        &self,
        session: &ActiveSession,
        contents: &SealedContents,
        now: Timestamp,
    ) -> Option<Covered> {
        let binding = session.binding()?;
        let covered = self.known_over(&Claim { contents, core: core_name(binding) }, now);
        covered.or_else(|| expired(&contents.record, contents.last_seen_at, now).map(Covered::Ended))
    }
}

/// The token of these contents, which was exchanged for another at that instant.
fn retired_of(contents: &SealedContents, rotated_at: Timestamp) -> RetiredToken {
    let known = Known::of_record(&contents.record, contents.last_seen_at);
    RetiredToken { session: known.session, rotated_at, known: Some(Box::new(known)) }
}

fn live(contents: SealedContents) -> Live {
    let SealedContents { record, version, last_seen_at, .. } = contents;
    Live { record, version, last_seen_at }
}

/// How often an entry is written whose fate is not known, before it is owed: the same entry twice is one.
const TRIES: usize = 2;
