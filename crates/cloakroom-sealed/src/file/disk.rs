//! Files on the disk: who may read them, and how one takes another's place.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyFile;
use super::KeyFileError;
use super::error::unreadable;

/// What tells one content of a file from another, without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fingerprint {
    length: u64,
    modified: Instants,
    place: (u64, u64),
}

/// Instants of the last change of content and of rights, in seconds and nanoseconds.
type Instants = [(i64, i64); 2];

/// What the file at `path` is just now.
pub(super) fn look(path: &Path) -> io::Result<Fingerprint> {
    std::fs::metadata(path).map(|metadata| fingerprint(&metadata))
}

/// The content of the file at `path`, if it is one that only its owner may read.
pub(super) fn read(path: &Path) -> Result<(Zeroizing<String>, Fingerprint), KeyFileError> {
    // A pipe would be waited for already when it is opened.
    let metadata = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    check(path, &metadata)?;
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    // Of the file that was opened: what the path leads to may be another by now.
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    check(path, &metadata)?;
    // Room for all of it: bytes that grow leave secrets behind.
    let room = usize::try_from(metadata.len().min(KeyFile::BYTES_MAX)).unwrap_or(0);
    let mut content = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    let limit = KeyFile::BYTES_MAX.saturating_add(1);
    file.take(limit).read_to_end(&mut content).map_err(|source| unreadable(path, source))?;
    if u64::try_from(content.len()).is_ok_and(|length| length > KeyFile::BYTES_MAX) {
        return Err(KeyFileError::TooLarge { path: path.to_owned() });
    }
    match std::str::from_utf8(&content) {
        Ok(text) => Ok((Zeroizing::new(text.to_owned()), fingerprint(&metadata))),
        Err(_) => Err(KeyFileError::NotText { path: path.to_owned() }),
    }
}

/// Makes the file at `path`, if there is none; whether this made it. `mark` tells apart those who try at once.
pub(super) fn make(path: &Path, mark: &str, content: &[u8]) -> io::Result<bool> {
    let fresh = beside(path, &format!("{mark}.{}", std::process::id()));
    // Whole before it has its name, so that nobody finds half of it; and a link does not replace what is there.
    let linked = write_private(&fresh, content).and_then(|()| std::fs::hard_link(&fresh, path));
    let made = match linked {
        Ok(()) => sync_directory(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(false),
        Err(error) => Err(error),
    };
    std::fs::remove_file(&fresh).or_else(absent)?;
    made
}

/// Puts a file with `content` into the place of the one at `path`. To be called by who holds the [`lock`].
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = beside(path, "new");
    // Left by a process that was killed.
    std::fs::remove_file(&fresh).or_else(absent)?;
    let replaced = write_private(&fresh, content).and_then(|()| std::fs::rename(&fresh, path));
    if replaced.is_err() {
        std::fs::remove_file(&fresh).or_else(absent)?;
    }
    replaced.and_then(|()| sync_directory(path))
}

/// Alone to change the file at `path`, until it is dropped or this process ends; `None` where another process is.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    owner_only(&mut options);
    let file = options.open(beside(path, "lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    // Before there is any content, whatever the umask allows.
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// The name of a file has to survive a power cut as well as what is in it.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn check(path: &Path, metadata: &Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::MetadataExt as _;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != ROOT {
        return Err(KeyFileError::Foreign { path: path.to_owned(), owner, user });
    }
    let mode = metadata.mode() & PERMISSIONS;
    if is_exposed(mode, owner, user) {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Whether whoever should not may read or change a file with these rights.
///
/// A file of root's may be read by its group, if nobody but root changes it: that is how an orchestrator hands a secret to a user
/// who cannot own it (Kubernetes with `fsGroup`: 0440, 0640), and this user could not take the right away. That `user` reads it at all
/// tells that the group is one of theirs. One's own file has no reason to be a group's.
#[cfg(unix)]
const fn is_exposed(mode: u32, owner: u32, user: u32) -> bool {
    let shared = if owner == ROOT && user != ROOT { OTHERS & !GROUP_READS } else { OTHERS };
    mode & shared != 0
}

#[cfg(not(unix))]
fn check(path: &Path, metadata: &Metadata) -> Result<(), KeyFileError> {
    if metadata.is_file() { Ok(()) } else { Err(KeyFileError::NotAFile { path: path.to_owned() }) }
}

#[cfg(unix)]
fn fingerprint(metadata: &Metadata) -> Fingerprint {
    use std::os::unix::fs::MetadataExt as _;
    Fingerprint {
        length: metadata.len(),
        modified: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        place: (metadata.dev(), metadata.ino()),
    }
}

#[cfg(not(unix))]
fn fingerprint(metadata: &Metadata) -> Fingerprint {
    let since = |at: io::Result<std::time::SystemTime>| {
        let at = at.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        (i64::try_from(at.as_secs()).unwrap_or(i64::MAX), i64::from(at.subsec_nanos()))
    };
    let modified = [since(metadata.modified()), since(metadata.created())];
    Fingerprint { length: metadata.len(), modified, place: (0, 0) }
}

#[cfg(unix)]
const ROOT: u32 = 0;
#[cfg(unix)]
const PERMISSIONS: u32 = 0o7777;
/// Any right of group or others.
#[cfg(unix)]
const OTHERS: u32 = 0o077;
#[cfg(unix)]
const GROUP_READS: u32 = 0o040;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_roots_may_be_read_by_its_group_and_ones_own_by_nobody_else() {
        let (me, root) = (1_000, ROOT);
        for mode in [0o400, 0o600, 0o700] {
            assert!(
                !is_exposed(mode, me, me) && !is_exposed(mode, root, me) && !is_exposed(mode, root, root)
            );
        }
        for mode in [0o440, 0o640] {
            assert!(!is_exposed(mode, root, me), "{mode:o}: as a secret is mounted");
            assert!(is_exposed(mode, me, me) && is_exposed(mode, root, root), "{mode:o}");
        }
        for mode in [0o444, 0o644, 0o660, 0o460, 0o650, 0o604, 0o642] {
            assert!(is_exposed(mode, root, me), "{mode:o}");
        }
    }
}
