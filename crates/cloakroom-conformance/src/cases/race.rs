//! Calls at the same time: each happens whole, in some order, and no order revives what has ended.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use cloakroom_core::EndReason::{Compromised, IdleTimeout, RevokedByAdmin, SignedOut};
use cloakroom_core::{AttributeKey, SessionRecord, TokenDigest};
use cloakroom_store::{Lookup, Rekeyed, Replaced, Selector, TouchReport, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, Seeded, T0, at, principal_id};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("race", |_| true;
    of_many_changes_of_one_session_every_one_counts,
    a_sign_out_is_not_undone_by_a_change_at_the_same_time,
    a_sign_out_is_not_undone_by_activity_at_the_same_time,
    a_sign_out_is_not_undone_by_an_exchange_of_the_token_at_the_same_time,
    at_every_instant_exactly_one_token_of_an_exchange_is_live,
    of_many_ends_of_one_session_exactly_one_reports_it,
    what_a_sweep_reported_is_not_revived_by_activity_at_the_same_time,
    whoever_signed_in_before_everything_ended_is_out,
    whoever_signed_in_before_all_of_their_sessions_ended_is_out,
);

/// Counts to `turns`, each step in a task of its own, the tasks spread over `stores`.
pub(crate) async fn count_up(stores: &[Subject], filing: &Filing, turns: u64) {
    let mut racers = JoinSet::new();
    for (store, _) in stores.iter().cycle().zip(0..turns) {
        let (store, digest) = (store.clone(), filing.digest);
        racers.spawn(async move { count_one(&store, digest).await });
    }
    racers.join_all().await;
    for store in stores {
        let Lookup::Live(live) = store.look_up(filing.digest, T0).await else { panic!("the session lives") };
        assert_eq!(counter(&live.record), turns, "every change counts");
        assert_eq!(live.version, Version::from_u64(turns + 1), "each has a version of its own");
    }
}

async fn count_one(store: &Subject, digest: TokenDigest) {
    let Lookup::Live(mut current) = store.look_up(digest, T0).await else { panic!("the session lives") };
    loop {
        let mut record = (*current.record).clone();
        let next = counter(&record) + 1;
        let key = AttributeKey::new(COUNTER).expect("a key");
        record.attributes.encode(key, &next).expect("a number can be encoded");
        match store.change(digest, current.version, &record, T0).await {
            Replaced::Done(_) => return,
            Replaced::Conflict(newer) => current = newer,
            other => panic!("the session lives: {other:?}"),
        }
    }
}

fn counter(record: &SessionRecord) -> u64 {
    record.attributes.decode(COUNTER).expect("a number was encoded").unwrap_or(0)
}

const COUNTER: &str = "counter";

async fn of_many_changes_of_one_session_every_one_counts(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    count_up(&[store], &filing, 64).await;
}

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

async fn a_sign_out_is_not_undone_by_a_change_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Change).await;
}

async fn a_sign_out_is_not_undone_by_activity_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Activity).await;
}

async fn a_sign_out_is_not_undone_by_an_exchange_of_the_token_at_the_same_time(context: &Context) {
    let store = context.open().await;
    sign_out_against(context.effort().races / 3, [&store, &store], Write::Exchange).await;
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

pub(crate) async fn file_together(store: &Subject, filings: &[Filing]) {
    let mut calls = JoinSet::new();
    for filing in filings {
        let (store, filing) = (store.clone(), filing.clone());
        calls.spawn(async move { store.file(&filing).await });
    }
    calls.join_all().await;
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

async fn at_every_instant_exactly_one_token_of_an_exchange_is_live(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..context.effort().races.div_ceil(100) {
        let filing = fixtures.signed_in("alice");
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        store.file(&filing).await;
        let over = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { store: store.clone(), old: filing.digest, new: next.digest };
        let beside = tokio::spawn(watcher.clone().watch_until(Arc::clone(&over)));
        let exchange = pin!(store.exchange(filing.digest, Version::FIRST, &next, at(1)));
        let answer = watcher.watch_between_steps(exchange).await;
        over.store(true, Ordering::SeqCst);
        assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
        beside.await.expect("exactly one token is live all the time");
        assert!(matches!(store.look_up(filing.digest, at(1)).await, Lookup::Retired(_)));
    }
}

/// Looks at both tokens of an exchange.
#[derive(Clone)]
struct Watcher {
    store: Subject,
    old: TokenDigest,
    new: TokenDigest,
}

impl Watcher {
    /// Looks from another thread: for stores that are done in one step.
    async fn watch_until(self, over: Arc<AtomicBool>) {
        while !over.load(Ordering::SeqCst) {
            self.look().await;
            tokio::task::yield_now().await;
        }
    }

    /// Looks wherever the exchange waits for something: for stores that take several steps.
    async fn watch_between_steps<T>(&self, mut exchange: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            let step = std::future::poll_fn(|context| Poll::Ready(exchange.as_mut().poll(context))).await;
            match step {
                Poll::Ready(answer) => return answer,
                Poll::Pending => self.look().await,
            }
        }
    }

    /// What was seen of one token limits what may be seen of the other afterwards.
    async fn look(&self) {
        if matches!(self.store.look_up(self.new, at(1)).await, Lookup::Live(_)) {
            let then = self.store.look_up(self.old, at(1)).await;
            assert!(
                matches!(then, Lookup::Retired(_)),
                "the new token lives, so the old one does not: {then:?}"
            );
        }
        match self.store.look_up(self.old, at(1)).await {
            Lookup::Live(_) => {}
            Lookup::Retired(_) => {
                let then = self.store.look_up(self.new, at(1)).await;
                assert!(
                    matches!(then, Lookup::Live(_)),
                    "the old token is dead, so the new one lives: {then:?}"
                );
            }
            other => panic!("the old token is live or retired: {other:?}"),
        }
    }
}

async fn of_many_ends_of_one_session_exactly_one_reports_it(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..10 {
        let filing = fixtures.signed_in("alice");
        store.file(&filing).await;
        let mut enders = JoinSet::new();
        for turn in 0..16 {
            let (store, id) = (store.clone(), filing.id());
            let reason = if turn % 2 == 0 { SignedOut } else { RevokedByAdmin };
            enders.spawn(async move { store.finish_one(id, reason, at(1)).await.ended });
        }
        let reports: Vec<_> = enders.join_all().await.into_iter().flatten().collect();
        let [report] = reports.as_slice() else { panic!("one report: {reports:?}") };
        let over = Lookup::Ended(filing.tombstone(report.reason, at(1)));
        assert_eq!(store.look_up(filing.digest, at(1)).await, over, "the one that was reported holds");
    }
}

async fn what_a_sweep_reported_is_not_revived_by_activity_at_the_same_time(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for _ in 0..context.effort().races.div_ceil(500) {
        let filings: Vec<Filing> = (0..4).map(|_| fixtures.signed_in("alice")).collect();
        file_together(&store, &filings).await;
        let batch: Vec<_> = filings.iter().map(|filing| (filing.digest, at(999))).collect();
        let toucher = {
            let store = store.clone();
            tokio::spawn(async move { store.note(&batch, at(999)).await })
        };
        let swept = store.sweep_up(at(1_000)).await;
        toucher.await.expect("touch answers");
        for filing in &filings {
            let reported = swept.iter().any(|ended| ended.session == filing.id());
            let expected = if reported {
                Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)))
            } else {
                Lookup::Live(filing.live_seen(at(999)))
            };
            assert_eq!(store.look_up(filing.digest, at(1_000)).await, expected);
            store.finish_one(filing.id(), SignedOut, at(1_000)).await;
        }
        store.sweep_up(at(100_000)).await;
    }
}

async fn whoever_signed_in_before_everything_ended_is_out(context: &Context) {
    let store = context.open().await;
    end_among_sign_ins([&store, &store], &Selector::All).await;
}

async fn whoever_signed_in_before_all_of_their_sessions_ended_is_out(context: &Context) {
    let store = context.open().await;
    let selector = Selector::Principal { principal: principal_id("alice"), except: None };
    end_among_sign_ins([&store, &store], &selector).await;
}

/// Sign-ins go on at one handle while they are ended at the other: those acknowledged before are out, those asked for
/// afterwards are in.
pub(crate) async fn end_among_sign_ins([ends, store]: [&Subject; 2], selector: &Selector) {
    let mut fixtures = Fixtures::new(1);
    for _ in 0..10 {
        let [before, during, after]: [Vec<Filing>; 3] =
            std::array::from_fn(|_| (0..16).map(|_| fixtures.signed_in("alice")).collect());
        file_together(store, &before).await;
        let signing_in = {
            let (store, during) = (store.clone(), during.clone());
            tokio::spawn(async move { file_together(&store, &during).await })
        };
        ends.finish(selector, Compromised, T0).await;
        file_together(store, &after).await;
        signing_in.await.expect("sign-ins answer");
        for filing in &before {
            let over = Lookup::Ended(filing.tombstone(Compromised, T0));
            assert_eq!(store.look_up(filing.digest, T0).await, over);
        }
        for filing in &after {
            assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Live(filing.live()));
        }
        for filing in &during {
            let found = store.look_up(filing.digest, T0).await;
            let out = Lookup::Ended(filing.tombstone(Compromised, T0));
            assert!(found == Lookup::Live(filing.live()) || found == out, "in or out: {found:?}");
        }
    }
}

/// Races at the same time.
const BATCH: u32 = 100;
/// Batches beyond those that were asked for: enough to get from one order to the other.
const MOST_MORE: u32 = 12;
/// A million turns of the scheduler: longer than any answer takes.
const MOST_DOUBLED: u32 = 20;
