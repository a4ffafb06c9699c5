//! One connection to the file: opened, given up when it went bad, opened again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, DEFAULT_NAME, ErrorCode, OpenFlags};

use crate::error::Problem;
use crate::options::SqliteOptions;
use crate::schema::{self, Fresh};

/// A thread's way to the file.
#[derive(Debug)]
pub(crate) struct Database {
    options: Arc<SqliteOptions>,
    access: Access,
    open: Option<Connection>,
    wal_pages: Arc<AtomicUsize>,
    openings: u64,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Write,
    Read,
}

impl Database {
    /// A way to the file that is opened at first use.
    pub(crate) fn new(options: Arc<SqliteOptions>, access: Access) -> Self {
        Self { options, access, open: None, wal_pages: Arc::default(), openings: 0 }
    }

    /// Opens the file, which is created and given its schema where it does not exist.
    pub(crate) fn create(options: Arc<SqliteOptions>) -> Result<Self, Problem> {
        create_file(options.path())?;
        let mut database = Self::new(options, Access::Write);
        database.open = Some(database.connect(Fresh::Allowed)?);
        Ok(database)
    }

    /// The connection, opened again where it was given up, or where the file is another than it was.
    pub(crate) fn connection(&mut self) -> Result<&Connection, Problem> {
        if self.open.as_ref().is_some_and(has_moved) {
            self.give_up();
        }
        if self.open.is_none() {
            // Never created here: an empty file in place of a lost one would sign everybody out.
            self.open = Some(self.connect(Fresh::Refused)?);
            self.openings += 1;
        }
        self.open.as_ref().ok_or(Problem::Closed)
    }

    /// Closes the connection. The next use opens another.
    pub(crate) fn give_up(&mut self) {
        self.open = None;
        self.wal_pages.store(0, Ordering::Relaxed);
    }

    /// How often [`connection`](Self::connection) had to open the file.
    pub(crate) fn openings(&self) -> u64 {
        self.openings
    }

    /// Pages in the write-ahead log as of the last commit here.
    pub(crate) fn wal_pages(&self) -> usize {
        self.wal_pages.load(Ordering::Relaxed)
    }

    fn connect(&self, fresh: Fresh) -> Result<Connection, Problem> {
        let path = self.options.path();
        // Without SQLITE_OPEN_URI a path is a path, whatever its characters.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = match Connection::open_with_flags(path, flags) {
            Err(_) if fresh == Fresh::Refused && is_absent(path) => {
                return Err(Problem::NoFile(path.to_owned()));
            }
            opened => opened?,
        };
        connection.busy_timeout(self.options.busy_timeout())?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let cache_bytes = match self.access {
            Access::Write => self.options.writer_cache_bytes(),
            Access::Read => self.options.reader_cache_bytes(),
        };
        connection.pragma_update(
            None,
            "cache_size",
            -i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX),
        )?;
        connection.execute_batch(EVERY_CONNECTION)?;
        match self.access {
            Access::Read => connection.pragma_update(None, "query_only", true)?,
            Access::Write => {
                use_wal(&connection, path)?;
                schema::apply(&connection, path, fresh)?;
                let pages = Arc::clone(&self.wal_pages);
                // Takes the place of SQLite's own checkpoints, which would delay the answer to the commit they follow.
                connection.wal_hook(Some(move |_: &mut Wal, count| {
                    pages.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
                    Ok(())
                }))?;
            }
        }
        Ok(connection)
    }
}

/// Makes the file where there is none, for its owner alone whatever the umask; its log files take over its mode.
///
/// The file is never opened here when it exists: closing it again would drop the locks that this process has on it.
fn create_file(path: &Path) -> Result<(), Problem> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(Problem::NoDirectory(directory.to_owned()));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNER_ONLY);
    let failed = |source| Problem::Create { path: path.to_owned(), source };
    match options.open(path) {
        // The name of the file has to survive a power cut as well as what is in it.
        Ok(file) => file.sync_all().and_then(|()| sync_directory(directory)).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file that exists on a file system that is read-only: let SQLite see what can be done.
        Err(_) if path.exists() => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Switches the file to its write-ahead log, where it has none yet.
///
/// SQLite has whoever switches wait for nobody: of several that find a new file at once, all but one may be refused. Each
/// of those waits, with SQLite's own patience, until it could write, and looks again: another may have done it.
fn use_wal(connection: &Connection, path: &Path) -> Result<(), Problem> {
    let mut mode: String = connection.pragma_query_value(None, JOURNAL_MODE, |row| row.get(0))?;
    for attempt in 1.. {
        if mode == "wal" {
            return Ok(());
        }
        match connection.pragma_update_and_check(None, JOURNAL_MODE, "wal", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Problem::NoLog { path: path.to_owned(), mode }),
            Err(error) if attempt < SWITCHES && is_busy(&error) => {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            Err(error) => return Err(error.into()),
        }
        mode = connection.pragma_query_value(None, JOURNAL_MODE, |row| row.get(0))?;
    }
    Err(Problem::NoLog { path: path.to_owned(), mode })
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn is_absent(path: &Path) -> bool {
    path.try_exists().is_ok_and(|exists| !exists)
}

/// Whether the path leads to another file by now, or to none: what is written here would be lost.
#[cfg(unix)]
fn has_moved(connection: &Connection) -> bool {
    let mut moved = 0;
    let asked = connection.file_control(DEFAULT_NAME, rusqlite::FileControl::HasMoved(&mut moved));
    asked.is_err() || moved != 0
}

#[cfg(not(unix))]
fn has_moved(_: &Connection) -> bool {
    false
}

/// - `synchronous`: a commit returns when its log is on the disk; what was acknowledged survives a power cut. macOS needs
///   `fullfsync` for that.
/// - `temp_store`: what a savepoint keeps aside stays out of temporary files.
/// - `mmap_size`: off, because an error of the disk, or a file cut short, would be a signal that ends the process.
/// - `journal_size_limit`: gives the disk back after a burst.
const EVERY_CONNECTION: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA foreign_keys = OFF;
    PRAGMA trusted_schema = OFF;
";
const JOURNAL_MODE: &str = "journal_mode";
/// How often the switch to the log is tried. Whoever is refused had somebody beside it who was about to do it.
const SWITCHES: usize = 64;
/// More than there are statements in this crate, variants of lists included.
const STATEMENTS: usize = 128;
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;
