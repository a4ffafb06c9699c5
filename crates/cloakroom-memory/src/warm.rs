//! Unpacked records of the sessions that are asked for: a second-chance queue, bounded in bytes.
//!
//! A record is kept unpacked from the second time on that it is asked for within a while: callers that go through all
//! sessions once would otherwise make every look-up pay for putting another one out.

use std::collections::VecDeque;
use std::sync::Arc;

use cloakroom_core::SessionRecord;

use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// Which slots have their record unpacked, in the order in which it was.
#[derive(Debug)]
pub(crate) struct Warm {
    queue: VecDeque<Index>,
    bytes: usize,
    max_bytes: usize,
    clock: Clock,
}

/// Measures "a while" in records unpacked. It comes round, and a session that was last asked for a whole round ago then
/// looks as if it had been asked for lately: once in a hundred, and harmless.
#[derive(Debug)]
struct Clock {
    ticks: u16,
    time: u8,
}

impl Warm {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, max_bytes, clock: Clock { ticks: 0, time: 2 } }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The record of a live session: shared with the callers before, or unpacked and kept for the next.
    pub(crate) fn record(&mut self, slots: &mut Slab<Slot>, index: Index) -> Arc<SessionRecord> {
        let record = slots.get(index).record();
        let Some(alive) = slots.get_mut(index).alive_mut() else { return record };
        if alive.warm.is_some() {
            alive.asked_for = true;
            return record;
        }
        let now = self.clock.tick();
        let before = std::mem::replace(&mut alive.unpacked_at, now);
        let size = record.memory_size();
        if now.wrapping_sub(before) > 1 || size > self.max_bytes {
            return record;
        }
        alive.warm = Some(Arc::clone(&record));
        alive.asked_for = false;
        self.bytes += size;
        self.make_room(slots);
        self.queue.push_back(index);
        record
    }

    /// Forgets the unpacked record of a session that changed or ended. Its place in the queue is passed over later.
    pub(crate) fn forget(&mut self, slots: &mut Slab<Slot>, index: Index) {
        if let Some(record) = slots.get_mut(index).alive_mut().and_then(|alive| alive.warm.take()) {
            self.bytes -= record.memory_size();
        }
    }

    /// Forgets records until there is room. Who was asked for since the last pass gets another one, but not endlessly:
    /// one call shall not pass over the whole queue.
    fn make_room(&mut self, slots: &mut Slab<Slot>) {
        let mut chances = SECOND_CHANCES;
        while self.bytes > self.max_bytes || self.queue.len() >= self.max_bytes / LEAST_BYTES {
            let Some(index) = self.queue.pop_front() else { return };
            let alive = slots.find_mut(index).and_then(Slot::alive_mut);
            match alive {
                Some(alive) if alive.asked_for && alive.warm.is_some() && chances > 0 => {
                    alive.asked_for = false;
                    chances -= 1;
                    self.queue.push_back(index);
                }
                Some(_) => self.forget(slots, index),
                None => {}
            }
        }
    }
}

impl Clock {
    fn tick(&mut self) -> u8 {
        self.ticks += 1;
        if self.ticks == WHILE {
            self.ticks = 0;
            self.time = self.time.wrapping_add(1);
        }
        self.time
    }
}

/// Records unpacked in a shard between two hands of its clock: small against the sessions of a large shard, of which
/// few are then asked for twice by chance, and large against what is asked for again and again.
const WHILE: u16 = 512;
/// Slots that one call may pass over.
const SECOND_CHANCES: u32 = 8;
/// No record is smaller: bounds the queue too, in which places of ended sessions remain.
const LEAST_BYTES: usize = size_of::<SessionRecord>();

#[cfg(test)]
impl Warm {
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}
