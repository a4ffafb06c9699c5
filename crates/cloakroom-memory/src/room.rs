//! Making room where a store is full.

use cloakroom_core::{SessionId, Timestamp};
use cloakroom_store::{Ended, Swept};

use crate::cell::Cell;
use crate::clearing::Evicted;
use crate::slot::Class;
use crate::store::MemoryStore;

impl MemoryStore {
    /// Makes room until the store is within its bound again, and tells of each session that ended for it or was found
    /// to be over. The session `spared` does not go.
    ///
    /// One shard is locked at a time: which has the best candidate is read from what the shards publish.
    pub(crate) fn make_room(&self, spared: Option<SessionId>, now: Timestamp, mut tell: impl FnMut(Ended)) {
        let mut looks = MOST_LOOKS;
        while self.is_over_full() && looks > 0 && self.clear_up_one(now, &mut looks, &mut tell) {}
        let mut passed_over = PassedOver::default();
        while self.is_over_full() {
            let Some((class, number)) = self.next_to_go(passed_over) else { return };
            match self.cell(number).with(&self.ledger, |shard| shard.evict(class, spared, now)) {
                Some(Evicted::Session(ended)) => tell(ended),
                Some(Evicted::Remnant) => {}
                None => passed_over.add(class, number),
            }
        }
    }

    pub(crate) fn is_over_full(&self) -> bool {
        self.ledger.all() > self.max_bytes
    }

    /// Clears up a shard where something may be over; whether there was one.
    fn clear_up_one(&self, now: Timestamp, looks: &mut usize, tell: &mut impl FnMut(Ended)) -> bool {
        let Some(cell) = self.cells.iter().find(|cell| cell.is_due(now)) else { return false };
        let mut budget = LOOKS_AT_ONCE.min(*looks);
        // One look is spent in any case: another caller may have been here first.
        *looks -= 1;
        let before = budget;
        let mut swept = Swept::default();
        cell.with(&self.ledger, |shard| shard.clear_up(now, &mut budget, &mut swept));
        *looks = looks.saturating_sub(before - budget);
        swept.ended.into_iter().for_each(tell);
        true
    }

    /// The class that goes next, and the shard with the oldest slot of it.
    ///
    /// Remnants go first, but for a share that is left to them until the end: who was put out for want of room shall
    /// be told so.
    fn next_to_go(&self, passed_over: PassedOver) -> Option<(Class, usize)> {
        let oldest = |class| self.oldest(class, passed_over).map(|number| (class, number));
        let spare_remnants = self.ledger.remnants() > self.max_bytes / REMNANTS_SHARE;
        let first = if spare_remnants { oldest(Class::Remnant) } else { None };
        first
            .or_else(|| oldest(Class::Anonymous))
            .or_else(|| oldest(Class::SignedIn))
            .or_else(|| oldest(Class::Remnant))
    }

    fn oldest(&self, class: Class, passed_over: PassedOver) -> Option<usize> {
        let cells = self.cells.iter().enumerate();
        let published = cells.filter_map(|(number, cell)| Some((cell.oldest(class)?, number)));
        let (_, number) = published.filter(|(_, number)| !passed_over.contains(class, *number)).min()?;
        Some(number)
    }

    fn cell(&self, number: usize) -> &Cell {
        self.cells.get(number).expect("shards are counted from 0")
    }
}

/// Shards in which nothing of a class may go, because all of it is spared.
#[derive(Clone, Copy, Default, Debug)]
struct PassedOver([u64; 3]);

impl PassedOver {
    fn add(&mut self, class: Class, number: usize) {
        *self.of(class) |= 1 << number;
    }

    fn contains(mut self, class: Class, number: usize) -> bool {
        *self.of(class) & 1 << number != 0
    }

    fn of(&mut self, class: Class) -> &mut u64 {
        let [remnant, anonymous, signed_in] = &mut self.0;
        match class {
            Class::Remnant => remnant,
            Class::Anonymous => anonymous,
            Class::SignedIn => signed_in,
        }
    }
}

/// What one call that needs room looks at for something that is over, before it puts out somebody who is not: some
/// 100 µs of work.
const MOST_LOOKS: usize = 1_024;
/// Of these, under one lock.
const LOOKS_AT_ONCE: usize = 64;
/// One part in so many of a store's bytes is left to tombstones and retired tokens, even where sessions end for want of
/// room.
const REMNANTS_SHARE: usize = 16;
