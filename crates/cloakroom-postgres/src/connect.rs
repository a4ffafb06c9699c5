//! Connections to the server.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Problem, remedy};
use crate::options::{PostgresOptions, Settings};
use crate::{tls, url};

/// Opens connections: those of the pool, and those for look-ups.
#[derive(Clone)]
pub(crate) struct Connector {
    hosts: Arc<[Config]>,
    /// The number of the host that was connected to last.
    latest: Arc<AtomicUsize>,
    /// How long one of several hosts is waited for.
    patience: Duration,
    tls: MakeRustlsConnect,
    place: String,
    /// Told of every notification that comes on a connection.
    heard: Option<Arc<Notify>>,
}

/// A connection of our own; dropping it closes it, whatever it waits for.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connector {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, Problem> {
        let mut hosts = options.hosts.clone();
        for host in &mut hosts {
            host.ssl_mode(url::ssl_mode(options.tls));
            if host.get_tcp_user_timeout().is_none() {
                host.tcp_user_timeout(options.deadline * 4);
            }
            if options.settings == Settings::Own {
                let settings = settings(options, host.get_options().unwrap_or_default());
                host.options(settings);
            }
        }
        let number = u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        Ok(Self {
            hosts: hosts.into(),
            latest: Arc::default(),
            patience: options.deadline / number,
            tls: tls::connector(options.tls, options.authorities())?,
            place: options.place(),
            heard: None,
        })
    }

    /// The same, for connections whose notifications somebody waits for.
    pub(crate) fn hearing(&self, heard: Arc<Notify>) -> Self {
        Self { heard: Some(heard), ..self.clone() }
    }

    /// What the pool calls its configuration; which host it is, is decided at each connection.
    pub(crate) fn config(&self) -> Config {
        self.hosts.first().cloned().unwrap_or_default()
    }

    pub(crate) async fn open(&self) -> Result<Connection, Problem> {
        let (client, task) = self.first_that_answers().await.map_err(|error| self.problem(error))?;
        Ok(Connection { client, task })
    }

    /// What a connection that could not be opened is to the caller.
    pub(crate) fn problem(&self, error: Error) -> Problem {
        Problem::Connect { place: self.place.clone(), remedy: remedy(&error), error }
    }
}

impl Connector {
    /// Connects to the host of the last time, or to the next one that answers. One that accepts and says nothing gets its
    /// share of the deadline; the last one may have what is left.
    async fn first_that_answers(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let latest = self.latest.load(Ordering::Relaxed);
        let order = self.hosts.iter().enumerate().cycle().skip(latest).take(self.hosts.len());
        let mut order = order.peekable();
        loop {
            // Without hosts there is nothing to connect to: the error of an empty configuration says so.
            let Some((number, host)) = order.next() else {
                return self.attempt(&Config::new()).await;
            };
            let attempt = self.attempt(host);
            let answer = match order.peek() {
                Some(_) => tokio::time::timeout(self.patience, attempt).await,
                None => Ok(attempt.await),
            };
            match answer {
                Ok(Ok(connected)) => {
                    self.latest.store(number, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) if order.peek().is_none() => return Err(error),
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    async fn attempt(&self, host: &Config) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, mut connection) = host.connect(self.tls.clone()).await?;
        let heard = self.heard.clone();
        let task = tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notification(_)) => heard.iter().for_each(|heard| heard.notify_one()),
                    Ok(_) => {}
                    Err(error) => {
                        // Whoever waited on it has been told; this is for whoever reads the log.
                        tracing::debug!(error = %Problem::from(error), "a connection to PostgreSQL ended");
                        return;
                    }
                }
            }
        });
        Ok((client, task))
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        _config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.first_that_answers())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What every connection is told at its start. What the URL says comes later and so counts more.
///
/// The server gives a statement up before its caller does: then it is known that nothing was applied. Every statement has
/// an index; a server that finds a table too small to bother keeps that plan while the table grows.
fn settings(options: &PostgresOptions, theirs: &str) -> String {
    let millis = |share: u32| (options.deadline * share / 4).as_millis().max(1);
    format!(
        "-c statement_timeout={} -c lock_timeout={} -c default_transaction_isolation=read\\ committed \
         -c synchronous_commit=on -c jit=off -c enable_seqscan=off {}",
        millis(3),
        millis(2),
        theirs,
    )
}
