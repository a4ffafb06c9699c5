//! Whole engines over one store, in virtual time, by schedules that a seed decides.
//!
//! Three nodes with real [`Sessions`] use one store in memory, each by a [`wire`] of its own: calls take their time, fail,
//! or are carried out and nobody hears of it; news is late, always in order; links are cut, noticed late, opened anew. Nodes
//! are stopped while time goes on. People sign in, change their sessions, rotate, and are signed out, through any node. Every
//! answer is held against everything that was acknowledged ([`history`]).

mod chance;
mod history;
mod wire;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Attribute, AuthLevel, Authentication, EndReason, Method, OnLimit, Policy, Principal, PrincipalId,
    SessionLimit, Timestamp,
};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{Selector, Store};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::chance::{Chance, Gate};
use self::history::{History, Said, Scope};
use self::wire::Wire;
use crate::near::{NearCachePolicy, Sabotage};
use crate::system::timer_now;
use crate::{
    ActiveSession, Activity, Changes, Clock, Issue, Renewal, Renewed, Revocation, Sessions, Validation,
    Written,
};

/// The clock of the simulation: wherever the runtime's is.
#[derive(Clone, Copy, Debug)]
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        timer_now() - self.0
    }
}

struct Node {
    sessions: Sessions,
    wire: Arc<Wire>,
    gate: Gate,
    upkeep: Mutex<JoinHandle<()>>,
}

impl Node {
    fn new(store: Arc<dyn Store>, clock: Virtual, chance: &Chance, sabotage: Option<Sabotage>) -> Self {
        let gate = Gate::default();
        let wire = Arc::new(Wire::new(store, chance.clone(), gate.clone()));
        let limit = SessionLimit { max: NonZeroU32::new(3).unwrap(), on_limit: OnLimit::EndOldest };
        let near = NearCachePolicy::new(NearCachePolicy::MIN_BYTES, LEASE).unwrap();
        let builder = Sessions::builder_shared(Arc::<Wire>::clone(&wire))
            .policy(Policy::default().with_limit(Some(limit)))
            .clock(clock)
            .random(chance.clone())
            .near_cache(near);
        let builder = match sabotage {
            Some(sabotage) => builder.dangerously_sabotage_near_cache(sabotage),
            None => builder,
        };
        let sessions = builder.build().unwrap();
        let upkeep = Mutex::new(keep_up(&sessions, &gate));
        Self { sessions, wire, gate, upkeep }
    }

    /// What goes on beside requests ends, and begins anew.
    fn restart_upkeep(&self) {
        let mut upkeep = self.upkeep.lock();
        upkeep.abort();
        *upkeep = keep_up(&self.sessions, &self.gate);
    }
}

fn keep_up(sessions: &Sessions, gate: &Gate) -> JoinHandle<()> {
    let sessions = sessions.clone();
    tokio::spawn(gate.run(async move { sessions.upkeep(std::future::pending()).await }))
}

/// Everything there is.
struct World {
    nodes: Vec<Node>,
    clock: Virtual,
    chance: Chance,
    history: Mutex<History>,
}

impl World {
    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn tell(&self, what: String) {
        self.history.lock().tell(self.now(), what);
    }

    /// A person with a browser, and an administrator.
    async fn live(&self) {
        for _ in 0..REQUESTS {
            sleep(Duration::from_micros(self.chance.below(120_000))).await;
            let number = self.chance.index(NODES);
            let node = &self.nodes[number];
            node.gate.run(self.request(number, node)).await;
        }
    }

    async fn request(&self, number: usize, node: &Node) {
        let tokens = self.history.lock().stories.len();
        match self.chance.below(40) {
            _ if tokens < 3 => self.sign_in(number, node).await,
            0..3 => self.sign_in(number, node).await,
            choice => {
                // Mostly what is new: what is old is over.
                let token = tokens - 1 - self.chance.index(tokens.min(6));
                match choice {
                    3..6 => self.end(number, node, self.scope_of(token)).await,
                    6..10 => self.write(number, node, token).await,
                    10..13 => self.rotate(number, node, token).await,
                    _ => drop(self.look(number, node, token).await),
                }
            }
        }
    }

    fn scope_of(&self, token: usize) -> Scope {
        let history = self.history.lock();
        match self.chance.below(12) {
            0 => Scope::All,
            1..5 => Scope::Principal(history.stories[token].principal.clone()),
            _ => Scope::Session(history.stories[token].session),
        }
    }

    async fn look(&self, number: usize, node: &Node, token: usize) -> Option<ActiveSession> {
        let secret = Arc::clone(&self.history.lock().stories[token].token);
        let asked = self.now();
        let answer = if self.chance.one_in(8) {
            node.sessions.validate_authoritative(&secret, Activity::Counts).await
        } else {
            node.sessions.validate(&secret, Activity::Counts).await
        };
        let (said, session) = match answer {
            Ok(Validation::Active(session)) => (Said::Active(writes_in(&session)), Some(session)),
            Ok(Validation::Ended(_) | Validation::Retired(_)) => (Said::Over, None),
            Ok(Validation::Unknown) => (Said::Unknown, None),
            Err(_) => (Said::Unavailable, None),
        };
        self.history.lock().said(token, number, said, asked, self.now());
        session
    }

    async fn sign_in(&self, number: usize, node: &Node) {
        let name = format!("person-{}", self.chance.below(3));
        let proof = Authentication::new(AuthLevel::One, Method::password(), self.clock.now());
        let issue = Issue::signed_in(Principal::new(PrincipalId::new(name.as_str()).unwrap()), proof);
        let began = self.now();
        // It may end the oldest ones, whether or not anybody hears of it.
        let ending = self.history.lock().ending(Scope::Principal(name.clone()), began);
        let answer = node.sessions.issue(issue).await;
        let now = self.now();
        let mut history = self.history.lock();
        history.over(ending, None, now);
        if let Ok(outcome) = answer {
            let issued = outcome.expect_issued();
            for ended in &issued.ended {
                let ending = history.ending(Scope::Session(ended.session), began);
                history.over(ending, Some(number), now);
            }
            let token = history.issued(issued.token, issued.session.id(), &name, now, now);
            history.tell(now, format!("token {token}: issued by node {number}"));
        }
    }

    async fn end(&self, number: usize, node: &Node, scope: Scope) {
        let began = self.now();
        let ending = self.history.lock().ending(scope.clone(), began);
        let selector = match &scope {
            Scope::Session(session) => Selector::One(*session),
            Scope::Principal(name) => {
                Selector::Principal { principal: PrincipalId::new(name.as_str()).unwrap(), except: None }
            }
            _ => Selector::All,
        };
        let done = node.sessions.revoke(&selector, Revocation::by_system(EndReason::SignedOut)).await;
        self.history.lock().over(ending, done.is_ok().then_some(number), self.now());
    }

    async fn write(&self, number: usize, node: &Node, token: usize) {
        let Some(session) = self.look(number, node, token).await else { return };
        let changes = Changes::new().update(&WRITES, |writes| *writes += 1);
        if let Ok(Written::Done(session)) = node.sessions.apply(&session, changes).await {
            let (value, now) = (writes_in(&session), self.now());
            self.history.lock().written(token, number, value, now);
            self.tell(format!("token {token}: node {number} acknowledged write {value}"));
        }
    }

    async fn rotate(&self, number: usize, node: &Node, token: usize) {
        let Some(session) = self.look(number, node, token).await else { return };
        let began = self.now();
        let ending = self.history.lock().ending(Scope::Token(token), began);
        let done = node.sessions.rotate(&session, Renewal::new()).await;
        let now = self.now();
        let mut history = self.history.lock();
        match done {
            Ok(Renewed::Done { token: secret, session }) => {
                history.over(ending, Some(number), now);
                let name = history.stories[token].principal.clone();
                let new = history.issued(secret, session.id(), &name, began, now);
                history.tell(now, format!("token {new}: from token {token} by node {number}"));
            }
            _ => history.over(ending, None, now),
        }
    }

    /// Somebody cuts cables and stops machines.
    async fn harm(&self, harms: &[usize]) {
        for _ in 0..HARMS {
            sleep(Duration::from_micros(self.chance.below(500_000))).await;
            let number = self.chance.index(NODES);
            let node = &self.nodes[number];
            let time = LEASE.mul_f64(f64::from(u32::try_from(self.chance.below(25)).unwrap()) / 10.0);
            let harm = harms[self.chance.index(harms.len())];
            self.tell(format!("node {number}: {} for {time:?}", HARM_NAMES[harm]));
            match harm {
                0 => {
                    node.wire.link.cut();
                    sleep(time).await;
                    node.wire.link.notice();
                }
                1 => {
                    node.wire.link.cut();
                    node.wire.link.notice();
                }
                2 => {
                    node.wire.link.delay(time);
                    sleep(time).await;
                    node.wire.link.delay(Duration::ZERO);
                }
                3 => {
                    node.gate.shut();
                    sleep(time).await;
                    node.gate.open();
                }
                4 => {
                    *node.wire.is_down.lock() = true;
                    sleep(time).await;
                    *node.wire.is_down.lock() = false;
                }
                5 => node.restart_upkeep(),
                // As links go: slower and slower, then silent, and it takes a while until anybody notices.
                _ => {
                    node.wire.link.delay(LEASE.mul_f64(0.8));
                    sleep(time / 2).await;
                    node.wire.link.cut();
                    sleep(LEASE * 2).await;
                    node.wire.link.delay(Duration::ZERO);
                    node.wire.link.notice();
                }
            }
        }
    }
}

fn writes_in(session: &ActiveSession) -> u64 {
    session.get(&WRITES).unwrap().unwrap_or_default()
}

/// One schedule, from beginning to end.
async fn simulate(seed: u64, harms: &[usize], sabotage: Option<Sabotage>) -> History {
    let (chance, clock) = (Chance::new(seed), Virtual(timer_now()));
    // A virtual clock that stands at zero has no lease to be in.
    sleep(LEASE).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let nodes = (0..NODES).map(|_| Node::new(Arc::clone(&store), clock, &chance, sabotage)).collect();
    let world = World { nodes, clock, chance, history: Mutex::default() };
    tokio::join!(
        world.live(),
        world.live(),
        world.live(),
        world.live(),
        world.harm(harms),
        world.harm(harms)
    );
    for node in &world.nodes {
        node.upkeep.lock().abort();
    }
    world.history.into_inner()
}

fn history_of(seed: u64, harms: &[usize], sabotage: Option<Sabotage>) -> History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed, harms, sabotage))
}

#[test]
fn whatever_happens_nobody_is_let_in_a_lease_after_the_end_and_nobody_is_signed_out_by_it() {
    let (mut accepted, mut ended) = (0, 0);
    for seed in 0..SEEDS {
        let history = history_of(seed, EVERY_HARM, None);
        assert!(history.breach.is_none(), "seed {seed}: {}", history.schedule());
        accepted += history.accepted;
        ended += history.ended;
    }
    println!("{SEEDS} schedules: {accepted} acceptances, {ended} tokens ended");
    assert!(accepted > 10_000 && ended > 1_000, "too little happened");
}

#[test]
fn each_broken_step_that_shows_between_awaits_is_found_by_some_seed() {
    for (sabotage, harms) in SHOWN {
        let found =
            (0..ENOUGH).find_map(|seed| Some((seed, history_of(seed, harms, Some(sabotage)).breach?)));
        let (seed, breach) =
            found.unwrap_or_else(|| panic!("{sabotage:?} is not noticed in {ENOUGH} schedules"));
        println!("{sabotage:?}: seed {seed}: {breach}");
    }
}

/// What is broken, and the harm that brings it to light soonest. What takes two threads within one look or one mark, or two
/// answers that overtake each other, is the model's, and that of [`orders`](super::orders).
const SHOWN: [(Sabotage, &[usize]); 11] = [
    (Sabotage::SkipMark, EVERY_HARM),
    (Sabotage::FillWhileUntrusted, EVERY_HARM),
    (Sabotage::FillAcrossGap, &[1, 5]),
    (Sabotage::TrustAfterGap, EVERY_HARM),
    (Sabotage::KeepEntriesAfterGap, EVERY_HARM),
    (Sabotage::LateProofCounts, &[0, 1, 2]),
    (Sabotage::LeaseFromReply, &[6]),
    (Sabotage::ForgetNews, EVERY_HARM),
    (Sabotage::ForgetOwnChanges, EVERY_HARM),
    (Sabotage::KeepTrustAfterOwnEnd, EVERY_HARM),
    (Sabotage::ReopenKeepsEntries, &[5]),
];
const EVERY_HARM: &[usize] = &[0, 1, 2, 3, 4, 5, 6];
const HARM_NAMES: [&str; 7] = [
    "link cut, noticed late",
    "link cut, noticed",
    "news late",
    "stopped",
    "store away",
    "upkeep begins anew",
    "link slow, then dead",
];

const WRITES: Attribute<u64> = Attribute::new("writes");
const LEASE: Duration = Duration::from_secs(1);
const NODES: usize = 3;
/// Requests of one person in a schedule, and harm that is done meanwhile: some twenty leases.
const REQUESTS: usize = 150;
const HARMS: usize = 30;
/// Schedules without sabotage.
const SEEDS: u64 = 150;
/// Schedules that have to be enough to find one. Some fifty are; which, is not the seed's decision alone.
const ENOUGH: u64 = 3_000;
