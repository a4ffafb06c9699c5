//! Connections to the server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Problem, remedy};
use crate::options::{PostgresOptions, Settings};
use crate::{tls, url};

/// Opens connections: those of the pool, and those for look-ups.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    place: String,
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
        let mut config = options.config.clone();
        config.ssl_mode(url::ssl_mode(options.tls));
        // A host that does not answer is given up early enough to try the next one.
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.deadline / 2);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(options.deadline * 4);
        }
        if options.settings == Settings::Own {
            config.options(settings(options));
        }
        Ok(Self { tls: tls::connector(options.tls, options.authorities())?, place: options.place(), config })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) async fn open(&self) -> Result<Connection, Problem> {
        let (client, task) = self.connect(&self.config).await.map_err(|error| self.problem(error))?;
        Ok(Connection { client, task })
    }

    /// What a connection that could not be opened is to the caller.
    pub(crate) fn problem(&self, source: Error) -> Problem {
        Problem::Connect { place: self.place.clone(), remedy: remedy(&source), source }
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    // Whoever waited on it has been told; this is for whoever reads the log.
                    tracing::debug!(error = %Problem::from(error), "a connection to PostgreSQL ended");
                }
            });
            Ok((client, task))
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What every connection is told at its start. What the URL says comes later and so counts more.
///
/// The server gives a statement up before its caller does: then it is known that nothing was applied.
fn settings(options: &PostgresOptions) -> String {
    let millis = |share: u32| (options.deadline * share / 4).as_millis().max(1);
    format!(
        "-c statement_timeout={} -c lock_timeout={} -c default_transaction_isolation=read\\ committed \
         -c synchronous_commit=on -c jit=off {}",
        millis(3),
        millis(2),
        options.config.get_options().unwrap_or_default(),
    )
}
