//! The tables, and how an older file gets them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Problem;

/// Whether a file without tables may be given some.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fresh {
    Allowed,
    Refused,
}

/// Brings the file to [`VERSION`].
///
/// One transaction: another process sees the schema before or after it, and one that knows only the former notices at
/// its next transaction ([`check`]).
pub(crate) fn apply(connection: &Connection, path: &Path, fresh: Fresh) -> Result<(), Problem> {
    if Stamp::read(connection)? == Stamp::OURS {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let stamp = Stamp::read(&transaction)?;
    if stamp.application != APPLICATION {
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if stamp != Stamp::NONE || tables != 0 {
            return Err(Problem::Foreign(path.to_owned()));
        }
        if fresh == Fresh::Refused {
            return Err(Problem::Emptied(path.to_owned()));
        }
    }
    if stamp.version > VERSION {
        return Err(Problem::Schema { found: stamp.version, known: VERSION });
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > stamp.version {
            transaction.execute_batch(migration)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Fails where a newer version of Cloakroom has changed the schema meanwhile.
pub(crate) fn check(connection: &Connection) -> Result<(), Problem> {
    let found = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if found == VERSION { Ok(()) } else { Err(Problem::Schema { found, known: VERSION }) }
}

/// Whose file it is, and of which version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    application: i64,
    version: i64,
}

impl Stamp {
    const NONE: Self = Self { application: 0, version: 0 };
    const OURS: Self = Self { application: APPLICATION, version: VERSION };

    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        Ok(Self { application: pragma("application_id")?, version: pragma("user_version")? })
    }
}

/// One file for each version of the schema, in order; released ones never change.
const MIGRATIONS: [&str; 5] = [
    include_str!("../schema/001_sessions.sql"),
    include_str!("../schema/002_end_of_all.sql"),
    include_str!("../schema/003_changes.sql"),
    include_str!("../schema/004_lists.sql"),
    include_str!("../schema/005_revocations.sql"),
];
/// The version this code reads and writes: the number of migrations.
const VERSION: i64 = 5;
/// `clkr`: what `file(1)` and this code know the file by.
const APPLICATION: i64 = 0x636C_6B72;

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(directory.path().join("x.db")).unwrap();
        (directory, connection)
    }

    fn applied(connection: &Connection, fresh: Fresh) -> Result<(), Problem> {
        apply(connection, Path::new("x.db"), fresh)
    }

    #[test]
    fn the_version_is_the_number_of_migrations() {
        assert_eq!(i64::try_from(MIGRATIONS.len()), Ok(VERSION));
    }

    #[test]
    fn an_empty_file_gets_the_schema_and_a_second_time_changes_nothing() {
        let (_directory, connection) = file();
        applied(&connection, Fresh::Allowed).unwrap();
        applied(&connection, Fresh::Refused).unwrap();
        check(&connection).unwrap();
    }

    #[test]
    fn an_empty_file_in_the_place_of_one_that_was_open_is_refused() {
        let (_directory, connection) = file();
        assert!(matches!(applied(&connection, Fresh::Refused), Err(Problem::Emptied(_))));
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_by_both_numbers() {
        let (_directory, connection) = file();
        applied(&connection, Fresh::Allowed).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        for result in [applied(&connection, Fresh::Allowed), check(&connection)] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains("schema 6") && message.contains("schema 5"), "{message}");
        }
    }

    #[test]
    fn a_file_of_another_program_is_refused_and_left_alone() {
        let (_directory, connection) = file();
        connection.execute_batch("CREATE TABLE invoice (number INTEGER)").unwrap();
        assert!(matches!(applied(&connection, Fresh::Allowed), Err(Problem::Foreign(_))));
        assert!(connection.is_autocommit());
        assert_eq!(Stamp::read(&connection).unwrap(), Stamp::NONE);
    }
}
