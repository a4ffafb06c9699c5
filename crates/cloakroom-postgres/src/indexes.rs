//! Indexes of tables that are in use: built beside the work, which goes on meanwhile, however long it takes.
//!
//! A file of a [plan](crate::PostgresPlan) says `CREATE INDEX CONCURRENTLY` at the beginning of a line. In tables that are
//! made in the same transaction it is an index like any other; where the tables were there before, it is built ahead of the
//! transaction. What is left of a build that was broken off is removed and begun anew.

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::Problem;
use crate::schema::{failed, localized, within};

/// An index that a file asks for.
struct Index<'a> {
    name: &'a str,
    statement: &'a str,
}

/// Whether a file asks for any.
pub(crate) fn has_any(migration: &str) -> bool {
    of(migration).next().is_some()
}

/// The same file for a transaction, in which nothing can be built beside anything: by then it is there.
pub(crate) fn in_a_transaction(migration: &str) -> String {
    migration.replace(BESIDE, "CREATE INDEX IF NOT EXISTS ")
}

/// Builds what the file of `version` asks for and is not there yet. Writers go on meanwhile.
pub(crate) async fn build(
    client: &Client,
    schema: &str,
    migration: &str,
    version: i32,
) -> Result<(), Problem> {
    let problem = |error| failed(error, schema, version);
    for Index { name, statement } in of(migration) {
        let found = client.query_opt(STATE, &[&schema, &name]).await?.map(|row| row.get::<_, bool>(0));
        if found == Some(true) {
            continue;
        }
        tracing::info!(schema, index = name, "building an index beside the work; this may take minutes");
        client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await.map_err(problem)?;
        if found == Some(false) {
            let remove = format!("DROP INDEX CONCURRENTLY \"{schema}\".{name}");
            client.batch_execute(&remove).await.map_err(problem)?;
        }
        client.batch_execute(&localized(statement, schema)).await.map_err(problem)?;
        client.batch_execute("RESET statement_timeout; RESET lock_timeout").await.map_err(problem)?;
        tracing::info!(schema, index = name, "the index is built");
    }
    Ok(())
}

/// Waits until no other node builds. The turn is that of the connection, and ends with it.
///
/// Asked again and again instead of waited for: a statement that waits has a snapshot, and a build waits for every snapshot
/// that is older than its index, so that the two would wait for each other.
pub(crate) async fn take_turn(client: &Client, schema: &str, deadline: Duration) -> Result<(), Problem> {
    let sql = format!("SELECT pg_try_advisory_lock(hashtextextended('cloakroom indexes of {schema}', 0))");
    let mut told = false;
    while !within(deadline, async { Ok(client.query_one(&sql, &[]).await?) }).await?.get::<_, bool>(0) {
        if !told {
            tracing::info!(schema, "another node builds an index: waiting until it is there");
            told = true;
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
    Ok(())
}

fn of(migration: &str) -> impl Iterator<Item = Index<'_>> {
    migration.match_indices(BESIDE).filter_map(|(start, _)| {
        let (statement, _) = migration.get(start..)?.split_once(';')?;
        let name = statement.strip_prefix(BESIDE)?.split_whitespace().next()?;
        Some(Index { name, statement })
    })
}

const BESIDE: &str = "CREATE INDEX CONCURRENTLY ";
/// Whether an index is complete; no row where there is none.
const STATE: &str = "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relname = $2";
/// How soon a node that waits sees that an index is there.
const ASKED_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_the_indexes_that_are_built_beside_the_work() {
        let file = "-- Why.\nCREATE INDEX CONCURRENTLY one ON cloakroom.t (a)\n    WHERE b;\nCREATE INDEX two ON cloakroom.t (b);\n";
        let found: Vec<_> = of(file).map(|index| (index.name, index.statement)).collect();
        assert_eq!(found, [("one", "CREATE INDEX CONCURRENTLY one ON cloakroom.t (a)\n    WHERE b")]);
        assert!(has_any(file) && !has_any("CREATE INDEX two ON cloakroom.t (b);"));
        assert!(in_a_transaction(file).contains("\nCREATE INDEX IF NOT EXISTS one ON cloakroom.t (a)\n"));
    }
}
