//! What runs, as it is written down: one file for each server.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use cloakroom_servers::Sighting;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{kind::Kind, signal};
use crate::error::{Doing as _, Error};

/// What a keeper has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) url: String,
    pub(crate) keeper: Process,
    pub(crate) servers: Vec<Process>,
    /// Where they keep their data: removed when they end.
    #[serde(default)]
    directories: Vec<PathBuf>,
}

/// A process, and when it started: by its id alone another could be taken for it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started: u64,
}

impl Process {
    fn runs(self) -> bool {
        Sighting { pid: self.pid, started: self.started }.still_runs()
    }

    fn signal(self, which: Signal) {
        if self.runs() {
            signal(self.pid, which);
        }
    }
}

impl From<Sighting> for Process {
    fn from(sighting: Sighting) -> Self {
        Self { pid: sighting.pid, started: sighting.started }
    }
}

impl Record {
    pub(crate) fn new(
        url: String,
        keeper: Sighting,
        servers: &[Sighting],
        directories: Vec<PathBuf>,
    ) -> Self {
        let servers = servers.iter().copied().map(Process::from).collect();
        Self { url, keeper: keeper.into(), servers, directories }
    }

    /// `None` if nothing is written down of `name`.
    pub(crate) fn read(directory: &Path, name: Kind) -> Result<Option<Self>, Error> {
        let path = path(directory, name);
        let reading = || format!("reading {}", path.display());
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).doing(reading).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(reading),
        }
    }

    /// Writes it so that nobody reads half of it.
    pub(crate) fn write(&self, directory: &Path, name: Kind) -> Result<(), Error> {
        let path = path(directory, name);
        let writing = || format!("writing {}", path.display());
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self).doing(writing)?).doing(writing)?;
        fs::rename(new, &path).doing(writing)
    }

    pub(crate) fn remove(directory: &Path, name: Kind) -> Result<(), Error> {
        let path = path(directory, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether any of its processes is left.
    pub(crate) fn runs(&self) -> bool {
        self.keeper.runs() || self.servers.iter().any(|server| server.runs())
    }

    /// A directory of its servers that is still there. It goes a moment after them.
    pub(crate) fn leftover(&self) -> Option<&Path> {
        self.directories.iter().find(|directory| directory.exists()).map(PathBuf::as_path)
    }

    pub(crate) fn signal_keeper(&self, signal: Signal) {
        self.keeper.signal(signal);
    }

    pub(crate) fn kill_all(&self) {
        self.servers.iter().chain([&self.keeper]).for_each(|process| process.signal(Signal::KILL));
    }
}

/// What of a server runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Running(Record),
    /// So many of its processes have ended without being asked to.
    Harmed(Record, usize),
}

impl State {
    pub(crate) fn of(record: Option<Record>) -> Self {
        let Some(record) = record.filter(Record::runs) else { return Self::Absent };
        match record.servers.iter().chain([&record.keeper]).filter(|process| !process.runs()).count() {
            0 => Self::Running(record),
            lost => Self::Harmed(record, lost),
        }
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Absent => None,
            Self::Running(record) | Self::Harmed(record, _) => Some(record),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("stopped"),
            Self::Running(_) => f.write_str("running"),
            Self::Harmed(_, lost) => write!(f, "{lost} lost"),
        }
    }
}

/// Makes the directories in which servers are kept.
pub(crate) fn prepare(directory: &Path) -> Result<(), Error> {
    let data = data(directory);
    fs::create_dir_all(&data).doing(|| format!("making {}", data.display()))
}

/// Where servers make their own directories.
pub(crate) fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// Locks the file by which the keeper of `name` is known to be the only one, for as long as the answer is held.
pub(crate) fn lock(directory: &Path, name: Kind) -> Result<File, Error> {
    let path = lock_path(directory, name);
    loop {
        let lock = File::create(&path).doing(|| format!("opening {}", path.display()))?;
        lock.try_lock().doing(|| format!("keeping {name}, which another process may do already"))?;
        // What was removed between the two is no lock to anybody else.
        let ours = lock.metadata().doing(|| format!("looking at {}", path.display()))?;
        if fs::metadata(&path).is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
            return Ok(lock);
        }
    }
}

/// Removes the lock and the log of a keeper that is gone; those of one that is not, stay.
pub(crate) fn clear(directory: &Path, name: Kind) -> Result<(), Error> {
    let path = lock_path(directory, name);
    let removing = || format!("removing what a keeper of {name} left");
    let held = match File::open(&path) {
        Ok(lock) if lock.try_lock().is_ok() => Some(lock),
        // Somebody keeps it, or begins to.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).doing(removing),
    };
    for left in [log(directory, name), path] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).doing(removing),
            _ => {}
        }
    }
    drop(held);
    Ok(())
}

/// A new, empty log for the keeper of `name`.
pub(crate) fn open_log(directory: &Path, name: Kind) -> Result<File, Error> {
    let path = log(directory, name);
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .doing(|| format!("opening {}", path.display()))
}

/// What the keeper of `name` said last.
pub(crate) fn last_words(directory: &Path, name: Kind) -> String {
    let text = fs::read_to_string(log(directory, name)).unwrap_or_default();
    text.trim_start_matches("error: ").trim_end().to_owned()
}

fn log(directory: &Path, name: Kind) -> PathBuf {
    directory.join(format!("{name}.log"))
}

fn lock_path(directory: &Path, name: Kind) -> PathBuf {
    directory.join(format!("{name}.lock"))
}

fn path(directory: &Path, name: Kind) -> PathBuf {
    directory.join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Sighting {
        Sighting::of(std::process::id()).unwrap()
    }

    /// Somebody who had our id before us.
    fn stranger() -> Sighting {
        Sighting { started: ourselves().started - 1, ..ourselves() }
    }

    #[test]
    fn what_is_written_down_is_read_again_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::new("redis://127.0.0.1:1".to_owned(), ourselves(), &[stranger()], Vec::new());
        assert_eq!(Record::read(directory.path(), Kind::Redis).unwrap(), None);
        record.write(directory.path(), Kind::Redis).unwrap();
        assert_eq!(Record::read(directory.path(), Kind::Redis).unwrap(), Some(record));
        assert_eq!(Record::read(directory.path(), Kind::Postgres).unwrap(), None);
        Record::remove(directory.path(), Kind::Redis).unwrap();
        Record::remove(directory.path(), Kind::Redis).unwrap();
        assert_eq!(Record::read(directory.path(), Kind::Redis).unwrap(), None);
    }

    #[test]
    fn what_a_keeper_left_is_cleared_and_what_one_holds_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(directory.path(), Kind::Redis).unwrap();
        open_log(directory.path(), Kind::Redis).unwrap();
        assert!(super::lock(directory.path(), Kind::Redis).is_err(), "there is one keeper");
        let left = || fs::read_dir(directory.path()).unwrap().count();
        clear(directory.path(), Kind::Redis).unwrap();
        assert_eq!(left(), 2);
        drop(lock);
        clear(directory.path(), Kind::Redis).unwrap();
        assert_eq!(left(), 0);
        clear(directory.path(), Kind::Redis).unwrap();
    }

    #[test]
    fn what_is_stopped_leaves_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let record = Record::new(String::new(), stranger(), &[], vec![data.clone()]);
        assert_eq!(record.leftover(), None);
        fs::create_dir(&data).unwrap();
        assert_eq!(record.leftover(), Some(data.as_path()));
    }

    #[test]
    fn a_process_that_took_over_an_id_is_not_taken_for_the_server() {
        let check = |keeper, servers: &[Sighting], state: &str| {
            let found = State::of(Some(Record::new(String::new(), keeper, servers, Vec::new())));
            assert_eq!(found.to_string(), state);
        };
        check(ourselves(), &[ourselves(), ourselves()], "running");
        check(ourselves(), &[ourselves(), stranger()], "1 lost");
        check(stranger(), &[ourselves()], "1 lost");
        check(stranger(), &[stranger()], "stopped");
        assert_eq!(State::of(None), State::Absent);
    }
}
