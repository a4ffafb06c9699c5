//! One of three nodes: a process with an engine and connections of its own.

use std::io::BufRead as _;
use std::time::Duration;

use clap::Args;
use cloakroom::{
    Activity, AuthLevel, Authentication, EndReason, Issue, Method, Principal, PrincipalId, Reach, Revocation,
    Selector, SessionId, SessionToken, Sessions, Validation,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::child::say;
use crate::error::{Doing as _, Error, Outcome};
use crate::stopwatch::Stopwatch;

use super::Watched;

/// A node to be.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeTask {
    /// Which kind of store
    #[arg(long)]
    store: Watched,
    /// Where its server is
    #[arg(long)]
    url: String,
}

/// What a node is asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Start a session.
    Issue,
    /// Use this one until it is refused.
    Use { token: String },
    /// End this one.
    End { session: String },
    /// Say how validations were answered so far.
    Sum,
}

/// What a node answers. Instants are of the machine's monotonic clock, which all processes share, in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// It is there, and its memory may be believed.
    Ready,
    Issued {
        token: String,
        session: String,
    },
    /// The session is alive, and known here.
    Accepted,
    /// The session was refused, at this instant for the first time.
    Refused {
        at: u64,
    },
    /// The end was acknowledged at this instant.
    Ended {
        at: u64,
    },
    Sum {
        from_memory: u64,
        from_store: u64,
    },
}

/// The role of a node: says that it is ready, then does as it is asked, until its input ends.
pub(crate) fn run(task: &NodeTask) -> Outcome {
    let recorder = PrometheusBuilder::new().install_recorder().doing("installing a recorder of metrics")?;
    // One thread for connections, news and proofs; this one asks.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.doing("building a runtime")?;
    let node = runtime.block_on(Node::enter(task, recorder))?;
    say(&Told::Ready)?;
    for line in std::io::stdin().lock().lines() {
        let ask: Ask = serde_json::from_str(&line.doing("hearing")?).doing("reading a question")?;
        runtime.block_on(node.answer(ask))?;
    }
    Ok(())
}

struct Node {
    sessions: Sessions,
    recorder: PrometheusHandle,
}

impl Node {
    async fn enter(task: &NodeTask, recorder: PrometheusHandle) -> Outcome<Self> {
        let store = task.store.open(&task.url).await?;
        let sessions = Sessions::builder_shared(store).build().doing("building the engine")?;
        let upkeep = sessions.clone();
        tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await });
        let watch = Stopwatch::start();
        while !matches!(sessions.reach(), Reach::NearCache(state) if state.is_trusted()) {
            if watch.elapsed() > PATIENCE {
                let reach = sessions.reach();
                return Err(Error::new("waiting for the near cache", format!("it is still {reach:?}")));
            }
            pause();
        }
        Ok(Self { sessions, recorder })
    }

    async fn answer(&self, ask: Ask) -> Outcome {
        match ask {
            Ask::Issue => self.issue().await,
            Ask::Use { token } => self.use_until_refused(&token).await,
            Ask::End { session } => self.end(&session).await,
            Ask::Sum => {
                let metrics = self.recorder.render();
                let sum = |source: &str| {
                    let lines = metrics.lines().filter(|line| {
                        line.starts_with("cloakroom_validations_total{") && line.contains(source)
                    });
                    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
                };
                let (from_memory, from_store) = (sum("source=\"cache\""), sum("source=\"store\""));
                say(&Told::Sum { from_memory, from_store })
            }
        }
    }

    async fn issue(&self) -> Outcome {
        let principal = PrincipalId::new("user-123456").doing("naming a principal")?;
        let proof = Authentication::new(AuthLevel::One, Method::password(), self.sessions.now());
        let issue = Issue::signed_in(Principal::new(principal), proof);
        let issued = self.sessions.issue(issue).await.doing("issuing a session")?.expect_issued();
        let token = issued.token.expose().as_str().to_owned();
        say(&Told::Issued { token, session: issued.session.id().to_string() })
    }

    async fn use_until_refused(&self, token: &str) -> Outcome {
        let token = SessionToken::parse(token.as_bytes()).doing("reading a token")?;
        let watch = Stopwatch::start();
        let mut accepted = 0;
        while watch.elapsed() < PATIENCE {
            match self.sessions.validate(&token, Activity::Ignored).await.doing("validating")? {
                Validation::Active(_) => accepted += 1,
                _ => return say(&Told::Refused { at: now() }),
            }
            if accepted == SETTLED_IN {
                say(&Told::Accepted)?;
            }
            pause();
        }
        Err(Error::new("waiting for a session to be refused", "it is still accepted"))
    }

    async fn end(&self, session: &str) -> Outcome {
        let selector = Selector::One(session.parse::<SessionId>().doing("reading a session's id")?);
        let revoked = self.sessions.revoke(&selector, Revocation::by_system(EndReason::RevokedByAdmin)).await;
        let at = now();
        if revoked.doing("ending a session")?.count() == 1 {
            say(&Told::Ended { at })
        } else {
            Err(Error::new("ending a session", "there was none"))
        }
    }
}

/// Lets others have the processor between two questions.
#[expect(clippy::disallowed_methods, reason = "who asks without a pause measures who gets the processor")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// The machine's monotonic clock, in nanoseconds.
fn now() -> u64 {
    let reading = clock_gettime(ClockId::Monotonic);
    let [seconds, nanoseconds] =
        [reading.tv_sec, reading.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000_000 + nanoseconds
}

/// Between two questions: what can be told apart. The kernel makes about twice as much of it.
const PAUSE: Duration = Duration::from_micros(50);
/// Validations after which a session is known here: the first asks the store.
const SETTLED_IN: u32 = 3;
/// Many leases.
const PATIENCE: Duration = Duration::from_secs(20);
