//! A connection that comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::link::Link;
use crate::error::Problem;

/// A place for one connection to a server. While there is none, a task of its own tries again and again, with pauses
/// that grow: recovery needs no caller, and a server that comes back is asked by one connection at a time, not by all
/// that wait.
#[derive(Debug)]
pub(crate) struct Lane {
    server: Arc<str>,
    state: watch::Receiver<State>,
    keeper: AbortHandle,
}

#[derive(Clone, Debug)]
enum State {
    /// It is being opened: worth waiting for.
    Opening,
    Up(Arc<Link>),
    /// It could not be opened: not worth waiting for until it is.
    Down(Arc<Problem>),
}

impl Lane {
    /// Starts to connect to `server`, and goes on until it is dropped. `spread` sets apart the pauses of lanes.
    pub(crate) fn start(server: Arc<str>, patience: Duration, spread: u64) -> Self {
        let (publish, state) = watch::channel(State::Opening);
        let keeper = tokio::spawn(keep(Arc::clone(&server), patience, spread, publish)).abort_handle();
        Self { server, state, keeper }
    }

    /// Whether it is connected, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(link) if !link.is_broken())
    }

    /// The connection. Waits while one is being opened, not while the server is known to be away.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Problem> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Up(link) if !link.is_broken() => return Ok(Arc::clone(link)),
                State::Down(why) => {
                    let (server, source) = (Arc::clone(&self.server), Arc::clone(why));
                    return Err(Problem::Away { server, source });
                }
                State::Opening | State::Up(_) => {}
            }
            if state.changed().await.is_err() {
                return Err(Problem::Closed);
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(server: Arc<str>, patience: Duration, spread: u64, publish: watch::Sender<State>) {
    let mut failures: u32 = 0;
    loop {
        match Link::open(&server, patience).await {
            Ok((link, work)) => {
                if failures > 0 {
                    tracing::info!(server = &*server, "memcached answers again");
                }
                failures = 0;
                publish.send_replace(State::Up(link));
                let problem = work.await;
                tracing::warn!(server = &*server, error = shown(&problem), "connection to memcached lost");
                publish.send_replace(State::Opening);
            }
            Err(problem) => {
                if failures == 0 {
                    tracing::warn!(server = &*server, error = shown(&problem), "memcached cannot be reached");
                }
                failures = failures.saturating_add(1);
                publish.send_replace(State::Down(Arc::new(problem)));
                tokio::time::sleep(pause(failures, spread)).await;
            }
        }
    }
}

/// As a log shows it: with its source.
fn shown(problem: &Problem) -> &(dyn std::error::Error + 'static) {
    problem
}

/// The pause after so many failures: doubled each time up to a second, and a quarter more or less by `spread`.
fn pause(failures: u32, spread: u64) -> Duration {
    let longest = SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(LONGEST_PAUSE);
    let share = crate::ring::mix(spread ^ u64::from(failures)) % 512;
    let part = u32::try_from(share).unwrap_or(0);
    longest.saturating_mul(768 + part) / 1_024
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(40);
/// A server that is back is used after at most about this long.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_second_and_differ() {
        let pauses: Vec<Duration> = (1..=20).map(|failures| pause(failures, 7)).collect();
        assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(30)), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(1_250)), "{pauses:?}");
        assert!(pauses[5..].iter().all(|pause| *pause >= Duration::from_millis(750)), "{pauses:?}");
        assert_ne!(pause(9, 1), pause(9, 2));
    }
}
