//! How many entries were written down here for what might still be presented, so that whoever signs in and out all day takes no
//! more than their share of the list and of every node's memory.
//!
//! **No share is a wall before what protects an account.** Whoever has somebody's password can fill what counts as that person's. So
//! a changed password has a share of its own, and so has what the engine's watchers end; and beyond the shares there is room for one
//! more in a minute, for each kind that says how long to wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{PrincipalId, Route, Timestamp};
use parking_lot::Mutex;

/// Counts entries by whose they are and what they say.
#[derive(Debug)]
pub(super) struct Tally {
    shelves: Box<[Shelf]>,
}

/// Some principals' shares, so that nobody waits for whoever goes through everybody's.
type Shelf = Arc<Mutex<HashMap<Whose, Share>>>;

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
    End(Cause),
    /// One session is over, remembered until its tokens are idle.
    BriefEnd(Cause),
    /// The same, of a session that began since all of its principal's ended for want of room.
    LastEnd(Cause),
    /// All sessions of a principal are over.
    Wide(Cause),
    /// A token was exchanged.
    Exchange,
    /// The same, because its principal proved identity again.
    Proof,
    /// A session has a floor, however often it rises.
    Floor,
    /// A session was changed, and copies from before count for nothing.
    Change,
}

/// For whom something of a principal's ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Cause {
    /// Its user, who asks for it or signs in anew.
    User,
    /// Its user, who has changed the password: to fill this takes somebody who has the account anyway.
    Password,
    /// The product itself, which saw that a session is in wrong hands.
    System,
}

/// Entries, by the minute after which they are forgotten.
#[derive(Debug, Default)]
struct Share {
    /// In order. Most have one or two.
    minutes: Vec<(i64, usize)>,
    entries: usize,
    /// When there was room for the last one beyond the share.
    paced_at: Option<Timestamp>,
}

/// Room for one entry. Given back when it is dropped, unless it [is kept](Room::keep).
#[derive(Debug)]
#[must_use = "room that is dropped is given back"]
pub(super) struct Room {
    shelf: Shelf,
    whose: Whose,
    place: Place,
    /// How many there are now, with this one.
    pub(super) number: usize,
    is_kept: bool,
}

/// Where an entry is counted.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the share, until this minute.
    Within(i64),
    /// Beyond it, at this instant, after the one before.
    Beyond(Timestamp, Option<Timestamp>),
}

impl Room {
    /// The entry is about to be written. Whatever becomes of that, it may be in the list from now on, and stays counted.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The entry was refused: nothing of it is in the list.
    pub(super) fn give_back(mut self) {
        self.is_kept = false;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Some(share) = self.shelf.lock().get_mut(&self.whose) {
            share.give_back(self.place);
        }
    }
}

impl Share {
    /// Counts one more: where, and how many there are then. Else how long to wait, where that helps.
    fn take(
        &mut self,
        kind: Kind,
        most: usize,
        minute: i64,
        now: Timestamp,
    ) -> Result<(Place, usize), Duration> {
        self.forget_over(now);
        if self.entries < most {
            self.entries += 1;
            match self.minutes.binary_search_by_key(&minute, |(minute, _)| *minute) {
                Ok(at) => self.minutes.get_mut(at).into_iter().for_each(|(_, entries)| *entries += 1),
                Err(at) => self.minutes.insert(at, (minute, 1)),
            }
            return Ok((Place::Within(minute), self.entries));
        }
        // A clock that was set back makes nobody wait.
        let paced_at = self.paced_at.filter(|at| *at <= now);
        let wait = paced_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(now.since(at)));
        if !kind.is_paced() || !wait.is_zero() {
            return Err(wait);
        }
        let before = self.paced_at.replace(now);
        Ok((Place::Beyond(now, before), self.entries.saturating_add(1)))
    }

    fn give_back(&mut self, place: Place) {
        match place {
            Place::Within(minute) => {
                let counted = self.minutes.iter_mut().find(|(counted, _)| *counted == minute);
                if let Some((_, entries)) = counted.filter(|(_, entries)| *entries > 0) {
                    *entries -= 1;
                    self.entries = self.entries.saturating_sub(1);
                }
            }
            Place::Beyond(at, before) if self.paced_at == Some(at) => self.paced_at = before,
            Place::Beyond(..) => {}
        }
    }

    fn forget_over(&mut self, now: Timestamp) {
        let now = minute(now);
        let over = self.minutes.iter().take_while(|(minute, _)| *minute < now).count();
        let over: usize = self.minutes.drain(..over).map(|(_, entries)| entries).sum();
        self.entries = self.entries.saturating_sub(over);
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.entries == 0 && self.paced_at.is_none_or(|at| now.since(at) >= PACE)
    }
}

impl Kind {
    /// How many entries of this kind a node writes down at a time.
    const fn most(self, principal: Option<&PrincipalId>) -> usize {
        match (self, principal) {
            (_, None) => ANONYMOUS_ENDS_MAX,
            (Self::End(_), Some(_)) => PRINCIPAL_ENDS_MAX,
            (Self::BriefEnd(_), Some(_)) => PRINCIPAL_BRIEF_ENDS_MAX,
            (Self::LastEnd(_), Some(_)) => PRINCIPAL_LAST_ENDS_MAX,
            (Self::Wide(_), Some(_)) => PRINCIPAL_WIDE_ENDS_MAX,
            (Self::Exchange, Some(_)) => PRINCIPAL_EXCHANGES_MAX,
            (Self::Proof, Some(_)) => PRINCIPAL_PROOFS_MAX,
            (Self::Floor, Some(_)) => PRINCIPAL_FLOORS_MAX,
            (Self::Change, Some(_)) => PRINCIPAL_CHANGES_MAX,
        }
    }

    /// Whether there is room for one more in a minute beyond that.
    const fn is_paced(self) -> bool {
        matches!(self, Self::Wide(_) | Self::Exchange | Self::Floor | Self::Change)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { shelves: (0..SHELVES).map(|_| Shelf::default()).collect() }
    }
}

impl Tally {
    /// Room for one more entry of this kind, until `until`. Of strangers all kinds are one.
    ///
    /// # Errors
    /// Where the share is full: how long until there is room for one more; zero where nobody can tell.
    pub(super) fn take(
        &self,
        kind: Kind,
        principal: Option<&PrincipalId>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Room, Duration> {
        let kind = if principal.is_some() { kind } else { Kind::End(Cause::User) };
        let whose = Whose { kind, principal: principal.cloned() };
        let shelf = Shelf::clone(self.shelf_of(principal));
        let mut shares = shelf.lock();
        let share = shares.entry(whose.clone()).or_default();
        let (place, number) = share.take(kind, kind.most(principal), minute(until), now)?;
        drop(shares);
        Ok(Room { shelf, whose, place, number, is_kept: false })
    }

    /// Forgets whose entries are all forgotten.
    pub(super) async fn forget_over(&self, now: Timestamp) {
        for shelf in &self.shelves {
            shelf.lock().retain(|_, share| {
                share.forget_over(now);
                !share.is_over(now)
            });
            tokio::task::yield_now().await;
        }
    }

    fn shelf_of(&self, principal: Option<&PrincipalId>) -> &Shelf {
        let number = principal.map_or(0, |principal| usize::from(Route::of_principal(principal).as_u16()));
        self.shelves.get(number % SHELVES).expect("the remainder is less than the number of shelves")
    }
}

fn minute(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(60_000)
}

/// Beyond a share that is paced there is room for one more this long after the last: for an account that somebody fills all the time,
/// some 350 kilobytes of the list in a day, and nothing in memory.
pub(super) const PACE: Duration = Duration::from_secs(60);
/// Shelves: of a million principals, some sixteen thousand are gone through under one lock when what is over is forgotten.
const SHELVES: usize = 64;
/// Ends of one principal's sessions, one by one, that a node writes down at a time and remembers for as long as the sessions could
/// have lived.
pub(super) const PRINCIPAL_ENDS_MAX: usize = 256;
/// Ends beyond those, which are remembered until the sessions are idle: one in four seconds, around the clock, where that is half an
/// hour. One more ends all the principal's sessions: a single entry in every node's memory, which all later ones widen.
pub(super) const PRINCIPAL_BRIEF_ENDS_MAX: usize = 768;
/// Ends of sessions that began within a minute since all of their principal's had ended, where no more of those are written down:
/// nobody fails to sign out for want of room who is not somebody that signs in and out twice in a second.
pub(super) const PRINCIPAL_LAST_ENDS_MAX: usize = 4_096;
/// Ends of everything that a principal has, that a node writes down at a time: ten a day. Each is a row of the list for as long as any
/// session could live. Beyond that, one in a minute.
pub(super) const PRINCIPAL_WIDE_ENDS_MAX: usize = 4_096;
/// Exchanged tokens of one principal that every node keeps apart. Beyond them each session has a floor, which stands for all of its.
pub(super) const PRINCIPAL_EXCHANGES_APART: usize = 1_024;
/// Exchanges of one principal's tokens that a node writes down at a time: one in twenty seconds, around the clock, of sessions that
/// are idle after two weeks. Beyond that, one in a minute.
pub(super) const PRINCIPAL_EXCHANGES_MAX: usize = 65_536;
/// Exchanges by proofs of identity. Beyond them a proof counts as ever, and the token stays: nobody who has the password and uses it in
/// a loop keeps its owner from proving identity, and so from changing it.
pub(super) const PRINCIPAL_PROOFS_MAX: usize = 4_096;
/// Sessions of one principal that have a floor, each an entry in every node's memory. Beyond that, one more in a minute.
pub(super) const PRINCIPAL_FLOORS_MAX: usize = 4_096;
/// Changes of one principal's sessions, in the same way, where older copies of a token are refused.
pub(super) const PRINCIPAL_CHANGES_MAX: usize = 65_536;
/// Entries for strangers that a node writes down at a time: five megabytes on every node. More ends and exchanged tokens are left to
/// time: nobody is signed in there, and strangers can make as many as they like.
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

    /// Room that is taken and kept; its number.
    fn takes(
        tally: &Tally,
        kind: Kind,
        principal: Option<&PrincipalId>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<usize, Duration> {
        tally.take(kind, principal, until, now).map(|mut room| {
            room.keep();
            room.number
        })
    }

    const END: Kind = Kind::End(Cause::User);

    #[tokio::test]
    async fn a_principal_has_so_many_ends_and_others_have_theirs() {
        let (tally, alice, bob) = (Tally::default(), named("alice"), named("bob"));
        let takes = |of: &PrincipalId, until, now| takes(&tally, END, Some(of), at(until), at(now)).is_ok();
        for _ in 0..PRINCIPAL_ENDS_MAX {
            assert!(takes(&alice, 10, 0));
        }
        assert!(!takes(&alice, 10, 0));
        assert!(takes(&bob, 10, 0));
        assert!(!takes(&alice, 30, 10), "to the minute");
        assert!(takes(&alice, 30, 11), "who was refused does not make it last longer");
        tally.forget_over(at(31)).await;
        assert!(tally.shelves.iter().all(|shelf| shelf.lock().is_empty()));
    }

    #[test]
    fn each_kind_of_a_principals_entries_has_a_share_of_its_own() {
        let (tally, alice) = (Tally::default(), named("alice"));
        let mut shares = vec![
            (Kind::Exchange, PRINCIPAL_EXCHANGES_MAX),
            (Kind::Proof, PRINCIPAL_PROOFS_MAX),
            (Kind::Floor, PRINCIPAL_FLOORS_MAX),
            (Kind::Change, PRINCIPAL_CHANGES_MAX),
        ];
        for cause in [Cause::User, Cause::Password, Cause::System] {
            shares.extend([
                (Kind::End(cause), PRINCIPAL_ENDS_MAX),
                (Kind::BriefEnd(cause), PRINCIPAL_BRIEF_ENDS_MAX),
                (Kind::LastEnd(cause), PRINCIPAL_LAST_ENDS_MAX),
                (Kind::Wide(cause), PRINCIPAL_WIDE_ENDS_MAX),
            ]);
        }
        for (kind, most) in shares {
            for number in 1..=most {
                assert_eq!(takes(&tally, kind, Some(&alice), at(10), at(0)), Ok(number), "{kind:?}");
            }
        }
    }

    #[test]
    fn beyond_a_share_that_is_paced_there_is_room_for_one_in_a_minute_and_no_kind_waits_for_another() {
        let (tally, alice) = (Tally::default(), named("alice"));
        for cause in [Cause::User, Cause::Password, Cause::System] {
            let wide =
                |now: Timestamp| takes(&tally, Kind::Wide(cause), Some(&alice), at(1_000), now).map(drop);
            for _ in 0..PRINCIPAL_WIDE_ENDS_MAX {
                assert_eq!(wide(at(0)), Ok(()));
            }
            assert_eq!(wide(at(0)), Ok(()));
            assert_eq!(wide(at(0)), Err(PACE), "{cause:?}");
            assert_eq!(wide(at(0).plus(Duration::from_secs(59))), Err(Duration::from_secs(1)));
            assert_eq!(wide(at(1)), Ok(()));
            assert_eq!(wide(at(1)), Err(PACE));
            let refused = tally.take(Kind::Wide(cause), Some(&alice), at(1_000), at(2)).unwrap();
            assert_eq!(wide(at(2)), Err(PACE));
            refused.give_back();
            assert_eq!(wide(at(2)), Ok(()), "what was not written does not count");
        }
        for _ in 0..PRINCIPAL_ENDS_MAX {
            takes(&tally, END, Some(&alice), at(10), at(0)).unwrap();
        }
        assert!(takes(&tally, END, Some(&alice), at(10), at(0)).is_err(), "others have another way out");
    }

    #[test]
    fn what_was_not_written_does_not_count() {
        let (tally, alice) = (Tally::default(), named("alice"));
        let rooms: Vec<Room> = (0..PRINCIPAL_ENDS_MAX)
            .filter_map(|_| tally.take(END, Some(&alice), at(10), at(0)).ok())
            .collect();
        assert!(tally.take(END, Some(&alice), at(10), at(0)).is_err());
        drop(rooms);
        for number in 1..=PRINCIPAL_ENDS_MAX {
            assert_eq!(takes(&tally, END, Some(&alice), at(20), at(0)), Ok(number));
        }
        // Given back when it was over already: nobody's room is given back in its place.
        let brief = Kind::BriefEnd(Cause::User);
        let mut late = tally.take(brief, Some(&alice), at(1), at(0)).unwrap();
        late.keep();
        takes(&tally, brief, Some(&alice), at(30), at(2)).unwrap();
        late.give_back();
        assert_eq!(takes(&tally, brief, Some(&alice), at(30), at(2)), Ok(2));
    }

    #[test]
    fn strangers_have_so_many_ends_together_and_each_leaves_when_it_is_over() {
        let tally = Tally::default();
        let takes = |until, now| takes(&tally, Kind::Exchange, None, at(until), at(now)).is_ok();
        assert!(takes(5, 0));
        for _ in 1..ANONYMOUS_ENDS_MAX {
            assert!(takes(10, 0));
        }
        assert!(!takes(10, 5) && tally.take(END, None, at(10), at(5)).is_err(), "whatever they say");
        assert!(takes(10, 6));
        assert!(!takes(10, 6));
    }
}
