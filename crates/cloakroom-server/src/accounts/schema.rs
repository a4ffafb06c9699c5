//! The tables of `accounts.db` and how older files become current ones.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{AccountError, AccountErrorKind};

/// Makes the file ready: journal mode, durability, and every migration that it has not had yet.
///
/// Safe when several processes open one new file at the same time: each migration is decided and done in one
/// immediate transaction.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), AccountError> {
    let broken = |e| AccountError::from_sqlite(e, OP, path);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)?;
    let number =
        |pragma: &str| tx.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(broken);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(broken)?;
    if application != APPLICATION_ID && tables > 0 {
        let source = "the file is another program's database";
        return Err(AccountError::new(AccountErrorKind::Corrupt, OP, path).caused_by(source));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = MIGRATIONS.get(done..) else {
        let source = format!("the file has schema {version}; this program knows {}", MIGRATIONS.len());
        return Err(AccountError::new(AccountErrorKind::Newer, OP, path).caused_by(source));
    };
    for sql in missing {
        tx.execute_batch(sql).map_err(broken)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(broken)?;
    tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
        .map_err(broken)?;
    tx.commit().map_err(broken)?;
    // WAL: the command line reads while the server writes. FULL: a password change survives a power cut.
    let mode = "journal_mode";
    connection.pragma_update_and_check(None, mode, "WAL", |_| Ok(())).map_err(broken)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(broken)
}

/// One file per schema version, applied in order. A released one never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];
/// Marks the file as ours (`ClkA`).
const APPLICATION_ID: i64 = 0x436c_6b41;
const OP: &str = "open";
