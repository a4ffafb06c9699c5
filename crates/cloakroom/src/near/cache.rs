//! The protocol with several threads: readers who never wait, and news, fills and proofs that order themselves.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Live, Lookup, News, Parts, Touch};

use super::cells::{Cells, Lock, Map, Word};
use super::entry::{Entry, Kept};
use super::protocol::{Counter, Mark, Proof, Proofs, Trust, is_usable};
use super::sabotage::{Harm, Sabotage};

/// What a node remembers of the store, and for how long it may believe it.
///
/// Whoever changes trust holds the ledger's lock and publishes what readers need in two words per part; readers take no
/// lock of it. Whoever files or forgets an entry holds the lock of its digest's counter.
#[derive(Debug)]
pub(crate) struct Cache<C: Cells> {
    lease: u64,
    harm: Harm,
    parts: Box<[Shown<C>]>,
    ledger: C::Lock<Ledger>,
    counters: Box<[C::Lock<Counter>]>,
    /// How often tombstones were removed by this node: what is over may be unknown by now.
    swept: C::Word,
    map: C::Map,
}

/// What readers see of a part's trust.
#[derive(Debug)]
struct Shown<C: Cells> {
    until: C::Word,
    generation: C::Word,
}

#[derive(Debug)]
struct Ledger {
    trust: Box<[Trust]>,
    proofs: Proofs,
    /// When the newest probe was sent that was answered for every part.
    proven_at: Option<u64>,
    /// Ends acknowledged to this node whose news has not been proven to be here.
    unsettled: Vec<Unsettled>,
}

#[derive(Debug)]
struct Unsettled {
    parts: Parts,
    counts_from: u64,
    at: u64,
}

/// How things stood before the store was asked for a digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    mark: Mark,
    since_sweep: u64,
}

/// What became of an answer of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Learnt {
    /// It is remembered.
    Kept,
    /// It is not: there was news meanwhile, or nothing is covered.
    Refused,
    /// There is nothing in it to remember.
    Nothing,
}

impl<C: Cells> Cache<C> {
    pub(crate) fn new(max_bytes: u64, lease: u64, harm: Harm) -> Self {
        let shown = || Shown { until: C::Word::new(0), generation: C::Word::new(0) };
        let ledger = Ledger {
            trust: vec![Trust::default(); C::PARTS].into(),
            proofs: Proofs::default(),
            proven_at: None,
            unsettled: Vec::new(),
        };
        Self {
            lease,
            harm,
            parts: (0..C::PARTS).map(|_| shown()).collect(),
            ledger: C::Lock::new(ledger),
            counters: (0..C::COUNTERS).map(|_| C::Lock::new(Counter::default())).collect(),
            swept: C::Word::new(0),
            map: C::Map::new(max_bytes),
        }
    }

    /// What is remembered of `digest` and may be used now; `clock` reads the monotonic clock.
    ///
    /// # Security
    /// The order of these readings is the promise: see [`is_usable`].
    pub(crate) fn look(&self, digest: &TokenDigest, clock: impl Fn() -> u64) -> Option<Entry> {
        let part = self.part_of(digest);
        let early = self.harm.does(Sabotage::EntryBeforeTrust).then(|| self.map.get(digest));
        let early_now = self.harm.does(Sabotage::ClockBeforeEntry).then(&clock);
        let until = part.until.load();
        let generation = part.generation.load();
        let entry = early.unwrap_or_else(|| self.map.get(digest))?;
        let usable = match &entry.kept {
            Kept::Live(_) => {
                let now = early_now.unwrap_or_else(clock);
                is_usable(until, generation, entry.generation, now)
            }
            // What is over stays over, whoever is trusted.
            Kept::Over { since_sweep, .. } => {
                entry.generation == generation && *since_sweep == self.swept.load()
            }
        };
        usable.then_some(entry)
    }

    /// To be taken before the store is asked for `digest`.
    pub(crate) fn mark(&self, digest: &TokenDigest, clock: impl Fn() -> u64) -> Asked {
        let since_sweep = self.swept.load();
        let part = self.part_of(digest);
        let early = self.harm.does(Sabotage::MarkTrustFirst).then(|| part.until.load());
        let generation = part.generation.load();
        let until = early.unwrap_or_else(|| part.until.load());
        let counter = self.counter_of(digest).with(|counter| *counter);
        Asked { mark: Mark::take(generation, until, counter, clock(), self.harm), since_sweep }
    }

    /// The store, asked after `asked` was taken, has answered.
    pub(crate) fn learn(&self, digest: TokenDigest, asked: Asked, answer: &Lookup) -> Learnt {
        let Asked { mark, since_sweep } = asked;
        self.counter_of(&digest).with(|counter| match answer {
            Lookup::Live(live) => self.learn_alive(digest, mark, *counter, live, answer),
            over => {
                if !self.harm.does(Sabotage::EndedAnswerIsNoNews) {
                    // No older answer that says "alive" may be kept after this one.
                    counter.advance();
                    self.map.remove(&digest);
                }
                let Some(entry) = Entry::of(over, mark.generation(), since_sweep) else {
                    return Learnt::Nothing;
                };
                self.map.insert(digest, entry);
                Learnt::Kept
            }
        })
    }

    fn learn_alive(
        &self,
        digest: TokenDigest,
        mark: Mark,
        counter: Counter,
        live: &Live,
        answer: &Lookup,
    ) -> Learnt {
        let current = self.part_of(&digest).generation.load();
        let known = self.map.get(&digest);
        if !mark.holds(current, counter, self.harm) {
            if known.is_some_and(|known| known.is_older_than(live)) {
                self.map.remove(&digest);
            }
            return Learnt::Refused;
        }
        if known.is_some_and(|known| known.generation == current && known.outranks(live)) {
            return Learnt::Refused;
        }
        let generation = if self.harm.does(Sabotage::FillAcrossGap) { current } else { mark.generation() };
        let Some(entry) = Entry::of(answer, generation, 0) else { return Learnt::Nothing };
        self.map.insert(digest, entry);
        Learnt::Kept
    }

    /// The store's news. Whatever is told here is known before the proof that follows is answered.
    pub(crate) fn told(&self, news: News<'_>) {
        if self.harm.does(Sabotage::ForgetNews) {
            return;
        }
        match news {
            News::Changed(digests) => digests.iter().for_each(|digest| self.forget(digest)),
            News::Anything(parts) => self.lost(parts),
            // News of a kind that this does not know may be about anything.
            _ => self.lost(Parts::ALL),
        }
    }

    /// This node has changed what is filed under `digest`, or may have.
    pub(crate) fn changed(&self, digest: &TokenDigest) {
        if !self.harm.does(Sabotage::ForgetOwnChanges) {
            self.forget(digest);
        }
    }

    /// What is known of `digest` may be wrong.
    pub(crate) fn forget(&self, digest: &TokenDigest) {
        self.counter_of(digest).with(|counter| {
            counter.advance();
            self.map.remove(digest);
        });
    }

    /// Anything in `parts` may have changed: nothing that is known of them counts any more.
    pub(crate) fn lost(&self, parts: Parts) {
        self.ledger.with(|ledger| {
            let next = ledger.proofs.next();
            ledger.proven_at = None;
            for number in parts.numbers() {
                if let (Some(trust), Some(shown)) = at(&mut ledger.trust, &self.parts, number) {
                    trust.gap(next, self.harm);
                    shown.publish(trust);
                }
            }
        });
    }

    /// A feed is about to be opened, or has been closed: what happened before, or happens now, nobody tells.
    pub(crate) fn unwatched(&self) {
        if !self.harm.does(Sabotage::ReopenKeepsEntries) {
            self.lost(Parts::ALL);
        }
    }

    /// Sessions in `parts` have ended, acknowledged to this node at `at`; or they may have.
    pub(crate) fn ended(&self, parts: Parts, at_instant: u64) {
        self.ledger.with(|ledger| {
            let next = ledger.proofs.next();
            for number in parts.numbers() {
                if let (Some(trust), Some(shown)) = at(&mut ledger.trust, &self.parts, number) {
                    trust.floor(next, self.harm);
                    shown.publish(trust);
                }
            }
            if ledger.unsettled.len() < MAX_UNSETTLED {
                ledger.unsettled.push(Unsettled { parts, counts_from: next, at: at_instant });
            }
        });
    }

    /// A proof begins: its probe is sent after this. `sent_at` was read before this.
    pub(crate) fn begin_proof(&self, sent_at: u64) -> Proof {
        self.ledger.with(|ledger| ledger.proofs.begin(sent_at))
    }

    /// `proof` has been answered for `parts`, after all news that it proves. How long each end by this node that is known
    /// to be known now has taken to be.
    pub(crate) fn proven(&self, proof: Proof, parts: Parts, now: u64) -> Vec<u64> {
        self.ledger.with(|ledger| {
            let mut complete = parts == Parts::ALL;
            for number in parts.numbers() {
                if let (Some(trust), Some(shown)) = at(&mut ledger.trust, &self.parts, number) {
                    complete &= trust.proven(proof, self.lease, now, self.harm);
                    shown.publish(trust);
                }
            }
            if complete {
                ledger.proven_at = ledger.proven_at.max(Some(proof.sent_at()));
            }
            let mut lags = Vec::new();
            ledger.unsettled.retain_mut(|end| {
                if proof.number() >= end.counts_from {
                    end.parts = end.parts.without(parts);
                }
                let is_settled = end.parts.is_empty();
                if is_settled {
                    lags.push(now.saturating_sub(end.at));
                }
                !is_settled
            });
            lags
        })
    }

    /// The store has acknowledged touches at `now`, each of them.
    pub(crate) fn touched(&self, touches: &[Touch], now: Timestamp) {
        for touch in touches {
            self.map.with(&touch.digest, |entry| {
                if let Kept::Live(live) = &entry.kept {
                    live.touched(touch.seen_at, now);
                }
            });
        }
    }

    /// Activity of `digest` at `at` waits to be written down.
    pub(crate) fn noted(&self, digest: &TokenDigest, at: Timestamp) {
        self.map.with(digest, |entry| {
            if let Kept::Live(live) = &entry.kept {
                live.note(at);
            }
        });
    }

    /// Tombstones were removed from the store: what is remembered as over may be unknown there.
    pub(crate) fn swept(&self) {
        self.ledger.with(|_| self.swept.store(self.swept.load().wrapping_add(1)));
    }

    /// How many parts are trusted at `now`.
    pub(crate) fn trusted(&self, now: u64) -> usize {
        self.parts.iter().filter(|part| now < part.until.load()).count()
    }

    /// When the newest probe was sent that was answered for every part since anything was lost.
    pub(crate) fn proven_at(&self) -> Option<u64> {
        self.ledger.with(|ledger| ledger.proven_at)
    }

    pub(crate) fn entries(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.bytes()
    }

    fn part_of(&self, digest: &TokenDigest) -> &Shown<C> {
        let number = usize::from(Parts::number_of(digest.route()));
        self.parts.get(number).expect("there is one for every byte")
    }

    fn counter_of(&self, digest: &TokenDigest) -> &C::Lock<Counter> {
        // Other bytes than the map chooses by.
        let [.., high, low] = *digest.hash();
        let number = usize::from(u16::from_be_bytes([high, low])) % C::COUNTERS;
        self.counters.get(number).expect("a remainder is smaller than what it was divided by")
    }
}

impl<C: Cells> Shown<C> {
    /// Shows readers what the ledger says. What ends trust first: a mark, which reads the generation first, then never takes
    /// a new generation for covered because of an old lease.
    fn publish(&self, trust: &Trust) {
        self.until.store(trust.until());
        self.generation.store(trust.generation());
    }
}

fn at<'a, C: Cells>(
    trust: &'a mut [Trust],
    parts: &'a [Shown<C>],
    number: u8,
) -> (Option<&'a mut Trust>, Option<&'a Shown<C>>) {
    (trust.get_mut(usize::from(number)), parts.get(usize::from(number)))
}

/// Ends whose news is waited for, for the sake of a metric: more than a node ends in a lease.
const MAX_UNSETTLED: usize = 4_096;
