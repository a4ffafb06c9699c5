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
    /// Exchanged tokens, in the same way.
    exchanges: HashMap<PrincipalId, Share>,
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

/// How much room there is for exchanged tokens of one principal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// For one more, by itself.
    Ample,
    /// For what takes no more of every node's memory.
    Little,
    None,
}

impl Tally {
    /// Whether one more end of a session of `principal` may be written down by itself; it is counted then.
    pub(super) fn has_room(&self, principal: &PrincipalId, until: Timestamp, now: Timestamp) -> bool {
        let mut counts = self.0.lock();
        counts.principals.entry(principal.clone()).or_default().takes(PRINCIPAL_ENDS_MAX, until, now)
    }

    /// How one more token of `principal` may be exchanged; it is counted then.
    pub(super) fn room_for_exchange(
        &self,
        principal: &PrincipalId,
        until: Timestamp,
        now: Timestamp,
    ) -> Room {
        let mut counts = self.0.lock();
        let share = counts.exchanges.entry(principal.clone()).or_default();
        match share.takes(PRINCIPAL_EXCHANGES_MAX, until, now) {
            false => Room::None,
            true if share.ends > PRINCIPAL_EXCHANGES_APART => Room::Little,
            true => Room::Ample,
        }
    }

    /// Whether one more end of an anonymous session may be written down; it is counted then.
    pub(super) fn has_anonymous_room(&self, until: Timestamp, now: Timestamp) -> bool {
        self.0.lock().anonymous.takes(ANONYMOUS_ENDS_MAX, until, now)
    }

    /// Forgets whose ends are all forgotten.
    pub(super) fn forget_over(&self, now: Timestamp) {
        let mut counts = self.0.lock();
        let Counts { principals, exchanges, .. } = &mut *counts;
        for shares in [principals, exchanges] {
            shares.retain(|_, share| {
                share.forget_over(now);
                share.ends > 0
            });
        }
    }
}

fn minute(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(60_000)
}

/// Ends of one principal's sessions, one by one, that a node writes down at a time. One more ends all the principal's sessions:
/// a single entry, which all later ones widen.
pub(super) const PRINCIPAL_ENDS_MAX: usize = 256;
/// Exchanged tokens of one principal that every node keeps apart. Beyond them each session has a floor, which stands for all of its.
const PRINCIPAL_EXCHANGES_APART: usize = 1_024;
/// Exchanges of one principal's tokens that a node writes down at a time: one in twenty seconds, around the clock, of sessions that
/// are idle after two weeks. One more is refused to them, and to nobody else.
const PRINCIPAL_EXCHANGES_MAX: usize = 65_536;
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
    fn a_principal_exchanges_so_many_tokens_and_others_theirs() {
        let (tally, alice, bob) =
            (Tally::default(), PrincipalId::new("alice").unwrap(), PrincipalId::new("bob").unwrap());
        let next = || tally.room_for_exchange(&alice, at(10), at(0));
        let all: Vec<Room> = (0..PRINCIPAL_EXCHANGES_MAX).map(|_| next()).collect();
        assert_eq!(all.iter().filter(|room| **room == Room::Ample).count(), PRINCIPAL_EXCHANGES_APART);
        assert!(!all.contains(&Room::None));
        assert_eq!(next(), Room::None);
        assert_eq!(tally.room_for_exchange(&bob, at(10), at(0)), Room::Ample);
        assert!(tally.has_room(&alice, at(10), at(0)), "ends are counted apart");
        assert_eq!(tally.room_for_exchange(&alice, at(30), at(11)), Room::Ample, "they are over");
        tally.forget_over(at(31));
        assert!(tally.0.lock().exchanges.is_empty());
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
