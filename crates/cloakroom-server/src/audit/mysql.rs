//! The audit log in the MySQL or MariaDB database of the accounts.

mod read;
mod write;

use std::sync::Arc;

use cloakroom_audit::{
    AuditError, AuditFuture, AuditRow, AuditStore, Batch, Checkpoint, Count, Head, Period, Prune, Sample,
    Seal, Span, Walk,
};
use cloakroom_core::Timestamp;
use cloakroom_mysql::{
    MysqlError, MysqlOptions, MysqlPlan, MysqlPool, MysqlStep, MysqlTransaction, Row, Value,
};

/// The log in MySQL or MariaDB, shared by any number of nodes.
///
/// A batch is one transaction that locks the head of the chain first: batches of several nodes come one after the other,
/// and each sees the head that the one before it left. A node that dies in the middle of one is undone by the server; one
/// that stops, too, by MariaDB within the deadline of the address.
#[derive(Clone, Debug)]
pub struct MysqlAudit {
    pool: MysqlPool,
}

impl MysqlAudit {
    /// Connects, and makes the tables or brings them up to date.
    ///
    /// # Errors
    /// [`AuditError`] where the server cannot be reached or refuses, or a later version has changed the tables.
    pub async fn connect(options: &MysqlOptions) -> Result<Self, AuditError> {
        let pool = MysqlPool::connect(options, &PLAN).await.map_err(broken("open"))?;
        Ok(Self { pool })
    }

    async fn read(
        &self,
        op: &'static str,
        sql: impl Into<String>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, AuditError> {
        Ok(self.pool.read(sql, values).await.map_err(broken(op))?.rows())
    }

    async fn begin(&self, op: &'static str) -> Result<Change, AuditError> {
        let transaction = self.pool.begin().await.map_err(broken(op))?;
        Ok(Change { transaction, op })
    }
}

/// A transaction.
struct Change {
    transaction: MysqlTransaction,
    op: &'static str,
}

impl Change {
    async fn ask(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, AuditError> {
        Ok(self.transaction.ask(sql, values).await.map_err(broken(self.op))?.rows())
    }

    async fn commit<T>(self, done: T) -> Result<T, AuditError> {
        self.transaction.commit().await.map(|()| done).map_err(broken(self.op))
    }
}

impl AuditStore for MysqlAudit {
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

fn broken(op: &'static str) -> impl Fn(MysqlError) -> AuditError {
    move |error| AuditError::new(op, error)
}

static PLAN: MysqlPlan = MysqlPlan {
    stamp: "audit_version",
    create_stamp: include_str!("mysql/version.sql"),
    names: &[
        "audit_event",
        "audit_head",
        "audit_minute",
        "audit_count",
        "audit_sample",
        "audit_seal",
        "audit_checkpoint",
        "audit_writer",
    ],
    migrations: &[&[
        MysqlStep::statement(include_str!("mysql/1_event.sql")),
        MysqlStep::statement(include_str!("mysql/1_head.sql")),
        MysqlStep::statement(include_str!("mysql/1_head_row.sql")),
        MysqlStep::statement(include_str!("mysql/1_minute.sql")),
        MysqlStep::statement(include_str!("mysql/1_count.sql")),
        MysqlStep::statement(include_str!("mysql/1_sample.sql")),
        MysqlStep::statement(include_str!("mysql/1_seal.sql")),
        MysqlStep::statement(include_str!("mysql/1_checkpoint.sql")),
        MysqlStep::statement(include_str!("mysql/1_writer.sql")),
    ]],
};
