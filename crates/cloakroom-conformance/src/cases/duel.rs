//! A sign-out against a write of the same session, again and again, until either has been first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::EndReason::SignedOut;
use cloakroom_store::{Lookup, Rekeyed, Replaced, TouchReport, Version};
use tokio::task::JoinSet;

use super::race::file_together;
use crate::fixtures::{Filing, Fixtures, Seeded, at};
use crate::subject::Subject;

/// A write that races with a sign-out.
#[derive(Clone, Copy)]
pub(crate) enum Write {
    Change,
    Activity,
    Exchange,
}

impl Write {
    /// Writes, and answers whether that was in time.
    async fn attempt(self, store: &Subject, filing: &Filing, next: &Filing) -> bool {
        match self {
            Self::Change => match store.change(filing.digest, Version::FIRST, &next.record, at(1)).await {
                Replaced::Done(_) => true,
                Replaced::Ended(_) => false,
                other => panic!("in time or too late: {other:?}"),
            },
            Self::Activity => {
                store.note(&[(filing.digest, at(1))], at(1)).await == TouchReport { touched: 1, ignored: 0 }
            }
            Self::Exchange => match store.exchange(filing.digest, Version::FIRST, next, at(1)).await {
                Rekeyed::Done(_) => true,
                Rekeyed::Ended(_) => false,
                other => panic!("in time or too late: {other:?}"),
            },
        }
    }
}

/// Many short races between a sign-out at the first handle and a write at the second, in batches so that a store that
/// commits in groups can. Whoever won a whole batch starts later in the next one, until the other side wins some: both
/// orders come about on every store, however unlike the ways of the two through a network are.
pub(crate) async fn sign_out_against(races: u32, [store, writer]: [&Subject; 2], write: Write) {
    let (mut fixtures, mut coin) = (Fixtures::new(1), Seeded::new(2));
    let (mut in_time, mut too_late, mut handicap) = (0, 0, Handicap::default());
    let mut more = 0;
    while in_time + too_late < races || ((in_time == 0 || too_late == 0) && more < MOST_MORE) {
        let left = races.saturating_sub(in_time + too_late);
        more += u32::from(left == 0);
        let size = if left == 0 { races.max(1) } else { left }.min(BATCH);
        let filings: Vec<Filing> = (0..size).map(|_| fixtures.signed_in("alice")).collect();
        file_together(store, &filings).await;
        let mut running = JoinSet::new();
        for filing in filings {
            let next = filing.rotated(fixtures.next_digest(&filing), at(1));
            let race = Race { stores: [store.clone(), writer.clone()], write, filing, next, handicap };
            running.spawn(race.run(coin.below(2) == 0));
        }
        let won = running.join_all().await.into_iter().map(u32::from).sum::<u32>();
        (in_time, too_late) = (in_time + won, too_late + size - won);
        handicap.learn(won, size - won);
        store.sweep_up(at(100_000)).await;
    }
    assert!(in_time > 0 && too_late > 0, "races: {in_time} in time, {too_late} too late");
}

/// Who starts later, and by how much: each step is four times the one before.
#[derive(Clone, Copy, Default, Debug)]
struct Handicap {
    /// Above zero the writer waits, below zero the ender.
    steps: i32,
}

impl Handicap {
    fn learn(&mut self, won_by_writer: u32, won_by_ender: u32) {
        self.steps += i32::from(won_by_writer > 0) - i32::from(won_by_ender > 0);
    }

    /// For how many turns of the scheduler the writer waits.
    fn of_writer(self) -> u32 {
        Self::turns(self.steps)
    }

    /// For how many the ender does.
    fn of_ender(self) -> u32 {
        Self::turns(-self.steps)
    }

    /// Nobody waits longer than for the other side's answer, so the last steps are an order and no race any more.
    fn turns(steps: i32) -> u32 {
        let steps = u32::try_from(steps).unwrap_or(0);
        if steps == 0 { 0 } else { 1 << (2 * steps).min(MOST_DOUBLED) }
    }
}

/// Lets two tasks go on at the same moment, as far as the machine has two processors free.
#[derive(Default)]
struct Start {
    ready: AtomicUsize,
    answered: AtomicUsize,
}

impl Start {
    async fn together(&self) {
        self.ready.fetch_add(1, Ordering::SeqCst);
        while self.ready.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    }

    /// Stays behind for so many turns of the scheduler, or until the other side has its answer.
    async fn stay(&self, turns: u32) {
        for _ in 0..turns {
            if self.answered.load(Ordering::SeqCst) > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn answer(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// One race: the end at the first store, the write at the second.
struct Race {
    stores: [Subject; 2],
    write: Write,
    filing: Filing,
    next: Filing,
    handicap: Handicap,
}

impl Race {
    /// Whether the write was in time. Whoever is spawned first is a matter of luck, who is first even more so.
    async fn run(self, writer_first: bool) -> bool {
        let Self { stores: [store, writes], write, filing, next, handicap } = self;
        let start = Arc::new(Start::default());
        let writer = {
            let (start, store, filing, next) =
                (Arc::clone(&start), writes.clone(), filing.clone(), next.clone());
            async move {
                start.together().await;
                start.stay(handicap.of_writer()).await;
                let in_time = write.attempt(&store, &filing, &next).await;
                start.answer();
                in_time
            }
        };
        let ender = {
            let (store, id) = (store.clone(), filing.id());
            async move {
                start.together().await;
                start.stay(handicap.of_ender()).await;
                let ending = store.finish_one(id, SignedOut, at(1)).await;
                start.answer();
                ending
            }
        };
        let (ending, in_time) = if writer_first {
            let writer = tokio::spawn(writer);
            (tokio::spawn(ender).await, writer.await)
        } else {
            let ender = tokio::spawn(ender);
            let in_time = tokio::spawn(writer).await;
            (ender.await, in_time)
        };
        let ending = ending.expect("the end answers");
        let in_time = in_time.expect("the write answers");
        let tombstone = filing.tombstone(SignedOut, at(1));
        assert_eq!(ending.ended, [tombstone.clone().into()], "whichever was first, the sign-out ended it");
        let over = Lookup::Ended(tombstone);
        for store in [&writes, &store] {
            if matches!(write, Write::Exchange) && in_time {
                assert!(matches!(store.look_up(filing.digest, at(2)).await, Lookup::Retired(_)));
                assert_eq!(store.look_up(next.digest, at(2)).await, over);
            } else {
                assert_eq!(store.look_up(filing.digest, at(2)).await, over);
                assert_eq!(store.look_up(next.digest, at(2)).await, Lookup::Unknown);
            }
        }
        in_time
    }
}

/// Races at the same time.
const BATCH: u32 = 100;
/// Batches beyond those that were asked for: enough to get from one order to the other.
const MOST_MORE: u32 = 12;
/// A million turns of the scheduler: longer than any answer takes.
const MOST_DOUBLED: u32 = 20;
