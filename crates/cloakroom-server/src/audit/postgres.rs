//! The audit log in the PostgreSQL database of the accounts.

mod read;
mod write;

use std::sync::Arc;

use cloakroom_audit::{
    AuditError, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Head, Period, Prune, Sample,
    Seal, Span, Walk,
};
use cloakroom_core::Timestamp;
use cloakroom_postgres::{
    Parameters, PostgresError, PostgresOptions, PostgresPlan, PostgresPool, PostgresTransaction, Row,
};

/// The log in PostgreSQL, shared by any number of nodes.
///
/// A batch is one transaction that locks the head of the chain first: batches of several nodes come one after the other,
/// and each sees the head that the one before it left. A node that dies, or stops, in the middle of one is undone by the
/// server within the deadline of the address.
#[derive(Clone, Debug)]
pub struct PostgresAudit {
    pool: PostgresPool,
}

impl PostgresAudit {
    /// Connects, and makes the tables or brings them up to date.
    ///
    /// # Errors
    /// [`AuditError`] where the server cannot be reached or refuses, or a later version has changed the tables.
    pub async fn connect(options: &PostgresOptions) -> Result<Self, AuditError> {
        let pool = PostgresPool::connect(options, &PLAN).await.map_err(broken("open"))?;
        Ok(Self { pool })
    }

    async fn read(
        &self,
        op: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, AuditError> {
        self.pool.read(sql, parameters).await.map_err(broken(op))
    }

    async fn begin(&self, op: &'static str) -> Result<Change, AuditError> {
        let transaction = self.pool.begin().await.map_err(broken(op))?;
        Ok(Change { transaction, op })
    }
}

/// A transaction.
struct Change {
    transaction: PostgresTransaction,
    op: &'static str,
}

impl Change {
    async fn ask(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, AuditError> {
        self.transaction.ask(sql, parameters).await.map_err(broken(self.op))
    }

    async fn commit<T>(self, done: T) -> Result<T, AuditError> {
        self.transaction.commit().await.map(|()| done).map_err(broken(self.op))
    }
}

impl AuditStore for PostgresAudit {
    fn append(&self, batch: Arc<Batch>) -> AuditFuture<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let mut change = self.begin("append").await?;
            let rows = change.append(&batch).await?;
            change.commit(rows).await
        })
    }

    fn walk(&self, walk: Walk) -> AuditFuture<'_, Vec<AuditRow>> {
        Box::pin(self.walked(walk))
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        Box::pin(self.found_head())
    }

    fn span(&self, period: Period) -> AuditFuture<'_, Span> {
        Box::pin(self.found_span(period))
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        Box::pin(self.counted(since))
    }

    fn put_samples(&self, samples: Vec<Sample>) -> AuditFuture<'_, ()> {
        Box::pin(async move {
            let mut change = self.begin("put_samples").await?;
            change.put_samples(&samples).await?;
            change.commit(()).await
        })
    }

    fn samples(&self, series: String, since: Timestamp) -> AuditFuture<'_, Vec<Sample>> {
        Box::pin(self.sampled(series, since))
    }

    fn put_seal(&self, seal: Seal) -> AuditFuture<'_, ()> {
        Box::pin(async move {
            let mut change = self.begin("put_seal").await?;
            change.put_seal(&seal).await?;
            change.commit(()).await
        })
    }

    fn seals(&self) -> AuditFuture<'_, Vec<Seal>> {
        Box::pin(self.all_seals())
    }

    fn checkpoint(&self) -> AuditFuture<'_, Option<Checkpoint>> {
        Box::pin(self.found_checkpoint())
    }

    fn prune(&self, prune: Arc<Prune>) -> AuditFuture<'_, Option<Vec<AuditRow>>> {
        Box::pin(async move {
            let mut change = self.begin("prune").await?;
            let rows = change.prune(&prune).await?;
            change.commit(rows).await
        })
    }

    fn forget(&self, before: Timestamp) -> AuditFuture<'_, ()> {
        Box::pin(async move {
            let mut change = self.begin("forget").await?;
            change.forget(before).await?;
            change.commit(()).await
        })
    }
}

fn broken(op: &'static str) -> impl Fn(PostgresError) -> AuditError {
    move |error| AuditError::new(op, error)
}

const PLAN: PostgresPlan =
    PostgresPlan { versions: "audit_version", migrations: &[include_str!("postgres/1.sql")] };
