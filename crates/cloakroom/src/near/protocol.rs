//! When a memory of the store may be believed: the decisions alone, without async, clock, I/O or threads.
//!
//! Instants are readings of one node's monotonic clock in nanoseconds. Everything here is a plain value, so that a model
//! checker can put it into every state; [`cache`](super::cache) does the same with several threads.

use super::sabotage::{Harm, Sabotage};

/// What a node knows of one part of all sessions: until when what it remembers of it may be used, and which memories
/// are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Trust {
    until: u64,
    generation: u64,
    counts_from: u64,
}

impl Trust {
    /// Entries may be used before this instant; never, where it is zero.
    pub(crate) const fn until(&self) -> u64 {
        self.until
    }

    /// Entries of another generation are forgotten, wherever they still are.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// `proof` has been answered for this part: what was known when its probe was *sent* is known here now. Whether that
    /// counts: not where the part was lost, or an end was acknowledged, since the proof began.
    pub(crate) fn proven(&mut self, proof: Proof, lease: u64, answered_at: u64, harm: Harm) -> bool {
        if proof.number < self.counts_from && !harm.does(Sabotage::LateProofCounts) {
            return false;
        }
        let from = if harm.does(Sabotage::LeaseFromReply) { answered_at } else { proof.sent_at };
        // Proofs may be answered out of order: a late answer takes nothing back.
        self.until = self.until.max(from.saturating_add(lease));
        true
    }

    /// Anything may have changed: nothing that was known counts any more, nor any proof that began before `next`.
    pub(crate) fn gap(&mut self, next: u64, harm: Harm) {
        if harm.does(Sabotage::TrustAfterGap) {
            return;
        }
        self.until = 0;
        if !harm.does(Sabotage::KeepEntriesAfterGap) {
            self.generation = self.generation.wrapping_add(1);
        }
        self.counts_from = next;
    }

    /// Something in this part has just ended, acknowledged to this node, and nobody can say which entry it is: nothing is
    /// used until a proof that begins with `next` or later has brought the news.
    pub(crate) fn floor(&mut self, next: u64, harm: Harm) {
        if harm.does(Sabotage::KeepTrustAfterOwnEnd) {
            return;
        }
        self.until = 0;
        self.counts_from = next;
    }
}

/// The proofs of one node, numbered: two things may happen within one reading of a clock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Proofs {
    next: u64,
}

impl Proofs {
    /// A proof begins whose probe is sent after this. `sent_at` was read before this.
    pub(crate) fn begin(&mut self, sent_at: u64) -> Proof {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        Proof { number, sent_at }
    }

    /// The number of the next proof.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }
}

/// One proof on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Proof {
    number: u64,
    sent_at: u64,
}

impl Proof {
    pub(crate) const fn number(self) -> u64 {
        self.number
    }

    pub(crate) const fn sent_at(self) -> u64 {
        self.sent_at
    }
}

/// How often there was news among some digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Counter(u64);

impl Counter {
    /// There was news.
    pub(crate) fn advance(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

/// How things stood before the store was asked: whether its answer may be kept is decided by this when it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Mark {
    generation: u64,
    counter: Counter,
    covered: bool,
}

impl Mark {
    /// The mark of a reader that read these, in this order, and then the clock.
    ///
    /// The generation first: read after it, `until` cannot belong to an earlier generation, so that a mark of a generation
    /// in which nothing is covered yet is never taken for covered.
    pub(crate) fn take(generation: u64, until: u64, counter: Counter, now: u64, harm: Harm) -> Self {
        Self { generation, counter, covered: now < until || harm.does(Sabotage::FillWhileUntrusted) }
    }

    /// The generation that an answer belongs to.
    pub(crate) const fn generation(self) -> u64 {
        self.generation
    }

    /// Whether an answer may be kept, now that these are the part's generation and the digest's counter: it was covered
    /// when the store was asked, and there was no news since.
    pub(crate) fn holds(self, generation: u64, counter: Counter, harm: Harm) -> bool {
        self.covered
            && (self.generation == generation || harm.does(Sabotage::FillAcrossGap))
            && (self.counter == counter || harm.does(Sabotage::SkipMark))
    }
}

/// Whether an entry of `entry_generation` may be used by a reader that read `until`, then `generation`, then the entry,
/// and then the clock.
///
/// The lease first and the clock last: otherwise a reader that pauses in between uses an entry that has been removed
/// meanwhile, under a lease that has been renewed because it was.
pub(crate) const fn is_usable(until: u64, generation: u64, entry_generation: u64, now: u64) -> bool {
    entry_generation == generation && now < until
}
