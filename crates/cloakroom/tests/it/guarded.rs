//! Stores that fail, hang and come back, behind a guard. Time is the runtime's, and stands still until somebody waits.

#![expect(clippy::disallowed_methods, reason = "the runtime's paused clock is what is measured by")]

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    Activity, BreakerState, GuardPolicy, GuardedStore, Random, RandomError, Refused, SessionError, Validation,
};
use cloakroom_conformance::{
    CountingStore, Effort, Fault, FaultyStore, Gate, GatedStore, Harness, Moment, Suite,
};
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{Applied, EndRequest, ErrorKind, Lookup, Selector, Store, StoreError, Verb};
use tokio::time::Instant;

use crate::support::{World, policy};

const SECOND: Duration = Duration::from_secs(1);

/// Makes every rest the longest it may be.
#[derive(Debug)]
struct NoJitter;

impl Random for NoJitter {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(0xff);
        Ok(())
    }
}

/// A guard over a store that counts what reaches it, over one that fails on demand.
struct Guarded {
    faulty: Arc<FaultyStore>,
    counting: Arc<CountingStore>,
    store: Arc<GuardedStore>,
}

fn guarded(policy: GuardPolicy) -> Guarded {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let counting = Arc::new(CountingStore::new(faulty.clone()));
    let store = Arc::new(GuardedStore::shared(counting.clone(), policy).with_random(NoJitter));
    Guarded { faulty, counting, store }
}

fn gated(policy: GuardPolicy) -> (Arc<GatedStore>, Arc<GuardedStore>) {
    let gated = Arc::new(GatedStore::new(Arc::new(MemoryStore::default())));
    (gated.clone(), Arc::new(GuardedStore::shared(gated, policy).with_random(NoJitter)))
}

fn patience() -> GuardPolicy {
    GuardPolicy::default().with_failures(3).with_rest(SECOND, 4 * SECOND).with_deadline(5 * SECOND)
}

fn digest() -> TokenDigest {
    cloakroom::SessionToken::from_random(cloakroom_core::Route::from_bytes([7, 7]), [7; 32]).digest()
}

async fn get(store: &GuardedStore) -> Result<Lookup, StoreError> {
    store.get(digest(), Timestamp::EPOCH).await
}

fn refusal(answer: &Result<Lookup, StoreError>) -> Option<Refused> {
    let error = answer.as_ref().err()?;
    let refused = Refused::cause_of(error).copied()?;
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
    Some(refused)
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_left_alone_and_tried_by_one_call_at_growing_intervals() {
    let Guarded { faulty, counting, store } = guarded(patience());
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        faulty.go_down(kind);
        for _ in 0..3 {
            assert!(refusal(&get(&store).await).is_none(), "the store's own error");
        }
        assert_eq!(store.state(), BreakerState::Open);
        counting.take();
        let began = Instant::now();
        for rest in [1, 2, 4, 4] {
            let refused = refusal(&get(&store).await).expect("nobody asks the store now");
            assert_eq!(refused.retry_after(), rest * SECOND);
            for _ in 0..1_000 {
                assert!(refusal(&get(&store).await).is_some());
            }
            assert_eq!(counting.take(), [], "a thousand calls, and the store heard of none");
            tokio::time::advance(rest * SECOND).await;
            assert!(refusal(&get(&store).await).is_none(), "this one tried it");
            assert_eq!(counting.take(), [Verb::Get]);
        }
        assert_eq!(began.elapsed(), 11 * SECOND);
        faulty.heal();
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(get(&store).await.unwrap(), Lookup::Unknown, "recovered by itself");
        assert_eq!(store.state(), BreakerState::Recovering);
        tokio::time::advance(10 * SECOND).await;
        get(&store).await.unwrap();
        assert_eq!(store.state(), BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_store_that_is_there_says_never_opens_the_breaker() {
    let Guarded { faulty, store, .. } = guarded(patience());
    for kind in [
        ErrorKind::Full,
        ErrorKind::ReadOnly,
        ErrorKind::Corrupt,
        ErrorKind::Unsupported,
        ErrorKind::Internal,
    ] {
        faulty.go_down(kind);
        for _ in 0..100 {
            assert_eq!(get(&store).await.unwrap_err().kind(), kind, "passed on as it is");
        }
        assert_eq!(store.state(), BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_away_takes_nobody_elses_sessions_along() {
    let Guarded { faulty, counting, store } = guarded(patience());
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        for _ in 0..100 {
            faulty.lose_a_part(kind);
            let error = get(&store).await.unwrap_err();
            assert!(error.is_of_a_part() && Refused::cause_of(&error).is_none(), "the store's own word");
            faulty.heal();
            assert_eq!(get(&store).await.unwrap(), Lookup::Unknown);
        }
        assert_eq!(store.state(), BreakerState::Closed);
    }
    assert_eq!(counting.take().len(), 400, "all of them reached the store");
    // Nor does it hide that the whole is away, or keep it from being found again.
    faulty.go_down(ErrorKind::Unavailable);
    for _ in 0..3 {
        get(&store).await.unwrap_err();
    }
    assert_eq!(store.state(), BreakerState::Open);
    faulty.lose_a_part(ErrorKind::Unavailable);
    tokio::time::advance(SECOND).await;
    assert!(
        get(&store).await.is_err_and(|error| error.is_of_a_part()),
        "tried, and what it says is nobody's fault but its own"
    );
    faulty.heal();
    assert_eq!(get(&store).await.unwrap(), Lookup::Unknown, "the next one tries at once");
}

#[tokio::test(start_paused = true)]
async fn lists_that_take_too_long_keep_nobody_from_signing_in() {
    let Guarded { faulty, store, .. } = guarded(patience());
    faulty.go_down(ErrorKind::Timeout);
    for _ in 0..20 {
        assert_eq!(store.count(Timestamp::EPOCH).await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(store.state(), BreakerState::Closed);
    faulty.heal();
    get(&store).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline_and_a_write_that_was_cut_off_may_have_been_applied() {
    let (gated, store) = gated(patience());
    let held = gated.hold(Verb::Get, Moment::Before);
    let began = Instant::now();
    let error = get(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.verb(), began.elapsed()), (ErrorKind::Timeout, Verb::Get, 5 * SECOND));
    drop(held);

    let _held = gated.hold(Verb::End, Moment::After);
    let selector = Selector::All;
    let request =
        EndRequest { selector: &selector, reason: cloakroom::EndReason::Compromised, now: Timestamp::EPOCH };
    let error = store.end(request).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert_eq!(store.state(), BreakerState::Closed, "two are not yet three");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_noticed_even_where_callers_are_less_patient_than_the_guard() {
    let (gated, store) = gated(patience());
    let _held: Vec<Gate> = (0..4).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    let impatient = async |patience: Duration| {
        assert!(tokio::time::timeout(patience, get(&store)).await.is_err(), "the caller left first");
    };
    impatient(SECOND - Duration::from_millis(1)).await;
    for _ in 0..2 {
        impatient(SECOND).await;
    }
    assert_eq!(store.state(), BreakerState::Closed, "the first left for reasons of its own");
    impatient(SECOND).await;
    assert_eq!(store.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_a_part_that_hangs_take_nobody_elses_sessions_along() {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let gated = Arc::new(GatedStore::new(faulty.clone()));
    let store = Arc::new(GuardedStore::shared(gated.clone(), patience()).with_random(NoJitter));
    // Somebody else's session: one of several servers is away, and there are several.
    faulty.lose([
        cloakroom::SessionToken::from_random(cloakroom_core::Route::from_bytes([9, 9]), [9; 32]).digest()
    ]);
    let _held: Vec<Gate> = (0..100).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    for _ in 0..100 {
        let impatient = tokio::time::timeout(2 * SECOND, get(&store));
        assert!(impatient.await.is_err(), "the caller left first");
    }
    assert_eq!(store.state(), BreakerState::Closed);
    assert_eq!(get(&store).await.unwrap(), Lookup::Unknown);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_and_calls_that_wait_are_bounded_and_the_rest_is_refused_at_once() {
    let (gated, store) = gated(patience().with_room(2, 3));
    let held: Vec<Gate> = (0..9).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    let calls: Vec<_> = (0..9)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let began = Instant::now();
                (get(&store).await, began.elapsed())
            })
        })
        .collect();
    assert!(tokio::time::timeout(SECOND, held[2].reached()).await.is_err(), "the third has to wait");
    drop(held);
    let mut answered = Vec::new();
    for call in calls {
        let (answer, took) = call.await.unwrap();
        match refusal_of(answer) {
            None => answered.push(took),
            Some(refused) => {
                assert_eq!(took, Duration::ZERO, "{refused}");
                assert!(refused.to_string().contains("too many"), "{refused}");
            }
        }
    }
    assert_eq!(answered, [SECOND; 5], "two in flight and three who waited");

    fn refusal_of(answer: Result<Lookup, StoreError>) -> Option<Refused> {
        match &answer {
            Ok(_) => None,
            Err(_) => refusal(&answer),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_store_fails_those_who_wait_for_it_are_told_at_once() {
    let (gated, store) = gated(patience().with_failures(1).with_room(3, 10));
    let _held: Vec<Gate> = (0..8).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    let call = |after: Duration| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let began = Instant::now();
            let answer = get(&store).await;
            (answer.unwrap_err(), began.elapsed())
        })
    };
    let hanging: Vec<_> = (0..3).map(|_| call(Duration::ZERO)).collect();
    let waiting: Vec<_> = (0..5).map(|_| call(SECOND)).collect();
    for call in hanging {
        let (error, took) = call.await.unwrap();
        assert_eq!((error.kind(), took), (ErrorKind::Timeout, 5 * SECOND));
    }
    for call in waiting {
        let (error, took) = call.await.unwrap();
        assert!(Refused::cause_of(&error).is_some(), "{error:?}");
        assert_eq!(took, 4 * SECOND, "as soon as one of those before had failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_is_not_run_over() {
    let (gated, store) = gated(patience().with_room(64, 1_000));
    let held: Vec<Gate> = (0..3).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    for _ in 0..3 {
        get(&store).await.unwrap_err();
    }
    drop(held);
    tokio::time::advance(SECOND).await;
    // A hundred callers at once: one probes; whoever comes while it does is refused.
    let probe = gated.hold(Verb::Get, Moment::Before);
    let call = || {
        let store = Arc::clone(&store);
        tokio::spawn(async move { get(&store).await })
    };
    let first: Vec<_> = (0..100).map(|_| call()).collect();
    probe.reached().await;
    tokio::task::yield_now().await;
    probe.release();
    let mut answered = 0;
    for call in first {
        answered += usize::from(call.await.unwrap().is_ok());
    }
    assert_eq!(answered, 1);
    // Eight at first, however many come.
    let gates: Vec<Gate> = (0..20).map(|_| gated.hold(Verb::Get, Moment::Before)).collect();
    let second: Vec<_> = (0..20).map(|_| call()).collect();
    for gate in &gates[..8] {
        gate.reached().await;
    }
    assert!(tokio::time::timeout(SECOND, gates[8].reached()).await.is_err(), "the ninth waits");
    drop(gates);
    for call in second {
        assert!(call.await.unwrap().is_ok(), "all had their turn");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_behind_a_guard_is_neither_a_sign_out_nor_a_let_in() {
    let Guarded { faulty, store, .. } = guarded(patience());
    let world = World::over(store, policy());
    let issued = world.sign_in("alice").await;
    faulty.go_down(ErrorKind::Unavailable);
    for _ in 0..10 {
        let answer = world.sessions.validate(&issued.token, Activity::Counts).await;
        assert!(matches!(answer, Err(SessionError::Store(_))), "{answer:?}");
    }
    let error = world.sessions.validate(&issued.token, Activity::Counts).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(SECOND));
    faulty.heal();
    tokio::time::advance(SECOND).await;
    assert!(matches!(
        world.sessions.validate(&issued.token, Activity::Counts).await.unwrap(),
        Validation::Active(_)
    ));
}

/// Memory behind a guard; where `waits`, behind a store that never answers at once.
struct GuardedMemory {
    waits: bool,
}

impl Harness for GuardedMemory {
    type Place = ();

    fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn Store> {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let inner = if self.waits {
            Arc::new(FaultyStore::seeded(memory, 7, &[Fault::Delay], 1_000))
        } else {
            memory
        };
        // Few seats, so that the queue is used too.
        Arc::new(GuardedStore::shared(inner, GuardPolicy::default().with_room(4, 4_096)))
    }

    fn effort(&self) -> Effort {
        Effort { races: 2_000, sequences: 24 }
    }
}

#[test]
fn a_guard_changes_nothing_while_the_store_is_well() {
    for waits in [false, true] {
        let suite = Suite::new("guarded", GuardedMemory { waits });
        let cases: Vec<&str> = suite.cases().collect();
        assert!(cases.len() > 50, "the whole suite");
        for case in cases {
            if let Err(failure) = suite.check(case) {
                panic!("{case}, waiting: {waits}: {failure}");
            }
        }
    }
}
