//! Hints that the list of ends has grown, from node to node.
//!
//! A hint is sent after the commit, on a connection of the pool: inside of it, it would put the commits of everybody on the
//! server behind each other. It proves nothing: lost ones cost time, forged ones a reading.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::beside::PostgresPool;
use crate::connect::{Connection, Connector};
use crate::error::Problem;
use crate::options::{PostgresOptions, Settings};

/// How a node tells the others, and hears of them.
#[derive(Debug)]
pub(crate) struct Ears {
    /// None behind a pooler, where nobody can listen.
    channel: Option<Channel>,
    grown: Arc<Notify>,
}

#[derive(Debug)]
struct Channel {
    name: String,
    connector: Connector,
    pool: PostgresPool,
    deadline: Duration,
    /// Something was added here, and nobody told.
    wanted: Arc<Notify>,
    sender: OnceLock<JoinHandle<()>>,
    listener: OnceLock<JoinHandle<()>>,
}

/// Sends a hint when dropped.
#[derive(Debug)]
pub(crate) struct HintInTheEnd<'a>(&'a Ears);

impl Ears {
    pub(crate) fn new(options: &PostgresOptions, connector: Connector, pool: PostgresPool) -> Self {
        let channel = (options.settings == Settings::Own).then(|| Channel {
            name: format!("cloakroom_ends_{}", options.schema()),
            connector,
            pool,
            deadline: options.deadline(),
            wanted: Arc::default(),
            sender: OnceLock::new(),
            listener: OnceLock::new(),
        });
        Self { channel, grown: Arc::default() }
    }

    pub(crate) fn can_hear(&self) -> bool {
        self.channel.is_some()
    }

    /// Resolves when some node has said since this was called that the list has grown. Begins to listen, where nobody does.
    pub(crate) fn told(&self) -> impl Future<Output = ()> + Send + use<'_> {
        // Counts from here, not from when it is first polled: `notify_waiters` reaches whatever was made before it.
        let grown = self.grown.notified();
        if let Some(channel) = &self.channel {
            channel.listener.get_or_init(|| {
                let heard = Arc::default();
                let listener = Listener {
                    connector: channel.connector.hearing(Arc::clone(&heard)),
                    listen: format!("LISTEN \"{}\"", channel.name),
                    deadline: channel.deadline,
                    heard,
                    grown: Arc::clone(&self.grown),
                };
                tokio::spawn(listener.run())
            });
        }
        grown
    }

    /// Tells everybody once what this returns is dropped.
    pub(crate) fn hint_in_the_end(&self) -> HintInTheEnd<'_> {
        HintInTheEnd(self)
    }
}

impl Drop for HintInTheEnd<'_> {
    fn drop(&mut self) {
        let Some(channel) = &self.0.channel else { return };
        channel.sender.get_or_init(|| {
            let (wanted, pool, name) =
                (Arc::clone(&channel.wanted), channel.pool.clone(), channel.name.clone());
            tokio::spawn(pass_on(wanted, pool, name))
        });
        channel.wanted.notify_one();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        for task in [self.sender.get(), self.listener.get()].into_iter().flatten() {
            task.abort();
        }
    }
}

/// Tells everybody, by one statement for all that came together.
async fn pass_on(wanted: Arc<Notify>, pool: PostgresPool, channel: String) {
    loop {
        wanted.notified().await;
        if let Err(error) = pool.read(HINT, &[&channel]).await {
            tracing::debug!(%error, "the other nodes were not told at once");
        }
        sleep(SPACING).await;
    }
}

/// A connection on which hints come.
#[derive(Debug)]
struct Listener {
    connector: Connector,
    listen: String,
    deadline: Duration,
    heard: Arc<Notify>,
    grown: Arc<Notify>,
}

impl Listener {
    async fn run(self) {
        let mut is_well = true;
        loop {
            match self.open().await {
                Ok(connection) => {
                    if !is_well {
                        tracing::info!("hints of what was ended are heard again");
                    }
                    is_well = true;
                    self.hear(&connection).await;
                }
                Err(problem) => {
                    if is_well {
                        tracing::warn!(%problem, "hints of what was ended cannot be heard");
                    }
                    is_well = false;
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn open(&self) -> Result<Connection, Problem> {
        let opening = async {
            let connection = self.connector.open().await?;
            connection.client.batch_execute(&self.listen).await?;
            Ok(connection)
        };
        timeout(self.deadline, opening).await.unwrap_or(Err(Problem::Overdue(self.deadline)))
    }

    /// Passes hints on until the connection is of no more use.
    async fn hear(&self, connection: &Connection) {
        loop {
            // At first also for whatever was said while nobody listened.
            self.grown.notify_waiters();
            while timeout(SILENCE, self.heard.notified()).await.is_err() {
                let alive = timeout(self.deadline, connection.client.batch_execute("SELECT")).await;
                if !matches!(alive, Ok(Ok(()))) {
                    return;
                }
            }
        }
    }
}

const HINT: &str = "SELECT pg_notify($1, '')";
/// Between two hints: a busy node says at most two hundred times a second that it has added something.
const SPACING: Duration = Duration::from_millis(5);
/// Before a connection is opened again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long nobody says anything before the connection is asked whether it is there. Whoever reads in turn learns of what
/// it lost long before.
const SILENCE: Duration = Duration::from_secs(2);
