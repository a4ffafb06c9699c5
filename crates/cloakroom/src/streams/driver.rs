//! The one task that serves all open streams of an engine.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::SessionId;
use cloakroom_store::Touch;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Streams;
use super::duty::{Errand, Finding};
use super::registry::Registry;
use crate::Sessions;
use crate::system::timer_now;

/// What a task asked the store, and what it was told.
enum Done {
    Looked(Errand, Finding),
    Touched,
}

struct Driver {
    sessions: Sessions,
    streams: Arc<Streams>,
    asking: JoinSet<Done>,
    /// Look-ups under way.
    looks: usize,
    /// How many may be.
    window: usize,
    touching: bool,
    started: Instant,
    next_sweep: Instant,
}

/// Serves the streams of this engine until there is none. One runs at a time, which whoever opens the first stream
/// starts.
pub(super) async fn drive(sessions: Sessions) {
    let streams = Arc::clone(sessions.streams());
    let _guard = Guard(Arc::clone(&streams));
    let now = timer_now();
    let mut driver = Driver {
        sessions,
        streams,
        asking: JoinSet::new(),
        looks: 0,
        window: MOST_LOOKS,
        touching: false,
        started: now,
        next_sweep: now,
    };
    while !driver.streams.with(Registry::rest_where_quiet) {
        let wake_at = driver.turn();
        tokio::select! {
            biased;
            Some(done) = driver.asking.join_next() => driver.take(done),
            () = driver.streams.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

impl Driver {
    /// Does what there is to do, and says when to look again at the latest.
    fn turn(&mut self) -> Instant {
        while let Some(done) = self.asking.try_join_next() {
            self.take(done);
        }
        while self.streams.with(Registry::settle_parts) {}
        let wall = self.sessions.now();
        while self.streams.with(|registry| registry.keep_time(wall)) {}
        let now = timer_now();
        self.streams.with(|registry| registry.end_rests(now));
        if now >= self.next_sweep {
            self.sweep(now);
        }
        self.look(now);
        self.touch();
        self.next_turn(now)
    }

    fn take(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Looked(errand, finding)) => {
                self.looks = self.looks.saturating_sub(1);
                // A store that fails is asked by one at a time, and by one more with each answer.
                self.window = match finding {
                    Finding::Failed => 1,
                    _ => MOST_LOOKS.min(self.window + 1),
                };
                self.streams.with(|registry| registry.settle(&errand, finding, timer_now()));
            }
            Ok(Done::Touched) => self.touching = false,
            // A task was taken away; which one is not known, so all are begun anew.
            Err(_) => {
                self.asking.abort_all();
                (self.looks, self.window, self.touching) = (0, 1, false);
                self.asking = JoinSet::new();
                self.streams.with(Registry::abandon_checks);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let beat = self.beat();
        self.next_sweep = now + beat;
        let stale = self.streams.with(|registry| registry.stale_at(now));
        if stale.is_none_or(|at| at > now) {
            return;
        }
        let mut after: Option<SessionId> = None;
        loop {
            after = self.streams.with(|registry| registry.sweep(after, now, self.started));
            if after.is_none() {
                return;
            }
        }
    }

    fn look(&mut self, now: Instant) {
        while self.looks < self.window {
            let Some(errand) = self.streams.with(|registry| registry.next_errand(now)) else { return };
            let sessions = self.sessions.clone();
            self.looks += 1;
            self.asking.spawn(async move {
                // A store's panic is a look-up that failed, not the end of all others.
                let looked = AssertUnwindSafe(sessions.look(&errand)).catch_unwind().await;
                Done::Looked(errand, looked.unwrap_or(Finding::Failed))
            });
        }
    }

    fn touch(&mut self) {
        if self.touching {
            return;
        }
        let touches: Vec<Touch> = self.streams.with(|registry| registry.take_touches(MOST_TOUCHES));
        if !touches.is_empty() {
            let sessions = self.sessions.clone();
            self.touching = true;
            self.asking.spawn(async move {
                sessions.touch_now(&touches).await;
                Done::Touched
            });
        }
    }

    fn next_turn(&self, now: Instant) -> Instant {
        let wall = self.sessions.now();
        let (due, stale, rested) = self.streams.with(|registry| {
            let due = registry.dues.first().map(|(due, _)| due.since(wall));
            let rested = registry.troubles.values().filter(|trouble| trouble.probe.is_none());
            (due, registry.stale_at(now), rested.map(|trouble| trouble.until).min())
        });
        let sweep = stale.map(|at| at.max(self.next_sweep));
        // A wall clock may be set: it is looked at again before long, whatever it says now.
        let due = now + due.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        [sweep, rested].into_iter().flatten().fold(due, Instant::min).max(now + SHORTEST_SLEEP)
    }

    /// Between two looks at sessions that no feed covers.
    fn beat(&self) -> Duration {
        (self.streams.policy.recheck_interval() / 16).clamp(Duration::from_millis(10), LONGEST_SLEEP)
    }
}

/// Whatever ends the task, the next one who waits starts another.
struct Guard(Arc<Streams>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.with(|registry| {
            registry.driven = false;
            registry.abandon_checks();
            if std::thread::panicking() {
                // A defect. Rather all streams end, and come again, than one goes on that nobody looks after.
                registry.give_up_all();
            }
            registry.wake_all();
        });
    }
}

/// Look-ups at once: ten thousand sessions are gone through in a second at a millisecond and a half each, and a store that
/// has just come back meets no crowd.
const MOST_LOOKS: usize = 16;
/// Touches in one call of the store.
const MOST_TOUCHES: usize = 512;
/// The clock is looked at this often, in case it was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// A timer's own granularity.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
