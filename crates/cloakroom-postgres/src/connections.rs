//! A pool of connections: how one is taken, given back, or done away with.

use std::time::Duration;

use deadpool_postgres::{ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod};

use crate::connect::Connector;
use crate::error::Problem;
use crate::options::PostgresOptions;
use crate::patience::Patience;

/// Connections that do one thing at a time each.
#[derive(Debug)]
pub(crate) struct Connections {
    connector: Connector,
    pool: Pool,
}

impl Connections {
    /// Opens nothing yet.
    pub(crate) fn new(options: &PostgresOptions, connector: Connector) -> Result<Self, Problem> {
        let manager = deadpool_postgres::Manager::from_connect(
            connector.config(),
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        // Last in, first out: whoever gave a call up and asks for something else comes behind it, on the same connection,
        // and so knows it decided when the answer is there.
        let pool = Pool::builder(manager)
            .max_size(options.writers.get())
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|_| Problem::Closed)?;
        Ok(Self { connector, pool })
    }

    /// A connection that is free, or a new one.
    pub(crate) async fn take(&self, patience: &mut Patience) -> Result<Object, Problem> {
        match patience.within(self.pool.get()).await {
            Some(Ok(object)) => Ok(object),
            Some(Err(PoolError::Backend(error))) => Err(self.connector.problem(error)),
            Some(Err(_)) => Err(Problem::Closed),
            None => Err(self.crowded(patience.whole())),
        }
    }

    /// Gives a connection back after a problem, or does away with it.
    pub(crate) fn release(&self, object: Object, problem: &Problem) {
        if problem.spoils_connection() {
            drop(Object::take(object));
            // The others are to the same server: one that does not answer, is gone, or is a standby now.
            self.pool.retain(|_, _| false);
        }
    }

    /// How many there may be.
    pub(crate) fn number(&self) -> usize {
        self.pool.status().max_size
    }

    /// Nobody gave a connection back in time, or none could be opened.
    fn crowded(&self, whole: Duration) -> Problem {
        if self.pool.status().size < self.pool.status().max_size {
            Problem::Overdue(whole)
        } else {
            Problem::Crowded(whole)
        }
    }
}
