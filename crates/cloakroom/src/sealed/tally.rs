//! How many entries were written down here for what might still be presented, so that whoever signs in and out all day takes no
//! more than their share of the list and of every node's memory.

use std::collections::{BTreeMap, HashMap};

use cloakroom_core::{PrincipalId, Timestamp};
use parking_lot::Mutex;

/// Counts entries by whose they are and what they say.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<Whose, Share>>);

/// Whose entries, and which of theirs. Strangers have shares together: they are nobody.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Whose {
    kind: Kind,
    principal: Option<PrincipalId>,
}

/// What entries say. Each kind has a share of its own: a full one leaves the others as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// One session is over, remembered for as long as it could have lived.
    End,
    /// One session is over, remembered until its tokens are idle.
    BriefEnd,
    /// All sessions of a principal are over.
    Wide,
    /// A token was exchanged.
    Exchange,
    /// A session was changed, and copies from before count for nothing.
    Change,
}

/// Entries, by the minute after which they are forgotten.
#[derive(Debug, Default)]
struct Share {
    minutes: BTreeMap<i64, usize>,
    entries: usize,
}

/// Room for one entry, which is to be written now. Whoever writes it keeps the room; whoever learns that it was not written
/// [gives it back](Tally::give_back). One whose fate is not known may be in the list, and stays counted.
#[derive(Debug)]
#[must_use = "an entry that was not written gives its room back"]
pub(super) struct Room {
    whose: Whose,
    minute: i64,
    /// How many there are now, with this one.
    pub(super) number: usize,
}

impl Share {
    /// Counts one more, unless there are `most`: how many there are then.
    fn take(&mut self, most: usize, minute: i64, now: Timestamp) -> Option<usize> {
        self.forget_over(now);
        if self.entries >= most {
            return None;
        }
        self.entries += 1;
        *self.minutes.entry(minute).or_default() += 1;
        Some(self.entries)
    }

    fn give_back(&mut self, minute: i64) {
        if let Some(entries) = self.minutes.get_mut(&minute).filter(|entries| **entries > 0) {
            *entries -= 1;
            self.entries = self.entries.saturating_sub(1);
        }
    }

    fn forget_over(&mut self, now: Timestamp) {
        let later = self.minutes.split_off(&minute(now));
        let over: usize = std::mem::replace(&mut self.minutes, later).values().sum();
        self.entries = self.entries.saturating_sub(over);
    }
}

impl Kind {
    /// How many entries of this kind a node writes down at a time.
    const fn most(self, principal: Option<&PrincipalId>) -> usize {
        match (self, principal) {
            (_, None) => ANONYMOUS_ENDS_MAX,
            (Self::End, Some(_)) => PRINCIPAL_ENDS_MAX,
            (Self::BriefEnd, Some(_)) => PRINCIPAL_BRIEF_ENDS_MAX,
            (Self::Wide, Some(_)) => PRINCIPAL_WIDE_ENDS_MAX,
            (Self::Exchange, Some(_)) => PRINCIPAL_EXCHANGES_MAX,
            (Self::Change, Some(_)) => PRINCIPAL_CHANGES_MAX,
        }
    }
}

impl Tally {
    /// Room for one more entry of this kind, until `until`; `None` where the share is full. Of strangers all kinds are one.
    pub(super) fn take(
        &self,
        kind: Kind,
        principal: Option<&PrincipalId>,
        until: Timestamp,
        now: Timestamp,
    ) -> Option<Room> {
        let kind = if principal.is_some() { kind } else { Kind::End };
        let (whose, minute) = (Whose { kind, principal: principal.cloned() }, minute(until));
        let mut shares = self.0.lock();
        let share = shares.entry(whose.clone()).or_default();
        let number = share.take(kind.most(principal), minute, now)?;
        Some(Room { whose, minute, number })
    }

    /// The entry that `room` was taken for was not written.
    pub(super) fn give_back(&self, room: Room) {
        let Room { whose, minute, .. } = room;
        if let Some(share) = self.0.lock().get_mut(&whose) {
            share.give_back(minute);
        }
    }

    /// Forgets whose entries are all forgotten.
    pub(super) fn forget_over(&self, now: Timestamp) {
        self.0.lock().retain(|_, share| {
            share.forget_over(now);
            share.entries > 0
        });
    }
}

fn minute(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(60_000)
}

/// Ends of one principal's sessions, one by one, that a node writes down at a time and remembers for as long as the sessions could
/// have lived.
pub(super) const PRINCIPAL_ENDS_MAX: usize = 256;
/// Ends beyond those, which are remembered until the sessions are idle: one in four seconds, around the clock, where that is half an
/// hour. One more ends all the principal's sessions: a single entry in every node's memory, which all later ones widen.
pub(super) const PRINCIPAL_BRIEF_ENDS_MAX: usize = 768;
/// Ends of everything that a principal has, that a node writes down at a time: ten a day. Each is a row of the list for as long as any
/// session could live. One more is refused to them, and to nobody else.
pub(super) const PRINCIPAL_WIDE_ENDS_MAX: usize = 4_096;
/// Exchanged tokens of one principal that every node keeps apart. Beyond them each session has a floor, which stands for all of its.
pub(super) const PRINCIPAL_EXCHANGES_APART: usize = 1_024;
/// Exchanges of one principal's tokens that a node writes down at a time: one in twenty seconds, around the clock, of sessions that
/// are idle after two weeks. One more is refused to them, and to nobody else.
pub(super) const PRINCIPAL_EXCHANGES_MAX: usize = 65_536;
/// Changes of one principal's sessions, in the same way, where older copies of a token are refused.
pub(super) const PRINCIPAL_CHANGES_MAX: usize = 65_536;
/// Entries for strangers that a node writes down at a time: five megabytes on every node. More ends are left to time: nobody is
/// signed in there, and strangers can make as many as they like.
pub(super) const ANONYMOUS_ENDS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    fn named(name: &str) -> PrincipalId {
        PrincipalId::new(name).unwrap()
    }

    #[test]
    fn a_principal_has_so_many_ends_and_others_have_theirs() {
        let (tally, alice, bob) = (Tally::default(), named("alice"), named("bob"));
        let takes =
            |of: &PrincipalId, until, now| tally.take(Kind::End, Some(of), at(until), at(now)).is_some();
        for _ in 0..PRINCIPAL_ENDS_MAX {
            assert!(takes(&alice, 10, 0));
        }
        assert!(!takes(&alice, 10, 0));
        assert!(takes(&bob, 10, 0));
        assert!(!takes(&alice, 30, 10), "to the minute");
        assert!(takes(&alice, 30, 11), "who was refused does not make it last longer");
        tally.forget_over(at(31));
        assert!(tally.0.lock().is_empty());
    }

    #[test]
    fn each_kind_of_a_principals_entries_has_a_share_of_its_own() {
        let (tally, alice) = (Tally::default(), named("alice"));
        let shares = [
            (Kind::End, PRINCIPAL_ENDS_MAX),
            (Kind::BriefEnd, PRINCIPAL_BRIEF_ENDS_MAX),
            (Kind::Wide, PRINCIPAL_WIDE_ENDS_MAX),
            (Kind::Exchange, PRINCIPAL_EXCHANGES_MAX),
            (Kind::Change, PRINCIPAL_CHANGES_MAX),
        ];
        for (kind, most) in shares {
            let taken: Vec<usize> = std::iter::from_fn(|| tally.take(kind, Some(&alice), at(10), at(0)))
                .map(|room| room.number)
                .collect();
            assert_eq!(taken, (1..=most).collect::<Vec<usize>>(), "{kind:?}");
        }
    }

    #[test]
    fn what_was_not_written_does_not_count() {
        let (tally, alice) = (Tally::default(), named("alice"));
        let take = |until| tally.take(Kind::Wide, Some(&alice), at(until), at(0));
        let rooms: Vec<Room> = (0..PRINCIPAL_WIDE_ENDS_MAX).filter_map(|_| take(10)).collect();
        assert!(take(10).is_none());
        for room in rooms {
            tally.give_back(room);
        }
        for number in 1..=PRINCIPAL_WIDE_ENDS_MAX {
            assert_eq!(take(20).map(|room| room.number), Some(number));
        }
        // Given back when it was over already: nobody's room is given back in its place.
        let late = tally.take(Kind::End, Some(&alice), at(1), at(0)).unwrap();
        let _later = tally.take(Kind::End, Some(&alice), at(30), at(2)).unwrap();
        tally.give_back(late);
        assert_eq!(tally.take(Kind::End, Some(&alice), at(30), at(2)).unwrap().number, 2);
    }

    #[test]
    fn strangers_have_so_many_ends_together_and_each_leaves_when_it_is_over() {
        let tally = Tally::default();
        let takes = |until, now| tally.take(Kind::Exchange, None, at(until), at(now)).is_some();
        assert!(takes(5, 0));
        for _ in 1..ANONYMOUS_ENDS_MAX {
            assert!(takes(10, 0));
        }
        assert!(!takes(10, 5) && tally.take(Kind::End, None, at(10), at(5)).is_none(), "whatever they say");
        assert!(takes(10, 6));
        assert!(!takes(10, 6));
    }
}
