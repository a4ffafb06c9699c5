//! The tables of the log, in a file that belongs to the accounts: `user_version` is theirs, `audit_meta` ours.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::broken;
use crate::AuditError;

/// Makes the tables, or makes older ones current. Safe when several processes do so at once.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), AuditError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken(OP))?;
    transaction.execute_batch(META).map_err(broken(OP))?;
    let version = version(&transaction).map_err(broken(OP))?.unwrap_or(0);
    let Some(missing) = MIGRATIONS.get(version..) else { return Err(newer(version)) };
    for sql in missing {
        transaction.execute_batch(sql).map_err(broken(OP))?;
    }
    let now = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction
        .execute("INSERT OR REPLACE INTO audit_meta (id, version) VALUES (1, ?1)", [now])
        .map_err(broken(OP))?;
    transaction.commit().map_err(broken(OP))
}

/// Whether there are tables of a version that this program knows.
pub(super) fn is_there(connection: &Connection) -> Result<bool, AuditError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'audit_meta'";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(broken(OP))?;
    if tables == 0 {
        return Ok(false);
    }
    match version(connection).map_err(broken(OP))? {
        Some(version) if version > MIGRATIONS.len() => Err(newer(version)),
        Some(version) => Ok(version > 0),
        None => Ok(false),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let version: Option<i64> = connection
        .query_row("SELECT version FROM audit_meta WHERE id = 1", [], |row| row.get(0))
        .optional()?;
    Ok(version.map(|version| usize::try_from(version).unwrap_or(usize::MAX)))
}

fn newer(version: usize) -> AuditError {
    let known = MIGRATIONS.len();
    AuditError::new(OP, format!("the log has schema {version}; this program knows {known}"))
}

const META: &str = "CREATE TABLE IF NOT EXISTS audit_meta (
    id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL) STRICT";
/// One file per schema version, applied in order. A released one never changes.
const MIGRATIONS: &[&str] = &[include_str!("1.sql")];
const OP: &str = "open";
