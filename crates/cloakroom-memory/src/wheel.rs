//! When to look at a slot again: a hierarchical timing wheel (Varghese and Lauck 1987).
//!
//! An instant is a number of eleven digits of six bits. A slot waits in the bucket of the highest digit in which its
//! instant differs from the wheel's own, so the earliest bucket is found without a search, and a slot changes its
//! bucket at most eleven times. Activity does not disturb the wheel: a slot whose session was active since is put off
//! when its bucket comes up. Everything is one step for one slot, so a caller can stop anywhere.

use cloakroom_core::Timestamp;

use crate::slab::{Index, Slab};
use crate::slot::Slot;

/// Where a slot is in the wheel.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Position {
    /// The slot before it, or the bucket whose first one it is ([`Before`] as a number); 0 outside the wheel.
    before: u32,
    after: Option<Index>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Nothing,
    Bucket(u16),
    Slot(Index),
}

/// Slots by the instant from which something is to be done about them.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Where the buckets were last taken from; every bucket holds later instants.
    elapsed: u64,
    buckets: Box<[Option<Index>]>,
    /// Of each level, the digits whose bucket is not empty.
    occupied: [u64; LEVELS],
    /// Nothing of what is overdue was due before.
    overdue_since: u64,
    len: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            elapsed: 0,
            buckets: vec![None; BUCKETS].into(),
            occupied: [0; LEVELS],
            overdue_since: u64::MAX,
            len: 0,
        }
    }

    /// Puts the slot, which may be in the wheel already, to where it is looked at from `due` on.
    ///
    /// `due` may lie before what the wheel has seen, as after a clock stepped back.
    pub(crate) fn schedule(&mut self, slots: &mut Slab<Slot>, index: Index, due: Timestamp) {
        self.remove(slots, index);
        if self.len == 0 {
            // Nothing is passed over, and a near instant spares the slot a walk through the levels.
            self.elapsed = self.elapsed.max(ticks(slots.get(index).at));
        }
        let bucket = self.bucket_of(due);
        if bucket == OVERDUE {
            self.overdue_since = self.overdue_since.min(ticks(due));
        }
        let first = self.buckets.get_mut(usize::from(bucket)).expect(BUCKET);
        let after = first.replace(index);
        slots.get_mut(index).wheel = Position { before: Before::Bucket(bucket).encode(), after };
        if let Some(after) = after {
            slots.get_mut(after).wheel.before = Before::Slot(index).encode();
        }
        self.mark(bucket);
        self.len += 1;
    }

    /// Takes the slot out, if it is in.
    pub(crate) fn remove(&mut self, slots: &mut Slab<Slot>, index: Index) {
        let Position { before, after } = std::mem::take(&mut slots.get_mut(index).wheel);
        match Before::decode(before) {
            Before::Nothing => return,
            Before::Slot(slot) => slots.get_mut(slot).wheel.after = after,
            Before::Bucket(bucket) => {
                *self.buckets.get_mut(usize::from(bucket)).expect(BUCKET) = after;
                self.mark(bucket);
            }
        }
        if let Some(after) = after {
            slots.get_mut(after).wheel.before = before;
        }
        self.len -= 1;
    }

    /// Takes out a slot that is to be looked at by `now`: perhaps because of an instant that has been put off since.
    pub(crate) fn next(&mut self, slots: &mut Slab<Slot>, now: Timestamp) -> Option<Index> {
        loop {
            if let Some(index) = self.first(PENDING) {
                self.remove(slots, index);
                return Some(index);
            }
            if self.first(OVERDUE).is_some() && self.overdue_since <= ticks(now) {
                self.overdue_since = u64::MAX;
                self.take_bucket(slots, OVERDUE);
                continue;
            }
            let (bucket, start) = self.earliest_bucket().filter(|(_, start)| *start <= ticks(now))?;
            self.elapsed = start;
            self.take_bucket(slots, bucket);
        }
    }

    /// The earliest instant at which [`next`](Self::next) may find a slot.
    pub(crate) fn due_at(&self) -> Timestamp {
        if self.first(PENDING).is_some() {
            return Timestamp::from_millis(i64::MIN);
        }
        let overdue = self.first(OVERDUE).map_or(u64::MAX, |_| self.overdue_since);
        let bucket = self.earliest_bucket().map_or(u64::MAX, |(_, start)| start);
        instant(overdue.min(bucket))
    }

    fn bucket_of(&self, due: Timestamp) -> u16 {
        let due = ticks(due);
        if due <= self.elapsed {
            return OVERDUE;
        }
        let level = (due ^ self.elapsed).ilog2() / DIGIT_BITS;
        let digit = (due >> (level * DIGIT_BITS)) & (DIGITS - 1);
        u16::try_from(u64::from(level) * DIGITS + digit).expect("there are few buckets")
    }

    /// The bucket with the earliest instants, and the earliest instant it may hold.
    fn earliest_bucket(&self) -> Option<(u16, u64)> {
        let (level, digits) = (0_u32..).zip(self.occupied).find(|(_, digits)| *digits != 0)?;
        let digit = u64::from(digits.trailing_zeros());
        let above = (level + 1) * DIGIT_BITS;
        let start = self.elapsed.unbounded_shr(above).unbounded_shl(above) | digit << (level * DIGIT_BITS);
        let bucket = u16::try_from(u64::from(level) * DIGITS + digit).expect("there are few buckets");
        Some((bucket, start))
    }

    fn first(&self, bucket: u16) -> Option<Index> {
        *self.buckets.get(usize::from(bucket)).expect(BUCKET)
    }

    /// Makes all of `bucket` pending, in one step. Nothing is pending before.
    fn take_bucket(&mut self, slots: &mut Slab<Slot>, bucket: u16) {
        let first = self.buckets.get_mut(usize::from(bucket)).expect(BUCKET).take();
        self.mark(bucket);
        *self.buckets.get_mut(usize::from(PENDING)).expect(BUCKET) = first;
        if let Some(first) = first {
            slots.get_mut(first).wheel.before = Before::Bucket(PENDING).encode();
        }
    }

    /// Notes whether `bucket` is empty.
    fn mark(&mut self, bucket: u16) {
        let filled = self.first(bucket).is_some();
        let (level, digit) = (u64::from(bucket) / DIGITS, u64::from(bucket) % DIGITS);
        let level = usize::try_from(level).expect("there are few levels");
        // Pending and overdue slots belong to no level.
        if let Some(digits) = self.occupied.get_mut(level) {
            *digits = if filled { *digits | 1 << digit } else { *digits & !(1 << digit) };
        }
    }
}

impl Before {
    fn encode(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Slot(index) => index.get(),
            Self::Bucket(bucket) => Index::END + u32::from(bucket),
        }
    }

    fn decode(number: u32) -> Self {
        match number.checked_sub(Index::END).map(u16::try_from) {
            Some(bucket) => Self::Bucket(bucket.expect("encoded from sixteen bits")),
            None => Index::from_number(number).map_or(Self::Nothing, Self::Slot),
        }
    }
}

/// Milliseconds, in the same order, without a sign.
fn ticks(instant: Timestamp) -> u64 {
    instant.as_millis().cast_unsigned() ^ SIGN
}

fn instant(ticks: u64) -> Timestamp {
    Timestamp::from_millis((ticks ^ SIGN).cast_signed())
}

const SIGN: u64 = 1 << 63;
const DIGIT_BITS: u32 = 6;
const DIGITS: u64 = 1 << DIGIT_BITS;
/// Digits in 64 bits.
const LEVELS: usize = 11;
/// The bucket of what came too late for its own.
const OVERDUE: u16 = 704;
/// The bucket of what is being looked at.
const PENDING: u16 = OVERDUE + 1;
const BUCKETS: usize = 706;
const BUCKET: &str = "every bucket is there from the start";

#[cfg(test)]
impl Wheel {
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_core::{Lifetime, Route, SessionId, SessionRecord, SessionToken};
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn slot() -> Slot {
        let route = Route::from_bytes([0; 2]);
        let lifetime = Lifetime::new(Duration::ZERO, at(0), Duration::ZERO);
        let record = SessionRecord::new(SessionId::from_random(route, [0; 14]), at(0), lifetime);
        Slot::live(&record, &SessionToken::from_random(route, [0; 32]).digest())
    }

    fn wheel(dues: &[i64]) -> (Wheel, Slab<Slot>, Vec<Index>) {
        let (mut wheel, mut slots) = (Wheel::new(), Slab::new());
        let indices = dues.iter().map(|due| {
            let index = slots.insert(slot()).unwrap();
            wheel.schedule(&mut slots, index, at(*due));
            index
        });
        let indices = indices.collect();
        (wheel, slots, indices)
    }

    /// The slots whose instant has come by `now`, as the shard finds them: putting off what is not due.
    fn round(
        wheel: &mut Wheel,
        slots: &mut Slab<Slot>,
        dues: &[i64],
        indices: &[Index],
        now: i64,
    ) -> Vec<i64> {
        let mut found = Vec::new();
        while let Some(index) = wheel.next(slots, at(now)) {
            let due = dues[indices.iter().position(|other| *other == index).unwrap()];
            if due <= now {
                found.push(due);
            } else {
                wheel.schedule(slots, index, at(due));
            }
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn a_slot_is_found_at_its_instant_and_not_before() {
        let dues = [1, 63, 64, 65, 4_095, 4_096, 1_800_000, i64::MAX];
        let (mut wheel, mut slots, indices) = wheel(&dues);
        for due in dues {
            assert_eq!(round(&mut wheel, &mut slots, &dues, &indices, due - 1), [], "before {due}");
            assert_eq!(round(&mut wheel, &mut slots, &dues, &indices, due), [due]);
        }
        assert_eq!((wheel.len(), wheel.due_at()), (0, Timestamp::MAX));
    }

    #[test]
    fn after_a_clock_that_stepped_back_nothing_is_lost_and_no_round_is_endless() {
        let dues = [1_000, 9_000, 50];
        let (mut wheel, mut slots, mut indices) = wheel(&dues[..2]);
        assert_eq!(round(&mut wheel, &mut slots, &dues, &indices, 1_000), [1_000]);
        let late = slots.insert(slot()).unwrap();
        indices.push(late);
        wheel.schedule(&mut slots, late, at(50));
        for (now, found) in
            [(40, vec![]), (49, vec![]), (50, vec![50]), (8_999, vec![]), (9_000, vec![9_000])]
        {
            assert_eq!(round(&mut wheel, &mut slots, &dues, &indices, now), found, "at {now}");
        }
    }

    proptest! {
        #[test]
        fn every_slot_is_found_in_the_first_round_at_or_after_its_instant(
            dues in prop::collection::vec(prop_oneof![-100..1_000_i64, 0..1_000_000_000_i64, any::<i64>()], 1..50),
            mut rounds in prop::collection::vec(prop_oneof![0..1_000_i64, 0..1_000_000_000_i64, any::<i64>()], 1..20),
            removed in 0..5_usize,
        ) {
            let (mut wheel, mut slots, indices) = wheel(&dues);
            for index in indices.iter().take(removed) {
                wheel.remove(&mut slots, *index);
            }
            let mut waiting: Vec<i64> = dues.iter().skip(removed).copied().collect();
            waiting.sort_unstable();
            rounds.sort_unstable();
            for now in rounds {
                prop_assert!(waiting.first().is_none_or(|due| wheel.due_at() <= at((*due).max(0))));
                let found = round(&mut wheel, &mut slots, &dues, &indices, now);
                let expected: Vec<i64> = waiting.extract_if(.., |due| *due <= now).collect();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(wheel.len(), waiting.len());
            }
        }
    }
}
