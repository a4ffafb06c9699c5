use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64};

use cloakroom::{Clock as _, EventKind, ManualClock};
use cloakroom_core::{Device, EndReason, PrincipalId, SessionId};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    AuditFuture, AuditRow, Batch, Broken, Checkpoint, Damage, Head, MemoryAudit, Period, Prune, SEED_BYTES,
    Seal, SealingKey, Span, TrustedKeys, Verdict, Walk, names, verify,
};

/// A store in memory that does as it is told.
#[derive(Debug, Default)]
struct Moody {
    inner: MemoryAudit,
    /// Refuses every write.
    fails: AtomicBool,
    /// Does what it is asked, and then says that it failed.
    lies: AtomicBool,
    appends: AtomicU64,
}

impl AuditStore for Moody {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        Box::pin(async move {
            self.appends.fetch_add(1, Ordering::Relaxed);
            if self.fails.load(Ordering::Relaxed) {
                return Err(AuditError::new("append", "the disk is full"));
            }
            let rows = self.inner.append(batch).await?;
            if self.lies.load(Ordering::Relaxed) {
                return Err(AuditError::new("append", "the line is dead"));
            }
            Ok(rows)
        })
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        self.inner.walk(walk)
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        self.inner.head()
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        self.inner.span(period)
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        self.inner.counts(since)
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        self.inner.put_samples(samples)
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        self.inner.samples(series, since)
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        self.inner.put_seal(seal)
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        self.inner.seals()
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        self.inner.checkpoint()
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        self.inner.prune(prune)
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        self.inner.forget(before)
    }
}

/// A log on a store that can be told to fail, with time that stands until somebody moves it.
struct Bench {
    store: Arc<Moody>,
    clock: Arc<ManualClock>,
    log: AuditLog,
    stop: Option<oneshot::Sender<()>>,
    writer: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(set: impl FnOnce(&mut AuditOptions)) -> Self {
        Self::on(Arc::default(), set)
    }

    fn on(store: Arc<Moody>, set: impl FnOnce(&mut AuditOptions)) -> Self {
        let clock = Arc::new(ManualClock::default());
        let mut options = AuditOptions { clock: clock.clone(), key: Some(key(1)), ..AuditOptions::default() };
        set(&mut options);
        let log = AuditLog::with_options(store.clone(), options);
        Self { store, clock, log, stop: None, writer: None }
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let log = self.log.clone();
        self.stop = Some(stop);
        self.writer = Some(tokio::spawn(async move {
            log.run(async {
                let _ = stopped.await;
            })
            .await;
        }));
    }

    async fn close(&mut self) {
        drop(self.stop.take());
        self.writer.take().expect("it was started").await.unwrap();
    }

    fn draft(&self, event: &'static str) -> Draft {
        Draft::new(event, self.clock.now())
    }

    /// Lets the writer look whether something is due, `by` later.
    async fn later(&self, by: Duration) {
        self.clock.advance(by);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }

    async fn events(&self) -> Vec<AuditEvent> {
        let mut query = AuditQuery::latest();
        (query.after, query.limit) = (Some(0), u16::MAX.try_into().unwrap());
        self.log.page(&query).await.unwrap().events
    }

    async fn names(&self) -> Vec<String> {
        self.events().await.into_iter().map(|event| event.event).collect()
    }

    async fn verdict(&self) -> Verdict {
        verify(&*self.store, &TrustedKeys::new([*key(1).public()]), None, |_| ()).await.unwrap()
    }
}

fn key(seed: u8) -> SealingKey {
    SealingKey::from_seed(&[seed; SEED_BYTES]).unwrap()
}

/// What comes of something without any time passing.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), work).await.ok()
}

fn ip(last: u8) -> Option<Device> {
    Some(Device::new().with_ip(Ipv4Addr::new(203, 0, 113, last).into()))
}

#[tokio::test(start_paused = true)]
async fn what_is_noted_is_written_in_its_turn_and_who_follows_is_told_at_once() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    let mut tail = bench.log.tail().await.unwrap();
    for event in ["a", "b", "c"] {
        bench.log.note(bench.draft(event));
    }
    let written = bench.log.write(bench.draft("d")).await.unwrap();
    assert_eq!((written.seq, written.event.as_str()), (4, "d"));
    let mut followed = Vec::new();
    while followed.len() < 4 {
        followed.extend(tail.next().await.unwrap().into_iter().map(|event| event.event));
    }
    assert_eq!(followed, ["a", "b", "c", "d"]);
    assert_eq!(bench.log.health().last, Some((4, bench.clock.now())));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_follows_sees_what_another_process_wrote_within_a_second() {
    let mut here = Bench::new(|_| ());
    here.start();
    let mut there = Bench::on(here.store.clone(), |_| ());
    there.start();
    let mut tail = here.log.tail().await.unwrap();
    there.log.write(there.draft("far away")).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(1), tail.next()).await.unwrap().unwrap();
    assert_eq!(seen.first().map(|event| event.event.as_str()), Some("far away"));
    here.close().await;
    there.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_counts_and_tells_of_it_once() {
    let mut bench = Bench::new(|options| options.queue = 64);
    for _ in 0..100 {
        bench.log.note(bench.draft("session_created"));
    }
    assert_eq!((bench.log.health().waiting, bench.log.health().dropped), (64, 36));
    bench.log.room().await.expect("nobody waits where drops are counted");
    bench.start();
    bench.log.write(bench.draft("after")).await.unwrap();
    bench.close().await;
    let told: Vec<AuditEvent> =
        bench.events().await.into_iter().filter(|event| event.event == names::DROPPED).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].detail["count"], 36);
    assert_eq!(bench.events().await.len(), 64 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_new_requests_wait_but_takes_what_running_ones_did() {
    let mut bench = Bench::new(|options| {
        (options.queue, options.on_full, options.wait) = (64, OnFull::Block, Duration::from_secs(2));
    });
    for _ in 0..80 {
        bench.log.note(bench.draft("session_created"));
    }
    assert_eq!((bench.log.health().waiting, bench.log.health().dropped), (80, 0));
    assert!(bench.log.room().await.is_err(), "nobody writes: there is no room within two seconds");
    let (waiting, log) = (bench.log.clone(), bench.log.clone());
    let waiting = tokio::spawn(async move { waiting.room().await });
    bench.start();
    waiting.await.unwrap().expect("room was made meanwhile");
    log.room().await.unwrap();
    bench.close().await;
    assert_eq!(bench.events().await.len(), 80);
    // Memory stays bounded all the same.
    let bench = Bench::new(|options| (options.queue, options.on_full) = (64, OnFull::Block));
    for _ in 0..1_000 {
        bench.log.note(bench.draft("session_created"));
    }
    assert_eq!((bench.log.health().waiting, bench.log.health().dropped), (256, 744));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_tokens_pushes_nothing_out_and_is_counted_exactly() {
    let mut bench = Bench::new(|options| options.queue = 64);
    let unknown = EventKind::UnknownToken.name();
    for n in 0..10_000_u32 {
        let from = ip(u8::try_from(n % 4).unwrap());
        bench.log.note(bench.draft(unknown).from_device(from));
    }
    // From everywhere: more addresses than are told apart.
    for n in 0..2_000_u32 {
        let device = Device::new().with_ip(Ipv4Addr::from(n).into());
        bench.log.note(bench.draft(unknown).from_device(Some(device)));
    }
    assert!(bench.log.health().waiting <= 32, "noise fills half of the queue at most");
    for _ in 0..30 {
        bench.log.note(bench.draft("session_logout"));
    }
    let dropped = bench.log.health().dropped;
    bench.start();
    bench.later(Duration::from_secs(10)).await;
    bench.close().await;
    let events = bench.events().await;
    assert_eq!(events.iter().filter(|event| event.event == "session_logout").count(), 30);
    let unknown: Vec<&AuditEvent> = events.iter().filter(|event| event.event == unknown).collect();
    assert!(unknown.len() < 130, "{}", unknown.len());
    assert_eq!(unknown.iter().map(|event| event.times()).sum::<u64>() + dropped, 12_000);
    let repeats =
        unknown.iter().find(|event| event.ip.as_deref() == Some("203.0.113.1") && event.times() > 1);
    assert_eq!(repeats.map(|event| event.times()), Some(2_499));
    let counted: u64 =
        bench.log.counts(Timestamp::EPOCH).await.unwrap().iter().map(|count| count.count).sum();
    assert_eq!(counted, events.iter().map(AuditEvent::times).sum::<u64>(), "counts equal the log");
}

/// What staff was refused, a flood of every kind of strangers' noise at the same time notwithstanding.
#[tokio::test(start_paused = true)]
async fn whoever_was_refused_is_named_whatever_strangers_do_meanwhile() {
    let mut bench = Bench::new(|_| ());
    let strangers = ["session_unknown_token", names::AUTHZ_FAIL, names::INPUT_VALIDATION_FAIL];
    for n in 0..1_000_u32 {
        let device = Device::new().with_ip(Ipv4Addr::from(n).into());
        for event in strangers {
            bench.log.note(bench.draft(event).from_device(Some(device.clone())));
        }
    }
    let sam = PrincipalId::new("sam").unwrap();
    for right in ["see_all", "end_of_many", "see_all"] {
        let by_staff = bench.draft(names::AUTHZ_FAIL).by(cloakroom::Actor::Admin(sam.clone()));
        bench.log.note(by_staff.about(Some(sam.clone())).from_device(ip(7)).with("right", right));
    }
    bench.start();
    bench.later(Duration::from_secs(10)).await;
    bench.close().await;
    let events = bench.events().await;
    let refused = events.iter().filter(|event| event.actor_id.as_deref() == Some("sam"));
    let refused: Vec<_> = refused
        .map(|event| (event.ip.as_deref().unwrap(), event.detail["right"].as_str().unwrap(), event.times()))
        .collect();
    let at = "203.0.113.7";
    assert_eq!(refused, [(at, "see_all", 1), (at, "end_of_many", 1), (at, "see_all", 1)]);
    for event in strangers {
        let told = events.iter().filter(|told| told.event == event && told.actor_id.is_none());
        assert_eq!(told.map(AuditEvent::times).sum::<u64>(), 1_000, "{event}: counts are exact");
    }
}

#[tokio::test(start_paused = true)]
async fn the_addresses_of_one_ipv6_network_are_one_stranger() {
    let mut bench = Bench::new(|_| ());
    for n in 0..500_u128 {
        let of_one = std::net::Ipv6Addr::from(0x2001_0db8_0000_0001_0000_0000_0000_0000 + n);
        let device = Device::new().with_ip(of_one.into());
        bench.log.note(bench.draft("session_unknown_token").from_device(Some(device)));
    }
    let elsewhere = Device::new().with_ip("2001:db8:0:2::1".parse().unwrap());
    bench.log.note(bench.draft("session_unknown_token").from_device(Some(elsewhere)));
    bench.start();
    bench.later(Duration::from_secs(10)).await;
    bench.close().await;
    let told: Vec<_> =
        bench.events().await.into_iter().map(|event| (event.ip.clone().unwrap(), event.times())).collect();
    let of = |ip: &str, times| (ip.to_owned(), times);
    assert_eq!(told, [of("2001:db8:0:1::", 1), of("2001:db8:0:2::1", 1), of("2001:db8:0:1::1", 499)]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_fails_events_wait_and_whoever_needs_one_is_told_at_once() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.store.fails.store(true, Ordering::Relaxed);
    bench.log.note(bench.draft("a"));
    assert!(bench.log.write(bench.draft("b")).await.is_err());
    assert!(bench.log.health().failing_since.is_some());
    let next = at_once(bench.log.write(bench.draft("c"))).await;
    assert!(next.expect("the next one does not wait").is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = bench.store.appends.load(Ordering::Relaxed);
    assert!((10..30).contains(&tries), "it is tried again, with pauses: {tries}");
    bench.store.fails.store(false, Ordering::Relaxed);
    bench.log.note(bench.draft("d"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.log.health().failing_since, None);
    bench.close().await;
    let names = bench.names().await;
    assert_eq!((names.first().map(String::as_str), names.last().map(String::as_str)), (Some("a"), Some("d")));
    assert!(!names.contains(&"c".to_owned()), "what was refused at once is not recorded");
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_fate_was_unknown_is_appended_once() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.store.lies.store(true, Ordering::Relaxed);
    bench.log.note(bench.draft("a"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(bench.store.appends.load(Ordering::Relaxed) > 2);
    bench.store.lies.store(false, Ordering::Relaxed);
    bench.log.note(bench.draft("b"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.close().await;
    assert_eq!(bench.names().await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_does_not_hold_up_the_end_of_the_server() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.store.fails.store(true, Ordering::Relaxed);
    bench.log.note(bench.draft("a"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::timeout(Duration::from_secs(15), bench.close()).await.expect("it gives up");
    assert!(bench.log.write(bench.draft("b")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_what_its_own_work_noted_and_for_nothing_else() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.store.fails.store(true, Ordering::Relaxed);
    bench.log.note(bench.draft("somebody else's"));
    let nothing = at_once(bench.log.witness(async { 7 })).await;
    assert!(matches!(nothing, Some((7, Ok(())))), "it noted nothing");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = bench.log.clone();
    let its_own = at_once(bench.log.witness(async { log.note(bench.draft("its own")) })).await;
    let (_, lasting) = its_own.expect("that the log fails is known: waiting would be for nothing");
    assert!(lasting.is_err(), "its event does not last yet");
    bench.store.fails.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (_, lasting) = bench.log.witness(async { log.note(bench.draft("its own")) }).await;
    lasting.expect("it lasts by now");
    assert_eq!(bench.names().await, ["somebody else's", "its own", "its own"]);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_may_go_unrecorded_an_answer_waits_for_a_log_that_fails() {
    let mut bench = Bench::new(|options| options.on_full = OnFull::Block);
    bench.start();
    bench.store.fails.store(true, Ordering::Relaxed);
    let almost = PATIENCE.saturating_sub(Duration::from_millis(10));
    let early =
        tokio::time::timeout(almost, bench.log.witness(async { bench.log.note(bench.draft("a")) })).await;
    assert!(early.is_err(), "it still waits");
    let (_, lasting) = bench.log.witness(async { bench.log.note(bench.draft("b")) }).await;
    assert!(lasting.is_err());
    bench.store.fails.store(false, Ordering::Relaxed);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_log_is_sealed_every_few_seconds_and_when_it_is_closed() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.log.write(bench.draft("a")).await.unwrap();
    bench.later(Duration::from_secs(5)).await;
    assert_eq!(bench.store.seals().await.unwrap().iter().map(|seal| seal.seq).collect::<Vec<_>>(), [1]);
    bench.later(Duration::from_secs(60)).await;
    assert_eq!(bench.store.seals().await.unwrap().len(), 1, "nothing new is not sealed again");
    bench.log.note(bench.draft("b"));
    bench.close().await;
    let Verdict::Intact(verified) = bench.verdict().await else { panic!("broken") };
    assert_eq!((verified.events, verified.sealed, verified.keys.len()), (2, Some(2), 1));
}

#[tokio::test(start_paused = true)]
async fn events_of_others_are_sealed_only_if_they_follow_what_was_sealed_before() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.log.write(bench.draft("a")).await.unwrap();
    bench.later(Duration::from_secs(5)).await;
    // Another node appends in the right way.
    let mut other = Bench::on(bench.store.clone(), |options| options.key = None);
    other.start();
    other.log.write(other.draft("b")).await.unwrap();
    bench.later(Duration::from_secs(5)).await;
    assert_eq!(bench.store.seals().await.unwrap().last().map(|seal| seal.seq), Some(2));
    // Somebody writes the whole log anew, hashes and all, and takes the seals away.
    let forged = Arc::new(Moody::default());
    let drafts = vec![bench.draft("a'"), bench.draft("b"), bench.draft("c")];
    let batch =
        Batch { writer: crate::WriterId::from_random([0; 16]), number: 1, at: bench.clock.now(), drafts };
    forged.inner.append(Arc::new(batch)).await.unwrap();
    let anchored = bench.store.seals().await.unwrap().last().cloned();
    let mut again = Bench::on(forged.clone(), |_| ());
    for seal in bench.store.seals().await.unwrap() {
        forged.inner.put_seal(seal).await.unwrap();
    }
    again.start();
    again.log.write(again.draft("d")).await.unwrap();
    again.later(Duration::from_secs(5)).await;
    again.close().await;
    let seals = forged.seals().await.unwrap();
    assert_eq!(seals.last().map(|seal| seal.seq), Some(2), "what was written anew is not sealed");
    let trusted = TrustedKeys::new([*key(1).public()]);
    let verdict = verify(&*forged, &trusted, anchored, |_| ()).await.unwrap();
    assert!(
        matches!(verdict, Verdict::Broken(Broken { seq: 1, damage: Damage::NotAsSealed { .. } })),
        "{verdict:?}"
    );
    bench.close().await;
    other.close().await;
}

#[tokio::test(start_paused = true)]
async fn old_events_go_behind_a_checkpoint_and_the_log_tells_of_it() {
    let mut bench = Bench::new(|options| options.retention = Duration::from_secs(3_600));
    bench.start();
    for _ in 0..2_500 {
        bench.log.note(bench.draft("old"));
    }
    bench.log.write(bench.draft("old")).await.unwrap();
    bench.later(Duration::from_secs(3_601)).await;
    bench.log.write(bench.draft("new")).await.unwrap();
    bench.later(Duration::from_secs(61)).await;
    let names: BTreeSet<String> = bench.names().await.into_iter().collect();
    assert_eq!(names, BTreeSet::from(["new".to_owned(), names::PRUNED.to_owned()]));
    let Verdict::Intact(verified) = bench.verdict().await else { panic!("broken") };
    assert_eq!(verified.removed, Some((2_501, key(1).public().id())));
    let told: u64 = bench.events().await.iter().filter_map(|event| event.detail.get("count")?.as_u64()).sum();
    assert_eq!(told, 2_501);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_too_many_events_go() {
    let mut bench = Bench::new(|options| options.events_max = 100);
    bench.start();
    for _ in 0..400 {
        bench.log.note(bench.draft("a"));
    }
    bench.log.write(bench.draft("a")).await.unwrap();
    bench.later(Duration::from_secs(61)).await;
    bench.later(Duration::from_secs(61)).await;
    let kept = bench.events().await;
    assert!((100..=102).contains(&kept.len()), "{}", kept.len());
    assert!(matches!(bench.verdict().await, Verdict::Intact(_)));
    bench.close().await;
    let told = kept.iter().find(|event| event.event == names::PRUNED_EARLY).expect("that is never silent");
    assert_eq!((&told.detail["early"], &told.detail["count"]), (&301.into(), &301.into()));
    assert!(told.detail["age_seconds"].as_u64() < Some(120), "how long they were kept: {told:?}");
    assert!(kept.iter().all(|event| event.event != names::PRUNED), "nothing was old enough");
}

/// Looking at the same once more tells nothing new; at another session, it does, however many there are.
#[tokio::test(start_paused = true)]
async fn repeated_looks_are_one_event_and_looks_at_many_are_all_told() {
    let mut bench = Bench::new(|_| ());
    let look = |n: u8| {
        let by_staff =
            bench.draft(names::SENSITIVE_READ).by(cloakroom::Actor::Admin(PrincipalId::new("sam").unwrap()));
        by_staff.of_session(SessionId::from_bytes([n; 16])).with("what", "session")
    };
    for n in 0..200 {
        for _ in 0..3 {
            bench.log.note(look(n).with("values", false));
        }
    }
    bench.log.note(look(0).with("values", true));
    bench.start();
    bench.later(Duration::from_secs(10)).await;
    bench.close().await;
    let events = bench.events().await;
    let looked: BTreeSet<_> = events.iter().filter_map(|event| event.session).collect();
    assert_eq!(looked.len(), 200, "each session that was looked at is named");
    assert_eq!(events.iter().map(AuditEvent::times).sum::<u64>(), 601, "each look counts");
    assert_eq!(events.iter().filter(|event| event.detail["values"] == true).count(), 1);
    assert_eq!(events.iter().filter(|event| event.times() > 1).count(), 64, "repeats are summed up");
}

#[tokio::test(start_paused = true)]
async fn the_last_sample_of_a_minute_is_kept() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    bench.log.write(bench.draft("a")).await.unwrap();
    bench.log.sample("sessions", 1.0);
    bench.log.sample("sessions", 2.0);
    bench.later(Duration::from_secs(61)).await;
    let samples = bench.log.samples("sessions", Timestamp::EPOCH).await.unwrap();
    assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [2.0]);
    bench.close().await;
}

/// Promise G11: every kind of event of the engine is one event of the log, with its reason, and no two kinds are the same.
#[tokio::test(start_paused = true)]
async fn every_event_of_the_engine_is_exactly_one_event_of_the_log() {
    let mut bench = Bench::new(|_| ());
    bench.start();
    let mut kinds = vec![
        EventKind::Issued,
        EventKind::Rotated,
        EventKind::Reauthenticated,
        EventKind::RetiredTokenUsed,
        EventKind::UnknownToken,
        EventKind::LimitReached,
        EventKind::UnreadableRecord,
        EventKind::StoreFailed,
        EventKind::ResurrectionBlocked,
        EventKind::ConflictingTokens,
        EventKind::TokenInUrl,
        EventKind::CrossSiteBlocked,
    ];
    kinds.extend(EndReason::ALL.map(EventKind::Ended));
    kinds.extend(EndReason::ALL.map(EventKind::UsedAfterEnd));
    let alice = PrincipalId::new("alice").unwrap();
    for kind in &kinds {
        let event = Event::new(*kind, bench.clock.now())
            .about(SessionId::from_bytes([1; 16]), Some(alice.clone()))
            .by(cloakroom::Actor::User(Some(alice.clone())))
            .from_device(ip(1));
        bench.log.record(&event);
    }
    bench.close().await;
    let events = bench.events().await;
    assert_eq!(events.len(), kinds.len());
    for (kind, event) in kinds.iter().zip(&events) {
        assert_eq!(event.event, kind.name());
        assert_eq!(event.reason.as_deref(), kind.end_reason().map(EndReason::as_str));
        assert_eq!(event.session, Some(SessionId::from_bytes([1; 16])));
        assert_eq!((event.principal.as_deref(), event.actor_id.as_deref()), (Some("alice"), Some("alice")));
        assert_eq!(event.ip.as_deref(), Some("203.0.113.1"));
    }
    let told: BTreeSet<_> = events.iter().map(|event| (event.event.clone(), event.reason.clone())).collect();
    assert_eq!(told.len(), kinds.len(), "no two kinds look the same");
}
