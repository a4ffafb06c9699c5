//! A look at the copy beside those who write: in which order it has to read, in every order of both. The look is the engine's own;
//! what others do are the steps of a reading, of forgetting, and of reading anew what was forgotten. The last tests are of a whole mirror.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{RevocationEntry, RevocationList as _, Scope};
use parking_lot::Mutex;

use super::crossing::issued;
use crate::sealed::mirror::protocol::{Anew, Look, Trust, Words, begin_anew, look};
use crate::sealed::seal::Claim;
use crate::sealed::{Bounds, Mirror, Need};
use crate::streams::Streams;
use crate::{Clock, ManualClock, OsRandom, StreamPolicy};

/// What is done beside a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Do {
    TakeIn,
    RaiseNewest,
    Publish,
    SayForgotten,
    Forget,
    TakeTrustBack,
    CountAnew,
    ForgotNothing,
    Tick,
}

/// A node, as far as one token is concerned that is over by the only entry there is; and its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Node {
    copy: Option<Cover>,
    newest: u64,
    anew: u64,
    /// It was forgotten by a clock that was ahead.
    has_forgotten: bool,
    trust: u64,
    now: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cover {
    /// Written here, and not read back.
    Held,
    Read,
}

impl Node {
    fn take(&mut self, act: Do) {
        match act {
            Do::TakeIn => self.copy = Some(Cover::Read),
            Do::RaiseNewest => self.newest = NUMBER,
            Do::Publish => self.trust = self.now + LEASE,
            Do::SayForgotten => self.has_forgotten = true,
            Do::Forget => self.copy = None,
            Do::TakeTrustBack => self.trust = 0,
            Do::CountAnew => self.anew += 1,
            Do::ForgotNothing => self.has_forgotten = false,
            Do::Tick => self.now += LEASE,
        }
    }
}

/// Before each reading some of the acts are done, in their order.
struct Beside<'a> {
    node: RefCell<Node>,
    acts: &'a [Do],
    before: &'a [usize],
    calls: Cell<usize>,
    done: Cell<usize>,
}

impl Beside<'_> {
    fn now(&self) -> Node {
        let call = self.calls.replace(self.calls.get() + 1);
        let until = self.before.get(call).copied().unwrap_or(0).max(self.done.get());
        let mut node = self.node.borrow_mut();
        self.acts[self.done.replace(until)..until].iter().for_each(|act| node.take(*act));
        *node
    }
}

impl Words for Beside<'_> {
    type Cover = Cover;
    type Stop = Infallible;

    fn newest(&self) -> Result<u64, Infallible> {
        Ok(self.now().newest)
    }

    fn anew(&self) -> Result<u64, Infallible> {
        Ok(self.now().anew)
    }

    fn forgot(&self) -> Result<Timestamp, Infallible> {
        Ok(if self.now().has_forgotten { Timestamp::MAX } else { Timestamp::EPOCH })
    }

    fn trust(&self) -> Result<Trust, Infallible> {
        Ok(Trust::from_nanos(self.now().trust))
    }

    fn cover(&self) -> Result<Option<Cover>, Infallible> {
        Ok(self.now().copy)
    }

    fn clock(&self) -> Result<u64, Infallible> {
        Ok(self.now().now)
    }
}

/// As the engine does.
fn sound(at: &Beside<'_>, known: u64, now: Timestamp) -> Result<Look<Cover>, Infallible> {
    look(at, known, now)
}

type Looking = fn(&Beside<'_>, u64, Timestamp) -> Result<Look<Cover>, Infallible>;

/// What a look sees of a token that knows of entries up to `known`, in each order of its readings and of these acts.
fn every_order(node: Node, acts: &[Do], known: u64, looking: Looking) -> Vec<Look<Cover>> {
    let (mut seen, mut before) = (Vec::new(), [0; READINGS]);
    loop {
        let node = RefCell::new(node);
        let beside = Beside { node, acts, before: &before, calls: Cell::new(0), done: Cell::new(0) };
        let Ok(look) = looking(&beside, known, Timestamp::EPOCH);
        seen.push(look);
        // The next sequence that does not fall.
        let Some(place) = before.iter().rposition(|many| *many < acts.len()) else { return seen };
        let many = before[place] + 1;
        before[place..].fill(many);
    }
}

/// Whether somebody is let in who is over.
fn lets_in(node: Node, acts: &[Do], looking: Looking) -> bool {
    every_order(node, acts, 0, looking).iter().any(|look| look.is_clear)
}

/// Whether somebody is told that they are over who had come after the end, and knew of it.
fn signs_out(node: Node, acts: &[Do], looking: Looking) -> bool {
    let seen = every_order(node, acts, NUMBER, looking);
    seen.iter().any(|look| look.cover == Some(Cover::Held) && !look.knows_more)
}

/// The steps of the engine when all is read anew, in its order.
fn steps_anew() -> Vec<Do> {
    struct Told(RefCell<Vec<Do>>);
    impl Anew for Told {
        fn take_trust_back(&self) {
            self.0.borrow_mut().push(Do::TakeTrustBack);
        }

        fn count(&self) {
            self.0.borrow_mut().push(Do::CountAnew);
        }

        fn forgot_nothing(&self) {
            self.0.borrow_mut().push(Do::ForgotNothing);
        }
    }
    let told = Told(RefCell::default());
    begin_anew(&told);
    told.0.into_inner()
}

const FRESH: Node =
    Node { copy: Some(Cover::Read), newest: NUMBER, anew: 0, has_forgotten: false, trust: LEASE, now: 0 };
/// Its clock was set back behind what it has forgotten.
const SET_BACK: Node = Node { copy: None, has_forgotten: true, ..FRESH };
const HOLDING: Node = Node { copy: Some(Cover::Held), newest: 0, ..FRESH };
/// The end is in the list, and not read yet: the lease of before is over.
const BEHIND: Node = Node { copy: None, newest: 0, now: LEASE, ..FRESH };
const READ: [Do; 3] = [Do::TakeIn, Do::RaiseNewest, Do::Publish];
const NUMBER: u64 = 7;
const LEASE: u64 = 1;
/// Readings in a look, and some.
const READINGS: usize = 9;

#[test]
fn whatever_is_done_beside_a_look_nobody_is_let_in_who_is_over_nor_signed_out_who_came_later() {
    let anew = [steps_anew(), READ.to_vec()].concat();
    let all = [&[Do::SayForgotten, Do::Forget][..], &anew].concat();
    assert!(!lets_in(FRESH, &all, sound) && !lets_in(SET_BACK, &anew, sound));
    assert!(!lets_in(BEHIND, &READ, sound), "a lease after the end, and read");
    assert!(!signs_out(HOLDING, &READ, sound));
}

/// A look that reads in another order, or less.
fn wrong(order: &'static str) -> Looking {
    match order {
        "newest last" => |at, known, now| {
            let look = look(at, 0, now)?;
            Ok(Look { knows_more: known > at.newest()?, ..look })
        },
        "trust last" => |at, _, now| {
            let (anew, knew, cover) = (at.anew()?, at.forgot()? <= now, at.cover()?);
            let knew = knew && at.forgot()? <= now && at.anew()? == anew;
            let trust = at.trust()?;
            Ok(Look {
                cover,
                is_clear: cover.is_none() && knew && trust.holds(at.clock()?),
                knows_more: false,
            })
        },
        "clock first" => |at, _, now| {
            let (clock, anew, knew) = (at.clock()?, at.anew()?, at.forgot()? <= now);
            let (trust, cover) = (at.trust()?, at.cover()?);
            let knew = knew && at.forgot()? <= now && at.anew()? == anew;
            Ok(Look { cover, is_clear: cover.is_none() && knew && trust.holds(clock), knows_more: false })
        },
        "forgot once, before" => |at, _, now| {
            let (knew, trust, cover) = (at.forgot()? <= now, at.trust()?, at.cover()?);
            Ok(Look {
                cover,
                is_clear: cover.is_none() && knew && trust.holds(at.clock()?),
                knows_more: false,
            })
        },
        "forgot once, after" => |at, _, now| {
            let (trust, cover) = (at.trust()?, at.cover()?);
            let knew = at.forgot()? <= now;
            Ok(Look {
                cover,
                is_clear: cover.is_none() && knew && trust.holds(at.clock()?),
                knows_more: false,
            })
        },
        "forgot twice, and not whether it was read anew" => |at, _, now| {
            let (knew, trust, cover) = (at.forgot()? <= now, at.trust()?, at.cover()?);
            let knew = knew && at.forgot()? <= now;
            Ok(Look {
                cover,
                is_clear: cover.is_none() && knew && trust.holds(at.clock()?),
                knows_more: false,
            })
        },
        _ => unreachable!("there is no such order"),
    }
}

#[test]
fn each_order_that_is_wrong_lets_somebody_in_or_signs_somebody_out() {
    let anew = [steps_anew(), READ.to_vec()].concat();
    let forgets = [Do::SayForgotten, Do::Forget];
    assert!(signs_out(HOLDING, &READ, wrong("newest last")));
    assert!(lets_in(BEHIND, &READ, wrong("trust last")));
    assert!(lets_in_late(wrong("clock first")) && !lets_in_late(sound));
    assert!(lets_in(FRESH, &forgets, wrong("forgot once, before")));
    assert!(lets_in(SET_BACK, &anew, wrong("forgot once, after")));
    let both = [&forgets[..], &anew].concat();
    assert!(lets_in(FRESH, &both, wrong("forgot twice, and not whether it was read anew")));
    let too_late = [Do::CountAnew, Do::ForgotNothing, Do::TakeTrustBack, Do::TakeIn, Do::Publish];
    assert!(lets_in(SET_BACK, &too_late, sound), "trust is taken back too late");
    let uncounted = [Do::SayForgotten, Do::Forget, Do::TakeTrustBack, Do::ForgotNothing, Do::CountAnew];
    assert!(lets_in(FRESH, &uncounted, sound), "it is counted too late");
    assert!(lets_in(FRESH, &[Do::Forget, Do::SayForgotten], sound), "it is said too late");
    assert!(lets_in(BEHIND, &[Do::Publish, Do::TakeIn], sound), "published before it is there");
}

/// Whether the copy is looked at when the lease, as the look has read the clock, is over already.
fn lets_in_late(looking: Looking) -> bool {
    let node = Node { now: 0, ..BEHIND };
    let mut before = [0; READINGS];
    loop {
        let acts = [Do::Tick];
        let beside = Beside {
            node: RefCell::new(node),
            acts: &acts,
            before: &before,
            calls: Cell::new(0),
            done: Cell::new(0),
        };
        let Ok(look) = looking(&beside, 0, Timestamp::EPOCH);
        if look.is_clear && beside.done.get() == acts.len() {
            return true;
        }
        let Some(place) = before.iter().rposition(|many| *many < acts.len()) else { return false };
        before[place..].fill(1);
    }
}

/// A whole mirror, its list and its clock.
struct Site {
    list: Arc<MemoryRevocations>,
    clock: Arc<ManualClock>,
    mirror: Arc<Mirror>,
}

impl Site {
    fn new() -> Self {
        let clock = Arc::<ManualClock>::default();
        Self::by(&clock, Arc::<ManualClock>::clone(&clock))
    }

    fn by(clock: &Arc<ManualClock>, read: Arc<dyn Clock>) -> Self {
        let list = Arc::<MemoryRevocations>::default();
        let bounds = Bounds { lease: Duration::from_secs(1), longest_life: Duration::from_secs(600) };
        let given: Arc<dyn cloakroom_store::RevocationList> = Arc::<MemoryRevocations>::clone(&list);
        let mirror =
            Mirror::new(given, read, Arc::new(OsRandom), Streams::new(StreamPolicy::default()), bounds);
        Self { list, clock: Arc::clone(clock), mirror: Arc::new(mirror) }
    }

    async fn end(&self, scope: Scope) {
        let (at, until) = (self.clock.now(), self.clock.now().plus(Duration::from_secs(60)));
        let entry = RevocationEntry { scope, at, until, reason: EndReason::SignedOut, nonce: 1 << 32 };
        self.list.add(&[entry]).await.unwrap();
    }
}

type Act = Box<dyn FnOnce()>;

/// Does something before one of the readings of a look at a mirror.
struct Paused<W> {
    words: W,
    calls: Cell<usize>,
    meanwhile: RefCell<Vec<(usize, Act)>>,
}

impl<W> Paused<W> {
    fn before<T>(&self, word: impl FnOnce(&W) -> T) -> T {
        let call = self.calls.replace(self.calls.get() + 1);
        let mut all = self.meanwhile.borrow_mut();
        while all.first().is_some_and(|(place, _)| *place == call) {
            let (_, act) = all.remove(0);
            act();
        }
        word(&self.words)
    }
}

impl<W: Words> Words for Paused<W> {
    type Cover = W::Cover;
    type Stop = W::Stop;

    fn newest(&self) -> Result<u64, W::Stop> {
        self.before(W::newest)
    }

    fn anew(&self) -> Result<u64, W::Stop> {
        self.before(W::anew)
    }

    fn forgot(&self) -> Result<Timestamp, W::Stop> {
        self.before(W::forgot)
    }

    fn trust(&self) -> Result<Trust, W::Stop> {
        self.before(W::trust)
    }

    fn cover(&self) -> Result<Option<W::Cover>, W::Stop> {
        self.before(W::cover)
    }

    fn clock(&self) -> Result<u64, W::Stop> {
        self.before(W::clock)
    }
}

#[tokio::test]
async fn a_mirror_that_forgets_too_much_and_reads_it_anew_within_one_look_lets_nobody_in() {
    let contents = issued(1, 0, 0);
    let mut let_in_before = 0;
    for (first, second) in
        (0..READINGS).flat_map(|first| (first..READINGS).map(move |second| (first, second)))
    {
        let site = Site::new();
        site.end(Scope::Session(contents.record.id)).await;
        site.mirror.refresh(Need::Fresh).await.unwrap();
        let claim = Claim { contents: &contents, core: [0; 16] };
        let now = site.clock.now();
        // What is over in a year is forgotten; then the clock is right again, and what was forgotten is to be read anew.
        let forgetful = Arc::clone(&site.mirror);
        let forget: Act = Box::new(move || {
            let later = now.plus(Duration::from_secs(365 * 86_400));
            futures_now(forgetful.forget_over(later));
        });
        let again = Arc::clone(&site.mirror);
        let anew: Act = Box::new(move || begin_anew(&*again));
        let meanwhile = RefCell::new(vec![(first, forget), (second, anew)]);
        let words = Paused { words: site.mirror.glance(&claim), calls: Cell::new(0), meanwhile };
        let Ok(seen) = look(&words, 0, now);
        assert!(!seen.is_clear, "forgotten before reading {first}, anew before {second}");
        let_in_before += usize::from(seen.cover.is_none());
    }
    assert!(let_in_before > 10, "the copy is found empty: {let_in_before}");
}

#[tokio::test]
async fn whatever_a_mirror_has_forgotten_so_far_it_does_not_say_that_nothing_is_over() {
    for scope in [Scope::Session(issued(1, 0, 0).record.id), Scope::All] {
        let contents = issued(1, 0, 0);
        let site = Site::new();
        site.end(scope).await;
        site.mirror.refresh(Need::Fresh).await.unwrap();
        let (claim, now) = (Claim { contents: &contents, core: [0; 16] }, site.clock.now());
        let mut forgetting = pin!(site.mirror.forget_over(now.plus(Duration::from_secs(365 * 86_400))));
        let mut rounds = 0;
        loop {
            let seen = site.mirror.look(&claim, now);
            assert!(!seen.is_clear, "after {rounds} rounds");
            if forgetting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
            rounds += 1;
        }
        assert!(rounds > 10 && site.mirror.look(&claim, now).cover.is_none(), "it is forgotten by then");
        site.mirror.refresh(Need::Trust).await.unwrap();
        assert!(site.mirror.look(&claim, now).cover.is_some(), "and read anew");
    }
}

#[tokio::test]
async fn nothing_that_is_read_anew_is_forgotten_by_a_sweep_that_is_still_under_way() {
    let contents = issued(1, 0, 0);
    let site = Site::new();
    site.end(Scope::All).await;
    site.mirror.refresh(Need::Fresh).await.unwrap();
    let (claim, now) = (Claim { contents: &contents, core: [0; 16] }, site.clock.now());
    let mut forgetting = pin!(site.mirror.forget_over(now.plus(Duration::from_secs(365 * 86_400))));
    let mut context = Context::from_waker(Waker::noop());
    assert!(forgetting.as_mut().poll(&mut context).is_pending());
    let mut reading = pin!(site.mirror.refresh(Need::Turn));
    let mut is_read = reading.as_mut().poll(&mut context).is_ready();
    while forgetting.as_mut().poll(&mut context).is_pending() {}
    if !is_read {
        is_read = matches!(reading.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    }
    assert!(is_read);
    assert!(site.mirror.look(&claim, now).cover.is_some());
}

fn futures_now(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

/// A clock that lets somebody look whenever it is read.
#[derive(Default)]
struct Watched {
    clock: Arc<ManualClock>,
    looks: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Clock for Watched {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        let read = self.clock.monotonic();
        // Whoever looks reads the clock as well.
        let looks = self.looks.lock().take();
        if let Some(looks) = looks {
            looks();
            *self.looks.lock() = Some(looks);
        }
        read
    }
}

#[tokio::test]
async fn whenever_the_clock_is_read_in_a_reading_what_is_believed_is_there() {
    let clock = Arc::<ManualClock>::default();
    let watched = Arc::new(Watched { clock: Arc::clone(&clock), looks: Mutex::default() });
    let site = Site::by(&clock, Arc::<Watched>::clone(&watched));
    let contents = Arc::new(issued(1, 0, 0));
    site.end(Scope::Session(contents.record.id)).await;
    let (seen, mirror) = (Arc::<Mutex<Vec<bool>>>::default(), Arc::clone(&site.mirror));
    let (told, now) = (Arc::clone(&seen), clock.now());
    *watched.looks.lock() = Some(Box::new(move || {
        let look = mirror.look(&Claim { contents: &contents, core: [0; 16] }, now);
        assert!(!look.is_clear, "believed before it is there");
        told.lock().push(look.cover.is_some());
    }));
    site.mirror.refresh(Need::Fresh).await.unwrap();
    watched.looks.lock().take();
    let seen = seen.lock();
    assert!(seen.contains(&false) && seen.contains(&true), "before and after: {seen:?}");
}
