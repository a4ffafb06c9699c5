//! Reading what has changed, by whichever process.

use cloakroom_core::TokenDigest;
use rusqlite::{Connection, params};

use crate::database::Database;
use crate::error::Problem;
use crate::transaction::{Purpose, Transaction};

/// Reads the table of changes from where it stopped the last time.
///
/// It has missed nothing if the row it read last is still there and still the same: rows take numbers in the order of
/// commits, and each takes the place of the oldest. Where that row is gone, or is another one (overwritten, another
/// history of the file, the table emptied by hand), nobody knows what was missed. The same where the connection is a new
/// one, for the file may be another; and where the schema's own counter moved, which a backup that is restored raises
/// even if the row is in it.
#[derive(Debug)]
pub(crate) struct Follower {
    database: Database,
    place: Place,
    is_closed: bool,
}

/// Where the last reading stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Nobody has been told anything, or need be told what comes before the next reading.
    Nowhere,
    /// Somebody was told what came before; what came since is not known.
    Lost,
    /// Everything was told up to here.
    At(Mark),
}

/// A state of the file, as one connection sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    /// Which connection it was.
    opening: u64,
    /// Changes with every commit of another connection.
    data_version: i64,
    schema_version: i64,
    last: Option<Change>,
}

/// A row of the table, but for what it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Change {
    number: i64,
    mark: i64,
}

/// Whether somebody wrote to the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum File {
    AsItWas,
    Moved,
}

/// What a reading found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// These changed, in this order; perhaps none did.
    Changed(Vec<TokenDigest>),
    /// Anything may have changed.
    Anything,
}

impl Found {
    const NOTHING: Self = Self::Changed(Vec::new());
}

impl Follower {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, place: Place::Nowhere, is_closed: false }
    }

    /// Reads what has changed since the last time and has `tell` tell it. Whatever was committed before this is called is
    /// in it. Says whether anything at all has happened to the file.
    ///
    /// A failure loses nothing: the next reading begins where the last one that succeeded stopped, or knows that it
    /// cannot.
    pub(crate) fn advance(&mut self, tell: impl FnOnce(Found)) -> Result<File, Problem> {
        let read = self.read();
        let (found, mark) = read.inspect_err(|problem| {
            if problem.spoils_connection() {
                self.database.give_up();
            }
        })?;
        if found != Found::NOTHING {
            // In case that telling does not return.
            self.place = Place::Lost;
            tell(found);
        }
        let before = std::mem::replace(&mut self.place, Place::At(mark));
        Ok(if before == Place::At(mark) { File::AsItWas } else { File::Moved })
    }

    /// Forgets its place, for nobody watches any more, and closes its connection.
    pub(crate) fn rest(&mut self) {
        self.database.give_up();
        self.place = Place::Nowhere;
    }

    /// The same for good.
    pub(crate) fn close(&mut self) {
        self.rest();
        self.is_closed = true;
    }

    fn read(&mut self) -> Result<(Found, Mark), Problem> {
        if self.is_closed {
            return Err(Problem::Closed);
        }
        self.database.connection()?;
        let opening = self.database.openings();
        let connection = self.database.connection()?;
        if let Place::At(mark) = self.place
            && mark.opening == opening
            && mark.data_version == pragma(connection, "PRAGMA data_version")?
        {
            return Ok((Found::NOTHING, mark));
        }
        // From here on everything is of one instant, be it a later one.
        let snapshot = Transaction::begin(connection, Purpose::Read)?;
        let data_version = pragma(connection, "PRAGMA data_version")?;
        let schema_version = pragma(connection, "PRAGMA schema_version")?;
        let mark = |last| Mark { opening, data_version, schema_version, last };
        if let Place::At(before) = self.place
            && (before.opening, before.schema_version) == (opening, schema_version)
            && let Some((found, last)) = since(&snapshot, before.last)?
        {
            return Ok((found, mark(Some(last))));
        }
        check_triggers(&snapshot)?;
        let found = if self.place == Place::Nowhere { Found::NOTHING } else { Found::Anything };
        Ok((found, mark(newest(&snapshot)?)))
    }
}

/// What changed after the row `last`, and the newest row; `None` where that row is not there any more.
fn since(snapshot: &Transaction<'_>, last: Option<Change>) -> Result<Option<(Found, Change)>, Problem> {
    let Some(last) = last else { return Ok(None) };
    let newest: i64 =
        snapshot.statement("SELECT last_change FROM housekeeping")?.query_row([], |row| row.get(0))?;
    if !(last.number..last.number.saturating_add(SLOTS)).contains(&newest)
        || row(snapshot, last.number)?.map(|(change, _)| change) != Some(last)
    {
        return Ok(None);
    }
    let (mut digests, mut reached) = (Vec::new(), last);
    for number in last.number + 1..=newest {
        let Some((change, digest)) = row(snapshot, number)? else { return Ok(None) };
        reached = change;
        digests.push(digest);
    }
    let digests: Option<Vec<TokenDigest>> = digests.into_iter().collect();
    Ok(Some((digests.map_or(Found::Anything, Found::Changed), reached)))
}

/// The newest row.
fn newest(snapshot: &Transaction<'_>) -> Result<Option<Change>, Problem> {
    let number =
        snapshot.statement("SELECT last_change FROM housekeeping")?.query_row([], |row| row.get(0))?;
    Ok(row(snapshot, number)?.map(|(change, _)| change))
}

/// The row with this number, if it is there, and which digest changed; `None` where any may have.
fn row(snapshot: &Transaction<'_>, number: i64) -> Result<Option<(Change, Option<TokenDigest>)>, Problem> {
    let mut statement =
        snapshot.statement("SELECT mark, digest FROM change WHERE slot = ?1 AND number = ?2")?;
    let mut rows = statement.query(params![number % SLOTS, number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let digest = row.get_ref(1)?.as_blob().ok().filter(|bytes| bytes.iter().any(|byte| *byte != 0));
    Ok(Some((Change { number, mark: row.get(0)? }, digest.and_then(TokenDigest::from_bytes))))
}

/// Fails where somebody has dropped what writes changes down.
fn check_triggers(snapshot: &Transaction<'_>) -> Result<(), Problem> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'changed_*'";
    let found: i64 = snapshot.statement(sql)?.query_row([], |row| row.get(0))?;
    if found == TRIGGERS { Ok(()) } else { Err(Problem::NoTriggers) }
}

fn pragma(connection: &Connection, sql: &str) -> Result<i64, Problem> {
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// How many triggers of the schema write changes down.
const TRIGGERS: i64 = 6;
/// Rows of the table, which is a ring.
const SLOTS: i64 = 4_096;
