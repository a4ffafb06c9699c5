//! One end, and how two of the same become one.

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_store::{RevocationEntry, Scope};

/// One end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Its number in the list; [`UNNUMBERED`] as long as it was not read there.
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) reason: EndReason,
    nonce: u64,
    /// The history of the list in which it was last met; zero for none.
    pub(super) met_in: u32,
}

impl Mark {
    /// Of an entry that was read under `number` in the history `met_in`, or was written here and not read yet.
    pub(super) fn of(entry: &RevocationEntry, number: Option<u64>, met_in: u32) -> Self {
        let RevocationEntry { at, until, reason, nonce, .. } = *entry;
        Self { number: number.unwrap_or(UNNUMBERED), at, until, reason, nonce, met_in }
    }

    /// The entry that this was, about `scope`.
    pub(super) fn entry(&self, scope: Scope) -> RevocationEntry {
        let Self { at, until, reason, nonce, .. } = *self;
        RevocationEntry { scope, at, until, reason, nonce }
    }

    /// The same is told once more: what was decided first counts, for as long as either lasts.
    pub(super) fn first(&mut self, other: Self) {
        let (until, met_in) = (self.until.max(other.until), self.met_in.max(other.met_in));
        if other.number < self.number {
            *self = other;
        }
        (self.until, self.met_in) = (until, met_in);
    }

    /// What `other` says holds from now on, for as long as either lasts.
    pub(super) fn becomes(&mut self, other: Self) {
        *self = Self { until: self.until.max(other.until), ..other };
    }

    /// Covers what either covers of those that did not know of them.
    ///
    /// The same end may come under another number, offered anew to a list that had lost it: it keeps the one that it had. Whoever knew
    /// of it then was issued after it.
    pub(super) fn widen(&mut self, other: Self) {
        if is_again(self.nonce, other.nonce) {
            self.number = self.number.min(other.number);
            self.met_in = self.met_in.max(other.met_in);
        } else {
            let (at, until) = (self.at.max(other.at), self.until.max(other.until));
            if other.number > self.number {
                *self = other;
            }
            (self.at, self.until) = (at, until);
        }
    }

    /// Whether this was decided by `entry`, however often that was added.
    pub(super) fn is_of(&self, entry: &RevocationEntry) -> bool {
        is_again(self.nonce, entry.nonce)
    }

    /// Whether all that `other` covers of those that did not know of it is covered by this.
    pub(super) fn outdoes(&self, other: &Self) -> bool {
        self.number != UNNUMBERED && self.number >= other.number && self.at >= other.at
    }

    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.until > now
    }

    pub(super) fn is_read(&self) -> bool {
        self.number != UNNUMBERED
    }
}

/// Whether two nonces are of the same end.
const fn is_again(one: u64, other: u64) -> bool {
    one >> OFFER_BITS == other >> OFFER_BITS
}

/// The number of what was not read from the list yet: later than everything that any session could have known.
const UNNUMBERED: u64 = u64::MAX;
/// Bits of a nonce that are drawn anew when an entry is offered again; the others stay, and tell that it is the same end.
pub(super) const OFFER_BITS: u32 = 32;
