//! A disk that remembers what is safe on it, can lose the rest, and can fail.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};

use cloakroom_conformance::Seeded;
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC};
use tempfile::TempDir;

/// The disk of one test: a directory, and what a power cut would leave of the files in it.
pub(crate) struct Disk {
    directory: TempDir,
    files: Mutex<HashMap<String, Platter>>,
    mood: Mutex<Mood>,
    mood_changed: Condvar,
    hanging: AtomicBool,
    /// Most bytes in all files.
    capacity: AtomicU64,
    watcher: Mutex<Option<Watcher>>,
}

/// Told of every write and every sync, after it happened: the moment for a cut.
pub(crate) type Watcher = Box<dyn FnMut(&Disk, &str) + Send>;

/// What the disk does when asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Well,
    /// Writes find no room.
    Full,
    /// Syncs fail.
    Failing,
    /// Syncs do not return.
    Hanging,
}

/// What the disk is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Write,
    Sync,
}

/// A file: what is safe of it, and what was written since.
#[derive(Clone, Default)]
struct Platter {
    safe: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// What a power cut left: files and their contents.
pub(crate) struct Remains(HashMap<String, Vec<u8>>);

/// The disks that tests have claimed, by directory.
static DISKS: Mutex<Vec<(PathBuf, Weak<Disk>)>> = Mutex::new(Vec::new());

/// The disk of this directory, if a test has claimed it.
pub(crate) fn claimed(directory: &Path) -> Option<Arc<Disk>> {
    let disks = held(&DISKS);
    disks.iter().find(|(path, _)| path == directory).and_then(|(_, disk)| disk.upgrade())
}

impl Disk {
    /// A disk with nothing on it.
    pub(crate) fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let path = directory.path().canonicalize().expect("it was just made");
        let disk = Arc::new(Self {
            directory,
            files: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            mood_changed: Condvar::new(),
            hanging: AtomicBool::new(false),
            capacity: AtomicU64::new(u64::MAX),
            watcher: Mutex::default(),
        });
        held(&DISKS).push((path, Arc::downgrade(&disk)));
        disk
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("it is there").join("sessions.db")
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *held(&self.mood) = mood;
        self.mood_changed.notify_all();
    }

    /// Leaves room for this many bytes more than there are now.
    pub(crate) fn leave(&self, bytes: u64) {
        self.capacity.store(self.used(None).saturating_add(bytes), Ordering::SeqCst);
    }

    /// Whether the file of this name may reach this length, or the error that says it may not.
    pub(crate) fn has_room(&self, name: &str, length: usize) -> Result<(), i32> {
        let reached = u64::try_from(length).expect("a length fits in 64 bits");
        let fits = self.used(Some((name, reached))) <= self.capacity.load(Ordering::SeqCst);
        if fits { Ok(()) } else { Err(SQLITE_FULL) }
    }

    /// The bytes of all files, of which one may have grown.
    fn used(&self, grown: Option<(&str, u64)>) -> u64 {
        let files = fs::read_dir(self.directory.path()).expect("it is there");
        let sizes = files.filter_map(|file| {
            let file = file.ok()?;
            let size = file.metadata().ok()?.len();
            let grown = grown.filter(|(name, _)| file.file_name().to_str() == Some(name));
            Some(grown.map_or(size, |(_, reached)| size.max(reached)))
        });
        sizes.sum()
    }

    /// Waits until somebody hangs in a sync.
    pub(crate) async fn hangs(&self) {
        while !self.hanging.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        *held(&self.watcher) = Some(watcher);
    }

    pub(crate) fn stop_watching(&self) {
        *held(&self.watcher) = None;
    }

    /// What a power cut at this moment leaves: everything that was synced, and of what was not, by chance, single sectors.
    pub(crate) fn cut(&self, random: &mut Seeded) -> Remains {
        // Nothing of it, all of it, or anything between.
        let survives_of_eight = random.below(3) * 4;
        let files = held(&self.files);
        let mut after = |platter: &Platter| {
            let mut bytes = platter.safe.clone();
            for pending in &platter.pending {
                pending.land(&mut bytes, |random| random.below(8) < survives_of_eight, random);
            }
            bytes
        };
        Remains(files.iter().map(|(name, platter)| (name.clone(), after(platter))).collect())
    }

    /// Whether the disk does what it is asked, or the error it fails with.
    pub(crate) fn allows(&self, event: Event, _name: &str) -> Result<(), i32> {
        let mut mood = held(&self.mood);
        while (*mood, event) == (Mood::Hanging, Event::Sync) {
            self.hanging.store(true, Ordering::SeqCst);
            mood = self.mood_changed.wait(mood).expect("nobody panics with a mood in hand");
        }
        match (*mood, event) {
            (Mood::Full, Event::Write) => Err(SQLITE_FULL),
            (Mood::Failing, Event::Sync) => Err(SQLITE_IOERR_FSYNC),
            _ => Ok(()),
        }
    }

    pub(crate) fn written(&self, name: &str, offset: usize, bytes: &[u8]) {
        self.pend(name, Pending::Write { offset, bytes: bytes.to_vec() });
        self.tell(name);
    }

    pub(crate) fn truncated(&self, name: &str, length: usize) {
        self.pend(name, Pending::Truncate(length));
    }

    pub(crate) fn synced(&self, name: &str) {
        if let Some(platter) = held(&self.files).get_mut(name) {
            for pending in std::mem::take(&mut platter.pending) {
                pending.land(&mut platter.safe, |_| true, &mut Seeded::new(0));
            }
        }
        self.tell(name);
    }

    pub(crate) fn deleted(&self, name: &str) {
        held(&self.files).remove(name);
    }

    fn pend(&self, name: &str, pending: Pending) {
        held(&self.files).entry(name.to_owned()).or_default().pending.push(pending);
    }

    fn tell(&self, name: &str) {
        let watcher = held(&self.watcher).take();
        if let Some(mut watcher) = watcher {
            watcher(self, name);
            held(&self.watcher).get_or_insert(watcher);
        }
    }
}

impl Pending {
    /// Puts those sectors of it that survive in their places.
    fn land(&self, file: &mut Vec<u8>, survives: impl Fn(&mut Seeded) -> bool, random: &mut Seeded) {
        match self {
            Self::Truncate(length) => {
                if survives(random) {
                    file.resize(*length, 0);
                }
            }
            Self::Write { offset, bytes } => {
                let mut start = *offset;
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (sector, tail) = rest.split_at(rest.len().min(SECTOR - start % SECTOR));
                    if survives(random) {
                        file.resize(file.len().max(start + sector.len()), 0);
                        file[start..start + sector.len()].copy_from_slice(sector);
                    }
                    start += sector.len();
                    rest = tail;
                }
            }
        }
    }
}

impl Remains {
    /// The files in a directory of their own, as the machine finds them when it is on again.
    pub(crate) fn restore(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        for (name, bytes) in &self.0 {
            fs::write(directory.path().join(name), bytes).expect("there is room for a copy");
        }
        directory
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with a disk in hand")
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
