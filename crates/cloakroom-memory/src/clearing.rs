//! Clearing up a shard: what is over, and what has to go where there is no room.

use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_store::{Ended, Swept};

use crate::shard::Shard;
use crate::slab::Index;
use crate::slot::Class;

/// What made room.
#[derive(Debug)]
pub(crate) enum Evicted {
    /// A session, now a tombstone.
    Session(Ended),
    /// A tombstone or a retired token, now forgotten.
    Remnant,
}

impl Shard {
    /// Looks at no more than `budget` slots that may be over by `now`, buries or removes those that are, and takes the
    /// looks off the budget.
    pub(crate) fn clear_up(&mut self, now: Timestamp, budget: &mut usize, swept: &mut Swept) {
        self.is_changed = true;
        while let Some(position) = self.carrying_out {
            let Some((index, after)) = self.slots.next(position) else {
                self.carrying_out = None;
                self.epochs.carried_out();
                break;
            };
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            self.carrying_out = Some(after);
            self.carry_out_on(index, now, swept);
        }
        while *budget > 0
            && let Some(index) = self.wheel.next(&mut self.slots, now)
        {
            *budget -= 1;
            self.look_at(index, now, swept);
        }
    }

    /// Whether, at the earliest, something is to be cleared up.
    pub(crate) fn due_at(&self) -> Timestamp {
        if self.carrying_out.is_some() { Timestamp::from_millis(i64::MIN) } else { self.wheel.due_at() }
    }

    /// Makes room: of the slots of `class` the one that was active, or ended, longest ago goes, but not the session
    /// `spared`. `None` where there is no other.
    pub(crate) fn evict(
        &mut self,
        class: Class,
        spared: Option<SessionId>,
        now: Timestamp,
    ) -> Option<Evicted> {
        if class == Class::Remnant {
            let index = self.lists.of(class).first()?;
            self.remove(index);
            return Some(Evicted::Remnant);
        }
        let may_go = |index: &Index| Some(self.slots.get(*index).id) != spared;
        let index = self.lists.of(class).iter(&self.slots).find(may_go)?;
        let (reason, at) = self.fate(self.slots.get(index), now).unwrap_or((EndReason::StoreFull, now));
        let ended = self.bury(index, reason, at);
        Some(Evicted::Session(ended))
    }

    /// Carries out the epochs on one slot.
    fn carry_out_on(&mut self, index: Index, now: Timestamp, swept: &mut Swept) {
        let slot = self.slots.get(index);
        let end = slot.alive().and_then(|alive| self.epochs.end_of(alive.generation, slot.created_at));
        if end.is_some() {
            self.look_at(index, now, swept);
        }
    }

    /// Does what is to be done about a slot by `now`, or puts it off.
    fn look_at(&mut self, index: Index, now: Timestamp, swept: &mut Swept) {
        if self.slots.get(index).alive().is_some() {
            match self.settle(index, now) {
                None => return self.schedule(index),
                Some(ended) => swept.ended.push(ended),
            }
        }
        let due = self.slots.get(index).due_at();
        if due <= now {
            self.remove(index);
            swept.removed += 1;
        } else {
            self.wheel.schedule(&mut self.slots, index, due);
        }
    }
}
