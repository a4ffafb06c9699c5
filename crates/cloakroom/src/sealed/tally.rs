//! How many ends were written down here of sessions that might still live, so that whoever signs in and out all day takes no
//! more than their share of every node's memory.

use std::collections::{BTreeMap, HashMap};

use cloakroom_core::{PrincipalId, Timestamp};
use parking_lot::Mutex;

/// Counts ends by principal, and those of anonymous sessions.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    principals: HashMap<PrincipalId, Share>,
    /// Anonymous ends, by the minute in which they may be forgotten.
    anonymous: BTreeMap<i64, usize>,
    anonymous_total: usize,
}

#[derive(Debug)]
struct Share {
    ends: usize,
    /// When all of them are forgotten.
    until: Timestamp,
}

impl Tally {
    /// Whether one more end of a session of `principal` may be written down by itself; it is counted then.
    pub(super) fn has_room(&self, principal: &PrincipalId, until: Timestamp, now: Timestamp) -> bool {
        let mut counts = self.0.lock();
        let share = counts.principals.entry(principal.clone()).or_insert(Share { ends: 0, until });
        if share.until <= now {
            share.ends = 0;
        }
        share.until = share.until.max(until);
        if share.ends >= PRINCIPAL_ENDS_MAX {
            return false;
        }
        share.ends += 1;
        true
    }

    /// Whether one more end of an anonymous session may be written down; it is counted then.
    pub(super) fn has_anonymous_room(&self, until: Timestamp, now: Timestamp) -> bool {
        let mut counts = self.0.lock();
        let later = counts.anonymous.split_off(&minute(now));
        let over: usize = std::mem::replace(&mut counts.anonymous, later).values().sum();
        counts.anonymous_total = counts.anonymous_total.saturating_sub(over);
        if counts.anonymous_total >= ANONYMOUS_ENDS_MAX {
            return false;
        }
        counts.anonymous_total += 1;
        *counts.anonymous.entry(minute(until).saturating_add(1)).or_default() += 1;
        true
    }

    /// Forgets whose ends are all forgotten.
    pub(super) fn forget_over(&self, now: Timestamp) {
        self.0.lock().principals.retain(|_, share| share.until > now);
    }
}

fn minute(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(60_000)
}

/// Ends of one principal's sessions, one by one, that a node writes down at a time. One more ends all the principal's sessions:
/// a single entry, which all later ones widen.
pub(super) const PRINCIPAL_ENDS_MAX: usize = 256;
/// Ends of anonymous sessions that a node writes down at a time: five megabytes on every node. More are left to time: nobody is
/// signed in there, and strangers can make as many as they like.
pub(super) const ANONYMOUS_ENDS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    #[test]
    fn a_principal_has_so_many_ends_and_others_have_theirs() {
        let (tally, alice, bob) =
            (Tally::default(), PrincipalId::new("alice").unwrap(), PrincipalId::new("bob").unwrap());
        for _ in 0..PRINCIPAL_ENDS_MAX {
            assert!(tally.has_room(&alice, at(10), at(0)));
        }
        assert!(!tally.has_room(&alice, at(10), at(0)));
        assert!(tally.has_room(&bob, at(10), at(0)));
        assert!(!tally.has_room(&alice, at(10), at(9)));
        assert!(tally.has_room(&alice, at(20), at(10)), "all of them are forgotten");
        tally.forget_over(at(20));
        assert!(tally.0.lock().principals.is_empty());
    }

    #[test]
    fn strangers_have_so_many_ends_together_until_those_are_over() {
        let tally = Tally::default();
        for _ in 0..ANONYMOUS_ENDS_MAX {
            assert!(tally.has_anonymous_room(at(10), at(0)));
        }
        assert!(!tally.has_anonymous_room(at(10), at(10)));
        assert!(tally.has_anonymous_room(at(30), at(12)));
    }
}
