//! Filing a session, and keeping the limit.

use std::num::NonZeroU32;

use cloakroom_core::{EndReason, OnLimit, SessionLimit, Timestamp};
use cloakroom_store::{Ended, InsertRequest, Inserted};

use crate::shard::{Shard, count_of};
use crate::slab::Index;
use crate::slot::{Class, Slot, State};

impl Shard {
    /// Files `slot`, made of what `request` asks for; `None` where there are no numbers left for slots.
    pub(crate) fn insert(
        &mut self,
        slot: Slot,
        request: &InsertRequest<'_>,
        over: &mut Vec<Ended>,
    ) -> Option<Inserted> {
        if self.find(&request.digest).is_some() || self.find_id(slot.id).is_some() {
            return Some(Inserted::AlreadyExists);
        }
        let replaced = self.replaced(request, over);
        let Some(victims) = self.victims(request, replaced, over) else {
            return Some(Inserted::LimitReached);
        };
        let index = self.file(slot)?;
        let mut ended = Vec::new();
        if let Some(replaced) = replaced {
            ended.push(self.bury(replaced, EndReason::Replaced, request.now));
        }
        for victim in victims {
            ended.push(self.bury(victim, EndReason::SessionLimit, request.now));
        }
        debug_assert!(self.slots.get(index).alive().is_some(), "a session is never its own victim");
        Some(Inserted::Done { ended })
    }

    /// Files a tombstone or a retired token whose digest and id are free.
    pub(crate) fn file_remnant(&mut self, slot: Slot) -> Option<Index> {
        self.is_changed = true;
        let (bytes, due) = (slot.bytes(), slot.due_at());
        let is_tombstone = matches!(slot.state, State::Tombstone { .. });
        let index = self.slots.insert(slot)?;
        self.bytes.all += bytes;
        self.bytes.remnants += bytes;
        self.directory.add_digest(&self.slots, index);
        if is_tombstone {
            self.counts.tombstones += 1;
            self.directory.add_id(&self.slots, index);
            self.order.add(&self.slots, index);
            self.kin.add(&mut self.slots, index);
            self.kin.move_to_end(&mut self.slots, index);
        }
        self.lists.of_mut(Class::Remnant).push(&mut self.slots, index);
        self.wheel.schedule(&mut self.slots, index, due);
        Some(index)
    }

    /// Files a live session whose digest and id are free.
    pub(crate) fn file(&mut self, slot: Slot) -> Option<Index> {
        self.is_changed = true;
        let (class, bytes) = (slot.class(), slot.bytes());
        let index = self.slots.insert(slot)?;
        let generation = self.epochs.generation();
        let slot = self.slots.get_mut(index);
        let created_at = slot.created_at;
        slot.alive_mut().expect("only sessions are filed").generation = generation;
        let comes_too_late = self.epochs.end_of(generation, created_at).is_some();
        if !comes_too_late {
            *count_of(&mut self.counts, class) += 1;
        }
        self.bytes.all += bytes;
        self.directory.add_digest(&self.slots, index);
        self.directory.add_id(&self.slots, index);
        self.order.add(&self.slots, index);
        self.lists.of_mut(class).push(&mut self.slots, index);
        self.kin.add(&mut self.slots, index);
        if comes_too_late {
            // The next sweep tells of its end, and need not wait for its timeout.
            self.wheel.schedule(&mut self.slots, index, Timestamp::from_millis(i64::MIN));
        } else {
            self.schedule(index);
        }
        Some(index)
    }

    /// The session that is to be replaced, if it lives and has the same principal.
    fn replaced(&mut self, request: &InsertRequest<'_>, over: &mut Vec<Ended>) -> Option<Index> {
        let principal = request.record.principal.as_ref()?.id().as_str();
        let index = self.find_id(request.replaces?)?;
        let slot = self.slots.get(index);
        if slot.alive().is_none() || slot.packed.principal() != Some(principal.as_bytes()) {
            return None;
        }
        match self.settle(index, request.now) {
            None => Some(index),
            Some(ended) => {
                over.push(ended);
                None
            }
        }
    }

    /// The sessions that have to end for the limit; `None` where the limit refuses.
    fn victims(
        &mut self,
        request: &InsertRequest<'_>,
        replaced: Option<Index>,
        over: &mut Vec<Ended>,
    ) -> Option<Vec<Index>> {
        let (Some(limit), Some(principal)) = (request.limit, request.record.principal.as_ref()) else {
            return Some(Vec::new());
        };
        let mut rivals = self.live_of(principal.id().as_str(), request.now, over);
        rivals.retain(|rival| Some(*rival) != replaced);
        let excess = (rivals.len() + 1).saturating_sub(most(limit.max));
        match limit.on_limit {
            OnLimit::Refuse if excess > 0 => return None,
            OnLimit::Refuse => {}
            OnLimit::EndOldest | OnLimit::EndIdlest => self.sort_by_worth(&mut rivals, limit),
        }
        rivals.truncate(excess);
        Some(rivals)
    }

    /// The live sessions of a principal. Those found to be over are buried.
    pub(crate) fn live_of(&mut self, principal: &str, now: Timestamp, over: &mut Vec<Ended>) -> Vec<Index> {
        let kin = self.kin.of(&self.slots, principal.as_bytes());
        let mut living: Vec<Index> =
            kin.take_while(|index| self.slots.get(*index).alive().is_some()).collect();
        living.retain(|index| match self.settle(*index, now) {
            None => true,
            Some(ended) => {
                over.push(ended);
                false
            }
        });
        living
    }

    /// Those that end first come first; ids break ties.
    fn sort_by_worth(&self, sessions: &mut [Index], limit: SessionLimit) {
        sessions.sort_unstable_by_key(|index| {
            let slot = self.slots.get(*index);
            let seen_at = if limit.on_limit == OnLimit::EndIdlest { slot.at } else { slot.created_at };
            (seen_at, slot.created_at, slot.id)
        });
    }
}

fn most(max: NonZeroU32) -> usize {
    usize::try_from(max.get()).unwrap_or(usize::MAX)
}
