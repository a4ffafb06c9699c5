//! The tables, views and procedures, and how an older database gets them.
//!
//! DDL commits by itself, in both dialects. So a migration is a list of steps, each of which can be done again, and a row
//! that says how many are done; `GET_LOCK` keeps other processes on the same server away meanwhile.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Row};

use crate::database::{Database, Link, Work, refused};
use crate::error::{Problem, Sent, migration_remedy};
use crate::map::Columns;
use crate::options::{Migrate, MysqlOptions};
use cloakroom_store::Verb;

/// Tables, and how older ones become newer ones.
#[derive(Debug)]
pub struct MysqlPlan {
    /// The table that says how far they are. Its columns are `singleton`, `version` and `step`.
    pub stamp: &'static str,
    /// Creates that table, if it is not there.
    pub create_stamp: &'static str,
    /// What another program may have called the same: refused where there is no stamp.
    pub names: &'static [&'static str],
    /// The steps to each version, in order; released ones never change.
    pub migrations: &'static [&'static [MysqlStep]],
}

impl MysqlPlan {
    /// The version that the tables have in the end.
    fn version(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }

    fn look(&self) -> String {
        format!("SELECT version, step FROM {} WHERE singleton = 1", self.stamp)
    }

    fn check(&self, found: i64, options: &MysqlOptions) -> Result<(), Problem> {
        let (database, known) = (options.database.clone(), self.version());
        if found > known {
            return Err(Problem::Newer { database, found, known });
        }
        if found < known && options.migrate == Migrate::Off {
            return Err(Problem::Older { database, found, known });
        }
        Ok(())
    }
}

/// Brings the tables of `plan` to its version, where they are not there already.
///
/// A database that is needs no more than one look, and no right to change anything.
pub(crate) async fn bring_up_to_date(
    database: &Database,
    options: &MysqlOptions,
    patient: Opts,
    plan: &'static MysqlPlan,
) -> Result<(), (Problem, Sent)> {
    let found = database.undertake(Look(plan)).await?.map_or(0, |stamp| stamp.version);
    plan.check(found, options).map_err(|problem| (problem, Sent::Nothing))?;
    if found == plan.version() {
        return Ok(());
    }
    migrate(options, patient, plan).await.map_err(|problem| (problem, Sent::Writing))
}

/// Which schema a database has, and how many steps towards the next are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    version: i64,
    step: i64,
}

impl Stamp {
    fn read(rows: Vec<Row>) -> Result<Option<Self>, Problem> {
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(Self { version: columns.integer("version")?, step: columns.integer("step")? }))
    }
}

struct Look(&'static MysqlPlan);

impl Work for Look {
    type Answer = Option<Stamp>;
    const VERB: Verb = Verb::Open;
    const EFFECT: crate::database::Effect = crate::database::Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Option<Stamp>, Problem> {
        match link.ask(&self.0.look(), Vec::new()).await {
            Ok(answer) => Stamp::read(answer.rows()),
            Err(Problem::Server { code: NO_SUCH_TABLE, .. }) => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

async fn migrate(options: &MysqlOptions, opts: Opts, plan: &'static MysqlPlan) -> Result<(), Problem> {
    let connecting = tokio::time::timeout(options.deadline, Conn::new(opts));
    let mut conn = connecting
        .await
        .map_err(|_| Problem::Crowded(options.deadline))?
        .map_err(|error| refused(&options.place.to_string(), error))?;
    // Given up with the connection, which ends with this function whatever happens.
    let locking = conn.exec_first::<Row, _, _>(LOCK, (PATIENCE.as_secs(),));
    let locked = tokio::time::timeout(PATIENCE + options.deadline, locking)
        .await
        .map_err(|_| Problem::Overdue(PATIENCE))??;
    let locked = locked.map(|row| Columns::of(row).integer("lock")).transpose();
    if !matches!(locked, Ok(Some(1))) {
        return Err(Problem::Migrating { database: options.database.clone(), patience: PATIENCE });
    }
    let outcome = Migration { conn: &mut conn, options, plan }.run().await;
    let _ = tokio::time::timeout(options.deadline, conn.disconnect()).await;
    outcome
}

/// A migration while its lock is held.
struct Migration<'a> {
    conn: &'a mut Conn,
    options: &'a MysqlOptions,
    plan: &'static MysqlPlan,
}

impl Migration<'_> {
    async fn run(&mut self) -> Result<(), Problem> {
        let mut stamp = self.stamp().await?;
        self.plan.check(stamp.version, self.options)?;
        for (version, steps) in (1..).zip(self.plan.migrations) {
            if version <= stamp.version {
                continue;
            }
            tracing::info!(database = self.options.database, version, "migrating the schema");
            for (number, step) in steps.iter().enumerate() {
                let done = i64::try_from(number).unwrap_or(i64::MAX);
                if done >= stamp.step {
                    self.take(version, number, step).await?;
                    self.note(Stamp { version: version - 1, step: done + 1 }).await?;
                }
            }
            stamp = Stamp { version, step: 0 };
            self.note(stamp).await?;
        }
        Ok(())
    }

    /// How far this database is; makes the row that says so where there is none.
    async fn stamp(&mut self) -> Result<Stamp, Problem> {
        match self.conn.query::<Row, _>(self.plan.look()).await {
            Ok(rows) => {
                if let Some(stamp) = Stamp::read(rows)? {
                    return Ok(stamp);
                }
            }
            Err(mysql_async::Error::Server(answer)) if answer.code == NO_SUCH_TABLE => {
                self.refuse_what_is_not_ours().await?;
                let created = self.conn.query_drop(self.plan.create_stamp).await;
                created.map_err(|error| self.failed(1, 0, error))?;
            }
            Err(error) => return Err(error.into()),
        }
        let stamp = self.plan.stamp;
        let insert = format!("INSERT IGNORE INTO {stamp} (singleton, version, step) VALUES (1, 0, 0)");
        self.conn.query_drop(insert).await?;
        Ok(Stamp { version: 0, step: 0 })
    }

    /// `IF NOT EXISTS` would take another program's table for ours.
    async fn refuse_what_is_not_ours(&mut self) -> Result<(), Problem> {
        let database = self.options.database.clone();
        let names: Vec<String> = self.plan.names.iter().map(|name| format!("'{name}'")).collect();
        let foreign = format!("{FOREIGN} AND table_name IN ({}) LIMIT 1", names.join(", "));
        let taken: Option<String> = self.conn.query_first(foreign).await?;
        taken.map_or(Ok(()), |object| Err(Problem::Foreign { database, object }))
    }

    async fn take(&mut self, version: i64, number: usize, step: &MysqlStep) -> Result<(), Problem> {
        if let Some(name) = step.procedure {
            // Only one of the dialects can replace one.
            let dropped = self.conn.query_drop(format!("DROP PROCEDURE IF EXISTS {name}")).await;
            dropped.map_err(|error| self.failed(version, number, error))?;
        }
        let taken = self.conn.query_drop(step.sql).await;
        taken.map_err(|error| self.failed(version, number, error))
    }

    async fn note(&mut self, stamp: Stamp) -> Result<(), Problem> {
        let sql = format!("UPDATE {} SET version = ?, step = ? WHERE singleton = 1", self.plan.stamp);
        Ok(self.conn.exec_drop(sql, (stamp.version, stamp.step)).await?)
    }

    fn failed(&self, version: i64, step: usize, error: mysql_async::Error) -> Problem {
        match Problem::from(error) {
            Problem::Server { code, message } => Problem::Migration {
                database: self.options.database.clone(),
                version,
                step,
                code,
                message,
                remedy: migration_remedy(code),
            },
            problem => problem,
        }
    }
}

/// One statement of a migration, which can be done again. A later version never changes a procedure that an earlier one
/// calls: it makes one of another name, so that nodes of both work beside each other.
#[derive(Clone, Copy, Debug)]
pub struct MysqlStep {
    procedure: Option<&'static str>,
    sql: &'static str,
}

impl MysqlStep {
    /// A statement that can be done again: `CREATE TABLE IF NOT EXISTS`, `INSERT IGNORE`.
    #[must_use]
    pub const fn statement(sql: &'static str) -> Self {
        Self { procedure: None, sql }
    }

    /// The `CREATE PROCEDURE` of the one with this name, which is dropped first if it is there.
    #[must_use]
    pub const fn procedure(name: &'static str, sql: &'static str) -> Self {
        Self { procedure: Some(name), sql }
    }
}

macro_rules! statement {
    ($version:literal, $name:literal) => {
        MysqlStep::statement(include_str!(concat!("../schema/", $version, "/", $name, ".sql")))
    };
}

macro_rules! procedure {
    ($version:literal, $name:literal) => {
        MysqlStep::procedure($name, include_str!(concat!("../schema/", $version, "/", $name, ".sql")))
    };
}

/// The tables of the sessions.
pub(crate) static SESSIONS: MysqlPlan = MysqlPlan {
    stamp: "cloakroom_schema",
    create_stamp: include_str!("../schema/version.sql"),
    names: &["session", "retired", "epoch", "counter", "end_of_all", "sweeper", "stripe", "active_sessions"],
    migrations: MIGRATIONS,
};

const MIGRATIONS: &[&[MysqlStep]] = &[&[
    statement!("001", "session"),
    statement!("001", "retired"),
    statement!("001", "epoch"),
    statement!("001", "counter"),
    statement!("001", "counter_rows"),
    statement!("001", "end_of_all"),
    statement!("001", "end_of_all_row"),
    statement!("001", "sweeper"),
    statement!("001", "sweeper_row"),
    statement!("001", "stripe"),
    statement!("001", "stripe_rows"),
    statement!("001", "active_sessions"),
    procedure!("001", "epoch_bounds"),
    procedure!("001", "epoch_forget"),
    procedure!("001", "session_bury"),
    procedure!("001", "session_bury_by_epoch"),
    procedure!("001", "session_insert"),
    procedure!("001", "session_import"),
    procedure!("001", "retired_import"),
    procedure!("001", "session_rekey"),
    procedure!("001", "session_end"),
    procedure!("001", "session_end_principal"),
    procedure!("001", "session_end_all"),
    procedure!("001", "session_sweep"),
    procedure!("001", "store_ping"),
]];
/// The tables of the list of ends.
pub(crate) static REVOCATIONS: MysqlPlan = MysqlPlan {
    stamp: "revocation_schema",
    create_stamp: include_str!("../schema/revocations_001/version.sql"),
    names: &["revocation", "revocation_head", "revoked"],
    migrations: LIST_MIGRATIONS,
};

const LIST_MIGRATIONS: &[&[MysqlStep]] = &[&[
    statement!("revocations_001", "revocation"),
    statement!("revocations_001", "revocation_head"),
    statement!("revocations_001", "revocation_head_row"),
    statement!("revocations_001", "revoked"),
    procedure!("revocations_001", "revocation_add"),
    procedure!("revocations_001", "revocation_prune"),
    procedure!("revocations_001", "revocation_ping"),
]];
/// Locks have one name space for a whole server, and short names.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('cloakroom/', MD5(DATABASE())), ?)";
const FOREIGN: &str =
    "SELECT CONCAT('table ', table_name) FROM information_schema.tables WHERE table_schema = DATABASE()";
const NO_SUCH_TABLE: u16 = 1146;
/// How long to wait for another process that is migrating.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_done_again() {
        for step in MIGRATIONS.iter().chain(LIST_MIGRATIONS).copied().flatten() {
            let code: String = step.sql.lines().filter(|line| !line.starts_with("--")).collect();
            let starts = |texts: &[&str]| texts.iter().any(|text| code.starts_with(text));
            let fits = match step.procedure {
                Some(name) => starts(&[&format!("CREATE PROCEDURE {name}(")]),
                None => starts(&["CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE", "INSERT IGNORE"]),
            };
            assert!(fits, "{}", step.sql);
        }
    }

    #[test]
    fn every_procedure_that_changes_several_rows_rolls_back_what_it_cannot_finish() {
        let steps = MIGRATIONS.iter().chain(LIST_MIGRATIONS).copied().flatten();
        let begins = |step: &&MysqlStep| {
            step.sql.contains("    ROLLBACK;") && step.sql.contains("    START TRANSACTION;")
        };
        for step in steps.filter(begins) {
            assert!(
                step.sql.contains("DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;")
            );
        }
    }
}
