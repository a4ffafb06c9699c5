//! The tables, views and procedures, and how an older database gets them.
//!
//! DDL commits by itself, in both dialects. So a migration is a list of steps, each of which can be done again, and a row
//! that says how many are done; `GET_LOCK` keeps other processes on the same server away meanwhile.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Row};

use crate::database::{Database, Link, Work, refused};
use crate::error::{Problem, migration_remedy};
use crate::map::Columns;
use crate::options::{Migrate, MysqlOptions};
use cloakroom_store::{StoreError, Verb};

/// Brings the database to [`VERSION`], where it is not there already.
///
/// A database that is needs no more than one look, and no right to change anything.
pub(crate) async fn bring_up_to_date(
    database: &Database,
    options: &MysqlOptions,
    patient: Opts,
) -> Result<(), StoreError> {
    let found = database.perform(Look).await?.map_or(0, |stamp| stamp.version);
    check(found, options).map_err(|problem| problem.into_error(Verb::Open, crate::error::Sent::Nothing))?;
    if found == VERSION {
        return Ok(());
    }
    migrate(options, patient)
        .await
        .map_err(|problem| problem.into_error(Verb::Open, crate::error::Sent::Writing))
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

struct Look;

impl Work for Look {
    type Answer = Option<Stamp>;
    const VERB: Verb = Verb::Open;
    const EFFECT: crate::database::Effect = crate::database::Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Option<Stamp>, Problem> {
        match link.ask(LOOK, Vec::new()).await {
            Ok(answer) => Stamp::read(answer.rows()),
            Err(Problem::Server { code: NO_SUCH_TABLE, .. }) => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

fn check(found: i64, options: &MysqlOptions) -> Result<(), Problem> {
    let database = options.database.clone();
    if found > VERSION {
        return Err(Problem::Newer { database, found, known: VERSION });
    }
    if found < VERSION && options.migrate == Migrate::Off {
        return Err(Problem::Older { database, found, known: VERSION });
    }
    Ok(())
}

async fn migrate(options: &MysqlOptions, opts: Opts) -> Result<(), Problem> {
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
    let outcome = Migration { conn: &mut conn, options }.run().await;
    let _ = tokio::time::timeout(options.deadline, conn.disconnect()).await;
    outcome
}

/// A migration while its lock is held.
struct Migration<'a> {
    conn: &'a mut Conn,
    options: &'a MysqlOptions,
}

impl Migration<'_> {
    async fn run(&mut self) -> Result<(), Problem> {
        let mut stamp = self.stamp().await?;
        check(stamp.version, self.options)?;
        for (version, steps) in (1..).zip(MIGRATIONS) {
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
        match self.conn.query::<Row, _>(LOOK).await {
            Ok(rows) => {
                if let Some(stamp) = Stamp::read(rows)? {
                    return Ok(stamp);
                }
            }
            Err(mysql_async::Error::Server(answer)) if answer.code == NO_SUCH_TABLE => {
                self.refuse_what_is_not_ours().await?;
                let created = self.conn.query_drop(include_str!("../schema/version.sql")).await;
                created.map_err(|error| self.failed(1, 0, error))?;
            }
            Err(error) => return Err(error.into()),
        }
        self.conn
            .query_drop("INSERT IGNORE INTO cloakroom_schema (singleton, version, step) VALUES (1, 0, 0)")
            .await?;
        Ok(Stamp { version: 0, step: 0 })
    }

    /// `IF NOT EXISTS` would take another program's table for ours.
    async fn refuse_what_is_not_ours(&mut self) -> Result<(), Problem> {
        let database = self.options.database.clone();
        let taken: Option<String> = self.conn.query_first(FOREIGN).await?;
        taken.map_or(Ok(()), |object| Err(Problem::Foreign { database, object }))
    }

    async fn take(&mut self, version: i64, number: usize, step: &Step) -> Result<(), Problem> {
        if let Some(name) = step.procedure {
            // Only one of the dialects can replace one.
            let dropped = self.conn.query_drop(format!("DROP PROCEDURE IF EXISTS {name}")).await;
            dropped.map_err(|error| self.failed(version, number, error))?;
        }
        let taken = self.conn.query_drop(step.sql).await;
        taken.map_err(|error| self.failed(version, number, error))
    }

    async fn note(&mut self, stamp: Stamp) -> Result<(), Problem> {
        let sql = "UPDATE cloakroom_schema SET version = ?, step = ? WHERE singleton = 1";
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
#[derive(Debug)]
struct Step {
    procedure: Option<&'static str>,
    sql: &'static str,
}

macro_rules! statement {
    ($version:literal, $name:literal) => {
        Step { procedure: None, sql: include_str!(concat!("../schema/", $version, "/", $name, ".sql")) }
    };
}

macro_rules! procedure {
    ($version:literal, $name:literal) => {
        Step { procedure: Some($name), ..statement!($version, $name) }
    };
}

/// The steps to each version of the schema, in order; released ones never change.
const MIGRATIONS: [&[Step]; 1] = [&[
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
/// The version this code reads and writes: the number of migrations.
const VERSION: i64 = 1;

const LOOK: &str = "SELECT version, step FROM cloakroom_schema WHERE singleton = 1";
/// Locks have one name space for a whole server, and short names.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('cloakroom/', MD5(DATABASE())), ?)";
const FOREIGN: &str = "SELECT CONCAT('table ', table_name) FROM information_schema.tables
    WHERE table_schema = DATABASE()
        AND table_name IN ('session', 'retired', 'epoch', 'counter', 'end_of_all', 'sweeper', 'stripe',
            'active_sessions')
    LIMIT 1";
const NO_SUCH_TABLE: u16 = 1146;
/// How long to wait for another process that is migrating.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_number_of_migrations() {
        assert_eq!(i64::try_from(MIGRATIONS.len()), Ok(VERSION));
    }

    #[test]
    fn every_step_can_be_done_again() {
        for step in MIGRATIONS.into_iter().flatten() {
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
        for step in MIGRATIONS.into_iter().flatten().filter(|step| step.sql.contains("    ROLLBACK;")) {
            assert!(
                step.sql.contains("DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;")
            );
        }
    }
}
