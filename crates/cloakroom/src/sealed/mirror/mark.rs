//! One end, and how two become one.

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_store::{RevocationEntry, Scope};

use crate::sealed::seal::Claim;

/// One end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Its number in the list; `None` as long as it was not read there.
    pub(super) number: Option<u64>,
    pub(super) at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) reason: EndReason,
    nonce: u64,
    /// The history of the list in which it was last met; zero for none.
    pub(super) met_in: u32,
}

/// How sure it is that an end covers a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum How {
    Surely,
    /// Unless the session was begun by a node that had read the end, which this one has written and not read back.
    UnlessLater,
}

impl Mark {
    /// Of an entry that was read under `number` in the history `met_in`, or was written here and not read yet.
    pub(super) fn of(entry: &RevocationEntry, number: Option<u64>, met_in: u32) -> Self {
        let RevocationEntry { at, until, reason, nonce, .. } = *entry;
        Self { number, at, until, reason, nonce, met_in }
    }

    /// The entry that this was, about `scope`.
    pub(super) fn entry(&self, scope: Scope) -> RevocationEntry {
        let Self { at, until, reason, nonce, .. } = *self;
        RevocationEntry { scope, at, until, reason, nonce }
    }

    /// The same is told once more: what was decided first counts, for as long as either lasts.
    pub(super) fn keep_earliest(&mut self, other: Self) {
        let (until, met_in) = (self.until.max(other.until), self.met_in.max(other.met_in));
        if other.is_before(self) {
            *self = other;
        }
        (self.until, self.met_in) = (until, met_in);
    }

    /// What `other` says holds from now on, for as long as either lasts.
    pub(super) fn replace_by(&mut self, other: Self) {
        *self = Self { until: self.until.max(other.until), ..other };
    }

    /// Covers what either covers of those that did not know of them: both are different ends that were read.
    pub(super) fn cover_both(&mut self, other: Self) {
        let (at, until) = (self.at.max(other.at), self.until.max(other.until));
        if self.is_before(&other) {
            *self = other;
        }
        (self.at, self.until) = (at, until);
    }

    /// The same end is told once more, perhaps under another number, because it was offered anew to a list that had lost it: it keeps
    /// the one that it had. Whoever knew of it then was issued after it.
    pub(super) fn meet_again(&mut self, other: Self) {
        self.number = match (self.number, other.number) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.met_in = self.met_in.max(other.met_in);
        (self.at, self.until) = (self.at.max(other.at), self.until.max(other.until));
    }

    /// Whether this was decided by `entry`, however often that was added.
    pub(super) fn is_of(&self, entry: &RevocationEntry) -> bool {
        end_of(self.nonce) == end_of(entry.nonce)
    }

    /// Whether both are the same end, however often that was added.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        end_of(self.nonce) == end_of(other.nonce)
    }

    /// Whether this stands before `other` in the list. What was not read stands behind everything that was.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.number.is_some_and(|number| other.number.is_none_or(|other| number < other))
    }

    /// Whether all that `other` covers of those that did not know of it is covered by this: both were read.
    pub(super) fn outdoes(&self, other: &Self) -> bool {
        !self.is_before(other) && self.at >= other.at
    }

    /// Whether the session of `claim` may have been issued without knowing of this, and how sure that is. Whoever knew of what was not
    /// read here was issued later by the clock, whatever that is worth, and knows more than this node.
    pub(super) fn news_to(&self, claim: &Claim<'_>) -> Option<How> {
        if claim.contents.record.created_at <= self.at {
            return Some(How::Surely);
        }
        match self.number {
            Some(number) => (claim.contents.known < number).then_some(How::Surely),
            None => Some(How::UnlessLater),
        }
    }

    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.until > now
    }
}

/// The part of a nonce that stays when an entry is offered again: which end it is.
pub(super) const fn end_of(nonce: u64) -> u64 {
    nonce >> OFFER_BITS
}

/// Bits of a nonce that are drawn anew when an entry is offered again; the others stay, and tell that it is the same end.
pub(super) const OFFER_BITS: u32 = 32;
