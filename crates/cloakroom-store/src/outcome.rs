//! What a store answers.

use std::sync::Arc;

use cloakroom_core::{EndReason, PrincipalId, SessionId, SessionRecord, Timestamp, Tombstone};

use crate::Version;

/// A live session as its store has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// The record.
    pub record: Arc<SessionRecord>,
    /// Its version, for [`Store::replace`](crate::Store::replace) and [`Store::rekey`](crate::Store::rekey).
    pub version: Version,
    /// The last activity written down.
    pub last_seen_at: Timestamp,
}

/// A token that was exchanged for another; its session may live on under the new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retired {
    /// Which session it named.
    pub session: SessionId,
    /// When it was exchanged.
    pub rotated_at: Timestamp,
}

/// The answer to [`Store::get`](crate::Store::get).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// The session lives.
    Live(Live),
    /// The session has ended.
    Ended(Tombstone),
    /// The token was exchanged for another.
    Retired(Retired),
    /// Nothing is, or is still, known of it.
    Unknown,
}

/// The answer to [`Store::insert`](crate::Store::insert).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// The session is filed with version [`Version::FIRST`].
    Done {
        /// Sessions that ended to make room for it: replaced, over the limit, or because the store was full.
        ended: Vec<Ended>,
    },
    /// The digest or the id is taken, by a live session or by what is left of one. Nothing has changed.
    AlreadyExists,
    /// The principal has as many live sessions as allowed. Nothing has changed.
    LimitReached,
}

/// The answer to [`Store::replace`](crate::Store::replace).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replaced {
    /// The record is replaced, and has this version now.
    Done(Version),
    /// The version was another. Nothing has changed.
    Conflict(Live),
    /// The session has ended. Nothing has changed.
    Ended(Tombstone),
    /// The token was exchanged for another. Nothing has changed.
    Retired(Retired),
    /// Nothing is known of it. Nothing has changed.
    Unknown,
}

/// The answer to [`Store::rekey`](crate::Store::rekey).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rekeyed {
    /// The record is replaced and filed under the new digest; the old one is retired.
    Done(Version),
    /// The version was another. Nothing has changed.
    Conflict(Live),
    /// The new digest is taken. Nothing has changed.
    AlreadyExists,
    /// The session has ended. Nothing has changed.
    Ended(Tombstone),
    /// The old token was exchanged before. Nothing has changed.
    Retired(Retired),
    /// Nothing is known of it. Nothing has changed.
    Unknown,
}

/// How a batch of touches fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TouchReport {
    /// Sessions whose last activity moved forward.
    pub touched: usize,
    /// Touches without effect: not live, or not later than what was written already.
    pub ignored: usize,
}

/// A session that ended just now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Which one.
    pub session: SessionId,
    /// Whom it spoke for; `None` where it was anonymous.
    pub principal: Option<PrincipalId>,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

impl From<Tombstone> for Ended {
    fn from(tombstone: Tombstone) -> Self {
        let Tombstone { session, principal, ended_at: at, reason } = tombstone;
        Self { session, principal, at, reason }
    }
}

impl From<Ended> for Tombstone {
    fn from(ended: Ended) -> Self {
        let Ended { session, principal, at: ended_at, reason } = ended;
        Self { session, principal, ended_at, reason }
    }
}

/// The answer to [`Store::end`](crate::Store::end).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ending {
    /// Sessions that ended by this call, each reported exactly once.
    pub ended: Vec<Ended>,
    /// How many more sessions are refused from now on, and will be reported by [`Store::sweep`](crate::Store::sweep)
    /// when it removes them. Not zero only for [`Selector::IssuedBefore`](crate::Selector::IssuedBefore) and
    /// [`Selector::All`](crate::Selector::All).
    pub swept_later: u64,
}

/// The answer to [`Store::sweep`](crate::Store::sweep).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Sessions found to be over (by time, or by an end of everything), each reported exactly once.
    pub ended: Vec<Ended>,
    /// Tombstones and retired tokens removed after their retention.
    pub removed: usize,
    /// Whether there is more to do now.
    pub more: bool,
    /// Whether another node is sweeping, so that nothing was done.
    pub elsewhere: bool,
}

/// The answer to [`Store::count`](crate::Store::count).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Live sessions in which nobody is signed in.
    pub anonymous: u64,
    /// Live sessions of a principal.
    pub signed_in: u64,
    /// What is left of ended sessions.
    pub tombstones: u64,
}
