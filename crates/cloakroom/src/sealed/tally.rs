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
    anonymous: Share,
}

/// Ends, by the minute after which they are forgotten.
#[derive(Debug, Default)]
struct Share {
    minutes: BTreeMap<i64, usize>,
    ends: usize,
}

impl Share {
    /// Counts one more, unless there are `most`.
    fn takes(&mut self, most: usize, until: Timestamp, now: Timestamp) -> bool {
        self.forget_over(now);
        if self.ends >= most {
            return false;
        }
        self.ends += 1;
        *self.minutes.entry(minute(until)).or_default() += 1;
        true
    }

    fn forget_over(&mut self, now: Timestamp) {
        let later = self.minutes.split_off(&minute(now));
        let over: usize = std::mem::replace(&mut self.minutes, later).values().sum();
        self.ends = self.ends.saturating_sub(over);
    }
}

impl Tally {
    /// Whether one more end of a session of `principal` may be written down by itself; it is counted then.
    pub(super) fn has_room(&self, principal: &PrincipalId, until: Timestamp, now: Timestamp) -> bool {
        let mut counts = self.0.lock();
        counts.principals.entry(principal.clone()).or_default().takes(PRINCIPAL_ENDS_MAX, until, now)
    }

    /// Whether one more end of an anonymous session may be written down; it is counted then.
    pub(super) fn has_anonymous_room(&self, until: Timestamp, now: Timestamp) -> bool {
        self.0.lock().anonymous.takes(ANONYMOUS_ENDS_MAX, until, now)
    }

    /// Forgets whose ends are all forgotten.
    pub(super) fn forget_over(&self, now: Timestamp) {
        self.0.lock().principals.retain(|_, share| {
            share.forget_over(now);
            share.ends > 0
        });
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
        assert!(!tally.has_room(&alice, at(30), at(10)), "to the minute");
        assert!(tally.has_room(&alice, at(30), at(11)), "who was refused does not make it last longer");
        tally.forget_over(at(31));
        assert!(tally.0.lock().principals.is_empty());
    }

    #[test]
    fn strangers_have_so_many_ends_together_and_each_leaves_when_it_is_over() {
        let tally = Tally::default();
        assert!(tally.has_anonymous_room(at(5), at(0)));
        for _ in 1..ANONYMOUS_ENDS_MAX {
            assert!(tally.has_anonymous_room(at(10), at(0)));
        }
        assert!(!tally.has_anonymous_room(at(10), at(5)));
        assert!(tally.has_anonymous_room(at(10), at(6)));
        assert!(!tally.has_anonymous_room(at(10), at(6)));
    }
}
