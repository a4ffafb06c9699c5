//! The tables, and how an older schema becomes a newer one.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::Problem;
use crate::options::{Migrate, PostgresOptions};

/// SQL for this schema: our files and statements all say `cloakroom.`.
pub(crate) fn localized(sql: &str, schema: &str) -> String {
    sql.replace("cloakroom.", &format!("\"{schema}\"."))
}

/// Brings the schema to [`VERSION`], or says why not.
///
/// One transaction, behind an advisory lock: of several nodes that start at once, one migrates and the others wait for it
/// and find it done. A failure, or a process killed on the way, leaves the schema as it was.
pub(crate) async fn prepare(client: &Client, options: &PostgresOptions) -> Result<(), Problem> {
    let schema = options.schema();
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
    let found = version(client, schema).await?;
    if found == VERSION {
        return Ok(());
    }
    if found < VERSION && options.migrate == Migrate::Off {
        return Err(Problem::Older { schema: schema.to_owned(), found, known: VERSION });
    }
    client.batch_execute(&begin(schema)).await.map_err(|error| failed(error, schema, VERSION))?;
    match migrate(client, schema).await {
        Ok(()) => client.batch_execute("COMMIT").await.map_err(|error| failed(error, schema, VERSION)),
        Err(problem) => {
            // What ends the connection ends the transaction too.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(problem)
        }
    }
}

async fn migrate(client: &Client, schema: &str) -> Result<(), Problem> {
    // Again: somebody else may have had the lock before.
    let found = version(client, schema).await?;
    if found > VERSION {
        return Err(Problem::Newer { schema: schema.to_owned(), found, known: VERSION });
    }
    if found == VERSION {
        return Ok(());
    }
    if found == 0 {
        // Where somebody created it for this role, the right to create schemas is not needed.
        let exists = client.query("SELECT FROM pg_namespace WHERE nspname = $1", &[&schema]).await?;
        if exists.is_empty() {
            let create = format!("CREATE SCHEMA \"{schema}\"");
            client.batch_execute(&create).await.map_err(|error| failed(error, schema, 1))?;
        }
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            let migration = localized(migration, schema);
            client.batch_execute(&migration).await.map_err(|error| failed(error, schema, version))?;
            tracing::info!(schema, version, "schema migrated");
        }
    }
    Ok(())
}

/// The version of the schema; 0 where there is none.
async fn version(client: &Client, schema: &str) -> Result<i32, Problem> {
    // The catalogue itself: `to_regclass` may remember that there was none before somebody else's migration.
    let table = "SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                 WHERE nspname = $1 AND relname = 'schema_version'";
    if client.query(table, &[&schema]).await?.is_empty() {
        return Ok(0);
    }
    let sql = localized("SELECT coalesce(max(version), 0) FROM cloakroom.schema_version", schema);
    let found = client.query_one(&sql, &[]).await.map_err(|error| failed(error, schema, VERSION))?.get(0);
    if found > VERSION {
        return Err(Problem::Newer { schema: schema.to_owned(), found, known: VERSION });
    }
    Ok(found)
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

fn failed(error: tokio_postgres::Error, schema: &str, version: i32) -> Problem {
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
pub(crate) const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);
/// One file for each version of the schema, in order; released ones never change.
const MIGRATIONS: [&str; 4] = [
    include_str!("../schema/001_tables.sql"),
    include_str!("../schema/002_verbs.sql"),
    include_str!("../schema/003_changes.sql"),
    include_str!("../schema/004_lists.sql"),
];
/// The version this code reads and writes: the number of migrations.
const VERSION: i32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_number_of_migrations_and_each_writes_its_own_down() {
        assert_eq!(i32::try_from(MIGRATIONS.len()), Ok(VERSION));
        for (version, migration) in (1..).zip(MIGRATIONS) {
            let last = format!("INSERT INTO cloakroom.schema_version (version) VALUES ({version});");
            assert!(migration.trim_end().ends_with(&last), "{version}");
        }
    }

    #[test]
    fn everything_in_the_files_is_in_the_schema_that_is_configured() {
        for migration in MIGRATIONS {
            let local = localized(migration, "web");
            assert!(!local.contains("cloakroom."), "every name is replaced");
            for line in local.lines().filter(|line| line.starts_with("CREATE ")) {
                let bare = line.starts_with("CREATE INDEX") || line.starts_with("CREATE TRIGGER");
                assert!(bare || line.contains("\"web\"."), "{line}");
            }
        }
    }
}
