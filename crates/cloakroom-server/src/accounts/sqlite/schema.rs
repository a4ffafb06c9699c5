//! The tables of `accounts.db` and how older files become current ones.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::accounts::error::{AccountError, AccountErrorKind, Place};

/// Makes the file ready: journal mode, durability, and every migration that it has not had yet.
///
/// Safe when several processes open one new file at the same time: each migration is decided and done in one
/// immediate transaction. Another program's file is left as it was.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), AccountError> {
    let broken = |e| AccountError::from_sqlite(e, OP, path);
    // One view of the file: between two, another process could have made it ours.
    let view = connection.transaction().map_err(broken)?;
    found_version(&view, path)?;
    drop(view);
    // WAL: the command line reads while the server writes. FULL: a password change survives a power cut.
    use_log(connection).map_err(broken)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(broken)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)?;
    let version = found_version(&tx, path)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = MIGRATIONS.get(done..) else {
        let source = format!("the file has schema {version}; this program knows {}", MIGRATIONS.len());
        return Err(
            AccountError::new(AccountErrorKind::Newer, OP, &Place::File(path.to_owned())).caused_by(source)
        );
    };
    for sql in missing {
        tx.execute_batch(sql).map_err(broken)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(broken)?;
    let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    tx.pragma_update(None, "user_version", version).map_err(broken)?;
    tx.commit().map_err(broken)
}

/// How many migrations the file has had; fails where it is another program's.
fn found_version(connection: &Connection, path: &Path) -> Result<i64, AccountError> {
    let broken = |e| AccountError::from_sqlite(e, OP, path);
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(broken);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(broken)?;
    if application != APPLICATION_ID && tables > 0 {
        let source = "the file is another program's database";
        return Err(
            AccountError::new(AccountErrorKind::Corrupt, OP, &Place::File(path.to_owned())).caused_by(source)
        );
    }
    Ok(version)
}

/// Switches the file to its write-ahead log, where it has none yet.
///
/// SQLite has whoever switches wait for nobody: of several that find a new file at once, all but one may be refused. Each
/// of those waits, with SQLite's own patience, until it could write, and looks again: another may have done it.
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 1..SWITCHES {
        let mode: String = connection.pragma_query_value(None, JOURNAL_MODE, |row| row.get(0))?;
        if mode == "wal" {
            return Ok(());
        }
        match connection.pragma_update_and_check(None, JOURNAL_MODE, "WAL", |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            switched => return switched,
        }
    }
    connection.pragma_update_and_check(None, JOURNAL_MODE, "WAL", |_| Ok(()))
}

/// One file per schema version, applied in order. A released one never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];
/// Marks the file as ours (`ClkA`).
const APPLICATION_ID: i64 = 0x436c_6b41;
const OP: &str = "open";
const JOURNAL_MODE: &str = "journal_mode";
/// How often the switch to the log is tried. Whoever is refused had somebody beside it who was about to do it.
const SWITCHES: usize = 64;
