//! What a store is asked.

use std::time::Duration;

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionLimit, SessionRecord, Timestamp, TokenDigest,
};

/// The version of a record: changes with every `replace` and `rekey`, never with a `touch`. Starts at 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(u64);

impl Version {
    /// The version of a record that was just inserted.
    pub const FIRST: Self = Self(1);

    /// The version with this number, as a store kept it.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number of this version.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A session to file ([`Store::insert`](crate::Store::insert)).
#[derive(Clone, Copy, Debug)]
pub struct InsertRequest<'a> {
    /// What to file; its `created_at` is also its first `last_seen_at`.
    pub record: &'a SessionRecord,
    /// What to file it under.
    pub digest: TokenDigest,
    /// How many live sessions its principal may have with this one; ignored for an anonymous session.
    pub limit: Option<SessionLimit>,
    /// A session of the same principal that this one replaces: it ends with [`EndReason::Replaced`] in the same
    /// step and does not count towards the limit.
    pub replaces: Option<SessionId>,
    /// The instant of asking.
    pub now: Timestamp,
}

/// A change of a record ([`Store::replace`](crate::Store::replace)).
#[derive(Clone, Copy, Debug)]
pub struct ReplaceRequest<'a> {
    /// What it is filed under.
    pub digest: TokenDigest,
    /// The version it was read at.
    pub version: Version,
    /// What it shall be; same id, principal and `created_at`.
    pub record: &'a SessionRecord,
    /// The instant of asking.
    pub now: Timestamp,
}

/// A change of a record together with its token ([`Store::rekey`](crate::Store::rekey)).
#[derive(Clone, Copy, Debug)]
pub struct RekeyRequest<'a> {
    /// What it is filed under.
    pub old: TokenDigest,
    /// What it shall be filed under; same route.
    pub new: TokenDigest,
    /// The version it was read at.
    pub version: Version,
    /// What it shall be; same id, principal and `created_at`.
    pub record: &'a SessionRecord,
    /// The instant of asking.
    pub now: Timestamp,
}

/// Activity of a session ([`Store::touch`](crate::Store::touch)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touch {
    /// Which session.
    pub digest: TokenDigest,
    /// When it was active.
    pub seen_at: Timestamp,
}

/// Which sessions to end ([`Store::end`](crate::Store::end)).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Selector {
    /// One session.
    One(SessionId),
    /// All sessions of a principal, but for one that may be excepted.
    Principal {
        /// Whose.
        principal: PrincipalId,
        /// Which one lives on.
        except: Option<SessionId>,
    },
    /// All sessions issued before an instant, by the clock of the node that issued them.
    IssuedBefore(Timestamp),
    /// All sessions the store has, whatever any clock says.
    All,
}

/// An end by decision ([`Store::end`](crate::Store::end)).
#[derive(Clone, Copy, Debug)]
pub struct EndRequest<'a> {
    /// Which sessions.
    pub selector: &'a Selector,
    /// Why.
    pub reason: EndReason,
    /// The instant of asking, and of the end.
    pub now: Timestamp,
}

/// A round of clearing up ([`Store::sweep`](crate::Store::sweep)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SweepRequest {
    /// The instant of asking.
    pub now: Timestamp,
    /// Most sessions and tombstones to look at in this round.
    pub limit: usize,
    /// For how long no other node needs to sweep; zero where a round should happen in any case.
    pub lease: Duration,
}
