//! What a shard keeps: a live session, what is left of one, or a token that was exchanged.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, Principal, Route, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone,
    Verdict,
};
use cloakroom_store::{Ended, Live, Retired, Version};

use crate::list::Links;
use crate::packed::Packed;
use crate::wheel::Position;

/// A slot of a shard. Ending a session changes the slot where it is: its place in the tables stays.
///
/// A look-up of a session that nobody has asked for lately reads nothing else, and of it not the links at its end.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot {
    /// The digest's hash; its route is the id's.
    pub(crate) hash: [u8; 32],
    pub(crate) id: SessionId,
    pub(crate) created_at: Timestamp,
    /// The instant of the last activity, of the end, or of the exchange.
    pub(crate) at: Timestamp,
    pub(crate) state: State,
    /// The record; of a tombstone, the principal; of a retired token, nothing.
    pub(crate) packed: Packed,
    pub(crate) recency: Links,
    /// Neighbours among the slots of the same principal.
    pub(crate) kin: Links,
    pub(crate) wheel: Position,
}

#[derive(Debug)]
pub(crate) enum State {
    Live(Alive),
    Tombstone { keep_until: Unaligned, reason: EndReason },
    Retired { keep_until: Unaligned },
}

/// What only a live session has.
///
/// In this order, what a slot that is no live session has in its stead fits in before the last byte, whose spare values tell
/// them apart.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Alive {
    /// The unpacked record, while it is asked for often.
    pub(crate) warm: Option<Arc<SessionRecord>>,
    /// How many ends of everything the shard had seen when the session was filed.
    pub(crate) generation: u32,
    /// When the record was last unpacked in vain, by the short clock of [`Warm`](crate::warm::Warm).
    pub(crate) unpacked_at: u8,
    /// Whether the unpacked record was asked for since the clearing hand last passed.
    pub(crate) asked_for: bool,
}

/// An instant that may lie anywhere, so that nothing is lost to padding around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unaligned([u8; 8]);

/// The kinds of slot, in the order in which they make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// A tombstone or a retired token.
    Remnant,
    Anonymous,
    SignedIn,
}

impl Slot {
    /// A session that was not filed yet.
    pub(crate) fn live(record: &SessionRecord, digest: &TokenDigest) -> Self {
        Self::with_version(record, Version::FIRST, digest)
    }

    fn with_version(record: &SessionRecord, version: Version, digest: &TokenDigest) -> Self {
        let alive = Alive { warm: None, generation: 0, asked_for: false, unpacked_at: 0 };
        Self {
            hash: *digest.hash(),
            id: record.id,
            created_at: record.created_at,
            at: record.created_at,
            packed: Packed::new(record, version),
            recency: Links::default(),
            kin: Links::default(),
            wheel: Position::default(),
            state: State::Live(alive),
        }
    }

    /// A live session as another store had it.
    pub(crate) fn imported(live: &Live, digest: &TokenDigest) -> Self {
        Self { at: live.last_seen_at, ..Self::with_version(&live.record, live.version, digest) }
    }

    /// What is left of a session.
    pub(crate) fn buried(
        tombstone: &Tombstone,
        digest: &TokenDigest,
        created_at: Timestamp,
        keep_until: Timestamp,
    ) -> Self {
        let Tombstone { session, principal, ended_at, reason } = tombstone;
        let lifetime = Lifetime::new(Duration::ZERO, created_at, Duration::ZERO);
        let mut record = SessionRecord::new(*session, created_at, lifetime);
        record.principal = principal.clone().map(|id| Arc::new(Principal::new(id)));
        Self {
            at: *ended_at,
            packed: Packed::new(&record, Version::FIRST).into_rest(),
            state: State::Tombstone { keep_until: keep_until.into(), reason: *reason },
            ..Self::live(&record, digest)
        }
    }

    /// A token that was exchanged.
    pub(crate) fn retired(retired: Retired, digest: &TokenDigest, keep_until: Timestamp) -> Self {
        let Retired { session, rotated_at } = retired;
        let lifetime = Lifetime::new(Duration::ZERO, rotated_at, Duration::ZERO);
        let record = SessionRecord::new(session, rotated_at, lifetime);
        Self {
            packed: Packed::default(),
            state: State::Retired { keep_until: keep_until.into() },
            ..Self::live(&record, digest)
        }
    }

    /// What it is filed under.
    pub(crate) fn digest(&self) -> TokenDigest {
        let mut bytes = [0; TokenDigest::LENGTH];
        let (route, hash) = bytes.split_at_mut(Route::LENGTH);
        route.copy_from_slice(self.id.route().as_bytes());
        hash.copy_from_slice(&self.hash);
        TokenDigest::from_bytes(&bytes).expect("a digest is a route and a hash")
    }

    /// The present token of a live session as it is kept after being exchanged at `now`.
    pub(crate) fn retire(&self, now: Timestamp) -> Self {
        let keep_until = self.keep_until(now);
        Self {
            hash: self.hash,
            id: self.id,
            created_at: self.created_at,
            at: now,
            packed: Packed::default(),
            recency: Links::default(),
            kin: Links::default(),
            wheel: Position::default(),
            state: State::Retired { keep_until: keep_until.into() },
        }
    }

    /// Bytes it takes, its places in the tables and an allocator's share included.
    pub(crate) fn bytes(&self) -> usize {
        BYTES + self.packed.bytes()
    }

    pub(crate) fn is_filed_under(&self, digest: &TokenDigest) -> bool {
        self.hash == *digest.hash() && self.id.route() == digest.route()
    }

    pub(crate) fn class(&self) -> Class {
        match self.state {
            State::Tombstone { .. } | State::Retired { .. } => Class::Remnant,
            State::Live(_) if self.packed.principal().is_none() => Class::Anonymous,
            State::Live(_) => Class::SignedIn,
        }
    }

    pub(crate) fn alive(&self) -> Option<&Alive> {
        if let State::Live(alive) = &self.state { Some(alive) } else { None }
    }

    pub(crate) fn alive_mut(&mut self) -> Option<&mut Alive> {
        if let State::Live(alive) = &mut self.state { Some(alive) } else { None }
    }

    /// The limits in force.
    pub(crate) fn lifetime(&self) -> Lifetime {
        match self.alive().and_then(|alive| alive.warm.as_deref()) {
            Some(record) => record.lifetime,
            None => self.packed.lifetime(self.created_at),
        }
    }

    /// Why and when a live session's time was over, if it was by `now`.
    pub(crate) fn expiry(&self, now: Timestamp) -> Option<(EndReason, Timestamp)> {
        self.alive()?;
        match self.lifetime().judge(self.at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some((reason, at)),
        }
    }

    /// Until when the tombstone of a live session is kept if it ends at `ended_at`.
    pub(crate) fn keep_until(&self, ended_at: Timestamp) -> Timestamp {
        ended_at.plus(self.lifetime().tombstone_retention)
    }

    /// The instant from which something is to be done about the slot, if nothing more is heard.
    pub(crate) fn due_at(&self) -> Timestamp {
        match self.state {
            State::Live(_) => self.lifetime().idle_expires_at(self.at),
            State::Tombstone { keep_until, .. } | State::Retired { keep_until } => keep_until.get(),
        }
    }

    /// A live session as it is answered.
    pub(crate) fn answer(&self) -> Live {
        Live { record: self.record(), version: self.packed.version(), last_seen_at: self.at }
    }

    /// The same where its record is unpacked, which is noted.
    pub(crate) fn warm_answer(&mut self) -> Option<Live> {
        let (version, last_seen_at) = (self.packed.version(), self.at);
        let alive = self.alive_mut()?;
        let record = Arc::clone(alive.warm.as_ref()?);
        alive.asked_for = true;
        Some(Live { record, version, last_seen_at })
    }

    pub(crate) fn record(&self) -> Arc<SessionRecord> {
        match self.alive().and_then(|alive| alive.warm.as_ref()) {
            Some(record) => Arc::clone(record),
            None => Arc::new(self.packed.unpack(self.id, self.created_at)),
        }
    }

    /// What is, or would be, left of the session if it ended at `ended_at` for `reason`.
    pub(crate) fn tombstone(&self, reason: EndReason, ended_at: Timestamp) -> Tombstone {
        Tombstone { session: self.id, principal: self.packed.principal_id(), ended_at, reason }
    }

    pub(crate) fn ended(&self, reason: EndReason, at: Timestamp) -> Ended {
        self.tombstone(reason, at).into()
    }

    /// What a retired token answers.
    pub(crate) fn exchanged(&self) -> Retired {
        Retired { session: self.id, rotated_at: self.at }
    }
}

impl Unaligned {
    pub(crate) fn get(self) -> Timestamp {
        Timestamp::from_millis(i64::from_ne_bytes(self.0))
    }
}

impl From<Timestamp> for Unaligned {
    fn from(instant: Timestamp) -> Self {
        Self(instant.as_millis().to_ne_bytes())
    }
}

/// Bytes of a slot, its places in the three tables (by digest, by id, by principal): an index and a mark of five bytes, in
/// a table that is at worst 7/16 full; and its place in the order of lists, in leaves that are at worst a third full.
pub(crate) const BYTES: usize = size_of::<Slot>() + 3 * 12 + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_slot_takes_176_bytes() {
        assert_eq!(size_of::<Slot>(), 176);
        assert_eq!(size_of::<Option<Slot>>(), 176, "a place without a slot needs no mark");
    }
}
