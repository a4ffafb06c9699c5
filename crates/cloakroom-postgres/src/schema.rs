//! The tables, and how an older schema becomes a newer one.

use std::future::Future;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::Problem;
use crate::indexes;
use crate::options::{Migrate, PostgresOptions, Settings};
use crate::patience;

/// SQL for this schema: our files and statements all say `cloakroom.`.
pub(crate) fn localized(sql: &str, schema: &str) -> String {
    sql.replace("cloakroom.", &format!("\"{schema}\"."))
}

/// Tables, and how older ones become newer ones: a file for each version, in order, which ends by writing its number into
/// the table of versions. Released files never change. An index of a table that earlier files made is asked for by `CREATE
/// INDEX CONCURRENTLY`: then it is built while the table is in use.
#[derive(Clone, Copy, Debug)]
pub struct PostgresPlan {
    /// The table that says which of the files have been applied, without its schema; the first file creates it.
    pub versions: &'static str,
    /// The files. Every `cloakroom.` in them stands for the schema.
    pub migrations: &'static [&'static str],
}

impl PostgresPlan {
    /// The version that the tables have in the end.
    fn version(&self) -> i32 {
        i32::try_from(self.migrations.len()).unwrap_or(i32::MAX)
    }

    /// The files that are not applied to tables of this version, with their numbers.
    fn from(&self, found: i32) -> impl Iterator<Item = (i32, &'static str)> {
        (1..).zip(self.migrations.iter().copied()).filter(move |(version, _)| *version > found)
    }

    /// The last version before the next file but one that has indexes to be built first.
    fn reach(&self, found: i32) -> i32 {
        let next = self.from(found).skip(1).find(|(_, migration)| indexes::has_any(migration));
        next.map_or(self.version(), |(version, _)| version - 1)
    }
}

/// Brings the tables of `plan` to its version, or says why not.
///
/// In transactions behind an advisory lock: of several nodes that start at once, one migrates and the others wait for it
/// and find it done. A failure, or a process killed on the way, leaves the schema at the version before. Indexes of tables
/// that are in use are [built ahead](indexes), without a limit of time.
pub(crate) async fn prepare(
    client: &Client,
    options: &PostgresOptions,
    plan: &PostgresPlan,
) -> Result<(), Problem> {
    let (schema, known, deadline) = (options.schema(), plan.version(), options.deadline());
    let found = within(deadline, async {
        check_server(client).await?;
        version(client, schema, plan).await
    });
    let found = found.await?;
    if found == known {
        return Ok(());
    }
    if options.migrate == Migrate::Off {
        return Err(Problem::Older { schema: schema.to_owned(), found, known });
    }
    // A pooler may give each statement another connection: a turn could be anybody's.
    let is_beside = found > 0
        && options.settings == Settings::Own
        && plan.from(found).any(|(_, migration)| indexes::has_any(migration));
    if !is_beside {
        return within(deadline + MIGRATION_PATIENCE, transaction(client, schema, plan, known)).await;
    }
    indexes::take_turn(client, schema, deadline).await?;
    loop {
        let found = within(deadline, version(client, schema, plan)).await?;
        let Some((next, migration)) = plan.from(found).next() else { return Ok(()) };
        indexes::build(client, schema, migration, next).await?;
        let until = plan.reach(found);
        within(deadline + MIGRATION_PATIENCE, transaction(client, schema, plan, until)).await?;
    }
}

/// What comes of `work`, unless it takes longer than this.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    patience::of(patience).within(work).await.ok_or(Problem::Overdue(patience))?
}

async fn check_server(client: &Client) -> Result<(), Problem> {
    let sql = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::integer,
                   current_setting('transaction_isolation')";
    let server = client.query_one(sql, &[]).await?;
    if server.get::<_, &str>(0) != "UTF8" {
        return Err(Problem::Encoding(server.get(0)));
    }
    if server.get::<_, i32>(1) < OLDEST_SERVER {
        return Err(Problem::OldServer(server.get::<_, i32>(1) / 10_000));
    }
    if server.get::<_, &str>(2) != "read committed" {
        return Err(Problem::Isolation(server.get(2)));
    }
    Ok(())
}

/// Applies the files up to `until`, all or none.
async fn transaction(client: &Client, schema: &str, plan: &PostgresPlan, until: i32) -> Result<(), Problem> {
    client.batch_execute(&begin(schema)).await.map_err(|error| failed(error, schema, until))?;
    match migrate(client, schema, plan, until).await {
        Ok(()) => client.batch_execute("COMMIT").await.map_err(|error| failed(error, schema, until)),
        Err(problem) => {
            // What ends the connection ends the transaction too.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(problem)
        }
    }
}

async fn migrate(client: &Client, schema: &str, plan: &PostgresPlan, until: i32) -> Result<(), Problem> {
    // Again: somebody else may have had the lock before.
    let found = version(client, schema, plan).await?;
    if found == 0 {
        // Where somebody created it for this role, the right to create schemas is not needed.
        let exists = client.query("SELECT FROM pg_namespace WHERE nspname = $1", &[&schema]).await?;
        if exists.is_empty() {
            let create = format!("CREATE SCHEMA \"{schema}\"");
            client.batch_execute(&create).await.map_err(|error| failed(error, schema, 1))?;
        }
    }
    for (version, migration) in plan.from(found).take_while(|(version, _)| *version <= until) {
        let migration = localized(&indexes::in_a_transaction(migration), schema);
        client.batch_execute(&migration).await.map_err(|error| failed(error, schema, version))?;
        tracing::info!(schema, table = plan.versions, version, "schema migrated");
    }
    Ok(())
}

/// The version of the tables; 0 where there are none.
async fn version(client: &Client, schema: &str, plan: &PostgresPlan) -> Result<i32, Problem> {
    let known = plan.version();
    // The catalogue itself: `to_regclass` may remember that there was none before somebody else's migration.
    let table = "SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                 WHERE nspname = $1 AND relname = $2";
    if client.query(table, &[&schema, &plan.versions]).await?.is_empty() {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(version), 0) FROM cloakroom.{}", plan.versions);
    let asked = client.query_one(&localized(&sql, schema), &[]).await;
    let found = asked.map_err(|error| unseen(error, schema, known))?.get(0);
    if found > known {
        return Err(Problem::Newer { schema: schema.to_owned(), found, known });
    }
    Ok(found)
}

/// What keeps a role from seeing the version of tables that are there.
fn unseen(error: tokio_postgres::Error, schema: &str, version: i32) -> Problem {
    match failed(error, schema, version) {
        Problem::Migration { code, message, schema, .. } if code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Problem::Forbidden { schema, message }
        }
        problem => problem,
    }
}

/// A transaction with the lock. Migrating may take longer than a request, and so may waiting for whoever migrates.
fn begin(schema: &str) -> String {
    let patience = MIGRATION_PATIENCE.as_millis();
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; \
         SET LOCAL statement_timeout = {patience}; SET LOCAL lock_timeout = {patience}; \
         SELECT pg_advisory_xact_lock(hashtextextended('cloakroom migration of {schema}', 0))"
    )
}

pub(crate) fn failed(error: tokio_postgres::Error, schema: &str, version: i32) -> Problem {
    match Problem::from(error) {
        Problem::Server { code, message, ends_connection: false } => {
            let remedy = match &code {
                code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                    "let the owner of the schema migrate it once, and grant this role the use of it"
                }
                code if *code == SqlState::DUPLICATE_TABLE => {
                    "it belongs to another program: configure another schema"
                }
                _ => "see the log of the server",
            };
            Problem::Migration { schema: schema.to_owned(), version, message, code, remedy }
        }
        problem => problem,
    }
}

/// The first one that has SQL bodies of functions.
const OLDEST_SERVER: i32 = 140_000;
/// How long one node waits for another one's migration, and a statement of one may take.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);
/// The tables of the sessions.
pub(crate) const SESSIONS: PostgresPlan = PostgresPlan {
    versions: "schema_version",
    migrations: &[
        include_str!("../schema/001_tables.sql"),
        include_str!("../schema/002_verbs.sql"),
        include_str!("../schema/003_changes.sql"),
        include_str!("../schema/004_lists.sql"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_writes_its_own_number_down() {
        for (version, migration) in (1..=SESSIONS.version()).zip(SESSIONS.migrations) {
            let last = format!("INSERT INTO cloakroom.schema_version (version) VALUES ({version});");
            assert!(migration.trim_end().ends_with(&last), "{version}");
        }
    }

    #[test]
    fn everything_in_the_files_is_in_the_schema_that_is_configured() {
        for migration in SESSIONS.migrations {
            let local = localized(&indexes::in_a_transaction(migration), "web");
            assert!(!local.contains("cloakroom."), "every name is replaced");
            for line in local.lines().filter(|line| line.starts_with("CREATE ")) {
                let bare = line.starts_with("CREATE INDEX") || line.starts_with("CREATE TRIGGER");
                assert!(bare || line.contains("\"web\"."), "{line}");
            }
        }
    }
}
