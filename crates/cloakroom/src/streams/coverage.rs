//! What the store's feed has proven, part by part.

use cloakroom_store::Parts;
use tokio::time::Instant;

/// For each part, whether the feed covers it and since when that is known.
///
/// A part is covered from the first proof that was begun after its last gap, until the next gap. While it is covered,
/// whatever changes in it is told; a session that was looked up since then, and of which nothing was told, lives.
#[derive(Debug)]
pub(super) struct Coverage {
    /// Gaps so far, over all parts: orders gaps and proofs, which instants cannot within one reading of a clock.
    gaps: u64,
    parts: Box<[Part]>,
    /// Parts that had a gap, or are newly covered: their sessions are to be looked up, but not all are queued yet.
    unsettled: Parts,
    /// Those of them whose sessions are being queued.
    settling: Parts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// When the last proof of it was begun, while it is covered.
    proven_at: Option<Instant>,
    /// The same of the proof before its last gap.
    proven_before_gap: Option<Instant>,
    /// The number of its last gap.
    gap: u64,
}

/// A proof that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Instant,
    gaps: u64,
}

/// How far parts are settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settling {
    /// These are to be settled, from the first session on.
    Begins(Parts),
    /// These are, from where it stopped.
    GoesOn(Parts),
    Done,
}

impl Coverage {
    pub(super) fn new() -> Self {
        let parts = vec![Part::default(); Parts::COUNT].into();
        Self { gaps: 0, parts, unsettled: Parts::NONE, settling: Parts::NONE }
    }

    /// A proof is asked for now.
    pub(super) fn asked(&self, now: Instant) -> Asked {
        Asked { at: now, gaps: self.gaps }
    }

    /// These parts were proven. Whether some were not covered before, so that there is something to settle.
    pub(super) fn proven(&mut self, asked: Asked, parts: Parts) -> bool {
        let mut gained = Parts::NONE;
        for (number, part) in self.numbered(parts) {
            // A gap that was told after the proof was begun is one that the proof knows nothing of.
            if part.gap > asked.gaps {
                continue;
            }
            if part.proven_at.is_none() {
                gained = gained.with(number);
            }
            part.proven_at = part.proven_at.max(Some(asked.at));
        }
        self.unsettled = self.unsettled.union(gained);
        !gained.is_empty()
    }

    /// Anything may have happened in these parts.
    pub(super) fn gap(&mut self, parts: Parts) {
        self.gaps += 1;
        let gap = self.gaps;
        for (_, part) in self.numbered(parts) {
            if let Some(proven_at) = part.proven_at.take() {
                part.proven_before_gap = Some(proven_at);
            }
            part.gap = gap;
        }
        self.unsettled = self.unsettled.union(parts);
    }

    /// Since when a session of this part is known to live if it is not suspect: the beginning of the part's last proof,
    /// or, as long as its sessions have still to be made suspect, of the last one before the gap.
    pub(super) fn proven_at(&self, part: u8) -> Option<Instant> {
        let state = self.parts.get(usize::from(part)).copied().unwrap_or_default();
        if self.is_settled(part) { state.proven_at } else { state.proven_before_gap }
    }

    /// Whether the sessions of this part are suspect where they have to be.
    pub(super) fn is_settled(&self, part: u8) -> bool {
        !self.unsettled.contains(part) && !self.settling.contains(part)
    }

    /// Begins to settle what is unsettled, unless that is under way.
    pub(super) fn settling(&mut self) -> Settling {
        if !self.settling.is_empty() {
            return Settling::GoesOn(self.settling);
        }
        // What becomes unsettled from now on has its turn after this, from the first session on.
        self.settling = std::mem::take(&mut self.unsettled);
        if self.settling.is_empty() { Settling::Done } else { Settling::Begins(self.settling) }
    }

    /// Every session of the parts that were being settled is suspect.
    pub(super) fn settled(&mut self) {
        self.settling = Parts::NONE;
    }

    fn numbered(&mut self, of: Parts) -> impl Iterator<Item = (u8, &mut Part)> {
        (0..=u8::MAX).zip(self.parts.iter_mut()).filter(move |(number, _)| of.contains(*number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settle(coverage: &mut Coverage) -> Settling {
        let settling = coverage.settling();
        coverage.settled();
        settling
    }

    #[test]
    fn a_part_is_covered_from_a_proof_begun_after_its_gap() {
        let mut coverage = Coverage::new();
        let now = crate::system::timer_now();
        let early = coverage.asked(now);
        coverage.gap(Parts::one(7));
        assert!(coverage.proven(early, Parts::one(7).with(8)));
        assert_eq!(settle(&mut coverage), Settling::Begins(Parts::one(7).with(8)));
        assert_eq!(coverage.proven_at(7), None, "it had a gap after the proof was begun");
        assert_eq!(coverage.proven_at(8), Some(now));
        let late = coverage.asked(now);
        assert!(coverage.proven(late, Parts::one(7)), "begun at the same instant, but after the gap");
        assert_eq!(settle(&mut coverage), Settling::Begins(Parts::one(7)));
        assert_eq!(coverage.proven_at(7), Some(now));
        assert_eq!(settle(&mut coverage), Settling::Done);
    }

    #[test]
    fn proofs_that_answer_out_of_order_never_take_one_back() {
        let mut coverage = Coverage::new();
        let now = crate::system::timer_now();
        let later = now + Duration::from_secs(1);
        let (first, second) = (coverage.asked(now), coverage.asked(later));
        coverage.proven(second, Parts::ALL);
        assert!(!coverage.proven(first, Parts::ALL));
        settle(&mut coverage);
        assert_eq!(coverage.proven_at(0), Some(later));
    }

    #[test]
    fn until_a_gap_is_settled_its_sessions_count_as_proven_before_it_and_no_longer() {
        let mut coverage = Coverage::new();
        let now = crate::system::timer_now();
        let later = now + Duration::from_secs(1);
        let asked = coverage.asked(now);
        coverage.proven(asked, Parts::ALL);
        settle(&mut coverage);
        coverage.gap(Parts::one(3));
        let asked = coverage.asked(later);
        coverage.proven(asked, Parts::ALL);
        assert_eq!(coverage.proven_at(3), Some(now));
        assert_eq!(coverage.proven_at(4), Some(later));
        assert_eq!(coverage.settling(), Settling::Begins(Parts::one(3)));
        assert_eq!(coverage.proven_at(3), Some(now));
        coverage.gap(Parts::one(9));
        assert_eq!(coverage.settling(), Settling::GoesOn(Parts::one(3)));
        coverage.settled();
        assert_eq!(coverage.proven_at(3), Some(later));
        assert_eq!(coverage.settling(), Settling::Begins(Parts::one(9)));
    }
}
