//! A population of one size, asked in one way.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cloakroom::{
    Activity, AuthLevel, Authentication, Issue, Method, NearCachePolicy, Policy, Principal, PrincipalId,
    Reach, SessionToken, Sessions, Store, Validation,
};
use cloakroom_conformance::{Seeded, SwitchedStore};
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::Capabilities;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::child::say;
use crate::error::{Doing as _, Error, Outcome};
use crate::machine::private_memory;
use crate::statistics::{each, median, number};
use crate::stopwatch::Stopwatch;

use super::Way;
use super::turn::{Asked, Kind, Turn};

/// A population to be.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PopulationTask {
    /// Where the answer comes from
    #[arg(long)]
    way: Way,
    /// How many sessions
    #[arg(long)]
    sessions: usize,
    /// How often everything takes its turn
    #[arg(long)]
    rounds: usize,
    /// Look-ups in a turn
    #[arg(long)]
    look_ups: usize,
}

/// What it tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) sessions: usize,
    pub(super) turns: Vec<Turn>,
    /// Private memory of an entry of the near cache: record, key, and its share of the map.
    pub(super) bytes_each_entry: Option<f64>,
}

impl Found {
    /// Nanoseconds of a look-up.
    pub(super) fn cost(&self, threads: usize, kind: Kind) -> Option<f64> {
        let of_kind = self.turns.iter().filter(|turn| turn.threads == threads && turn.kind == kind);
        let nanoseconds: Vec<f64> = of_kind.map(|turn| turn.nanoseconds).collect();
        (!nanoseconds.is_empty()).then(|| median(nanoseconds))
    }
}

/// The role of a population: fills a store, asks, tells, and ends.
pub(crate) fn run(task: &PopulationTask) -> Outcome {
    let sessions = engine(task.way)?;
    // Proofs and batches go on beside the threads that ask, as in a server.
    let upkeep = sessions.clone();
    std::thread::spawn(move || {
        if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
            runtime.block_on(upkeep.upkeep(std::future::pending()));
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    let mut tokens = runtime.block_on(issue_all(&sessions, task.sessions))?;
    shuffle(&mut tokens);
    let bytes_each_entry = match task.way {
        Way::Memory => None,
        Way::Near => Some(runtime.block_on(remember_all(&sessions, &tokens))?),
    };
    let records = runtime.block_on(Asked::gather(&sessions, &tokens))?;
    let asked = Asked::new(&sessions, &tokens, records);
    let mut turns = Vec::new();
    let mut walked = 0;
    for round in 0..=task.rounds {
        for threads in [1, 2] {
            for kind in Kind::ALL {
                let threads = NonZeroUsize::new(threads).doing("counting threads")?;
                let turn = asked.turn(kind, threads, walked, task.look_ups)?;
                // The first round warms up.
                turns.extend((round > 0).then_some(turn));
            }
            walked += 2 * task.look_ups;
        }
    }
    say(&Found { sessions: task.sessions, turns, bytes_each_entry })
}

fn engine(way: Way) -> Outcome<Sessions> {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(MemoryOptions::default().with_max_bytes(ROOM)));
    let store: Arc<dyn Store> = match way {
        Way::Memory => memory,
        // As if other nodes could reach it, too: what it costs to ask the store plays no part once everything is known.
        Way::Near => Arc::new(SwitchedStore::new(memory).claiming(Capabilities::ALL)),
    };
    let lease = NearCachePolicy::default().lease();
    let near = NearCachePolicy::new(ROOM_NEAR, lease).doing("giving the near cache room")?;
    let policy = Policy::default().with_touch_interval(TOUCH_INTERVAL);
    Sessions::builder_shared(store).policy(policy).near_cache(near).build().doing("building the engine")
}

async fn issue_all(sessions: &Sessions, count: usize) -> Outcome<Vec<SessionToken>> {
    let mut tokens = Vec::with_capacity(count);
    for number in 0..count {
        let principal = PrincipalId::new(format!("user-{number:07}")).doing("naming a principal")?;
        let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
        let issue = Issue::signed_in(Principal::new(principal), proof);
        tokens.push(sessions.issue(issue).await.doing("issuing a session")?.expect_issued().token);
    }
    Ok(tokens)
}

fn shuffle(tokens: &mut [SessionToken]) {
    let mut random = Seeded::new(7);
    for last in (1..tokens.len()).rev() {
        let other = random.below(u64::try_from(last + 1).unwrap_or(u64::MAX));
        tokens.swap(last, usize::try_from(other).unwrap_or_default());
    }
}

/// Has the near cache know everybody; answers what it takes for each.
async fn remember_all(sessions: &Sessions, tokens: &[SessionToken]) -> Outcome<f64> {
    let before = private_memory().doing("reading this process's memory")?;
    let watch = Stopwatch::start();
    loop {
        for token in tokens {
            match sessions.validate(token, Activity::Ignored).await.doing("validating")? {
                Validation::Active(_) => {}
                other => {
                    return Err(Error::new("validating", format!("the session is not alive: {other:?}")));
                }
            }
        }
        let Reach::NearCache(state) = sessions.reach() else {
            return Err(Error::new("looking at the near cache", "there is none"));
        };
        // What was asked while nothing could be believed was not kept: it is asked again.
        if state.is_trusted() && state.entries >= tokens.len() - tokens.len() / 100 {
            let grown = private_memory().doing("reading this process's memory")?.saturating_sub(before);
            return Ok(each(number(grown), state.entries));
        }
        if watch.elapsed() > PATIENCE {
            return Err(Error::new("filling the near cache", format!("it is still {state:?}")));
        }
    }
}

/// More than ten million sessions need: what happens in a full store is not measured here.
const ROOM: usize = 6 << 30;
const ROOM_NEAR: u64 = 12 << 30;
/// Longer than any run: what a touch costs is not what is asked here.
const TOUCH_INTERVAL: Duration = Duration::from_secs(20 * 60);
const PATIENCE: Duration = Duration::from_secs(120);
