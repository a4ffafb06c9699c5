//! Keys in a file.

mod disk;
mod error;
mod text;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cloakroom_core::Timestamp;

pub use error::KeyFileError;

use crate::key::{KeyId, NewKey};
use crate::ring::{KeyRing, RingError, Rotation};
use disk::Fingerprint;

/// The file that keeps the keys of an application: a text, one key a line.
///
/// # Security
/// It is made for its owner alone, and what others might read is not read: a file with any right for group or others, or
/// that belongs to somebody else than this process or root, is an error that names file, mode and cure. Where the
/// platform has no such rights, neither is checked, and the directory has to be protected.
///
/// A path that is a link is followed, and all checks are of the file that it leads to; a rotation replaces that file and
/// leaves the link. Whoever may write the directory may replace keys by their own: it must belong to this user alone.
///
/// Errors name lines, and never what is in them.
///
/// # Several processes
/// A change is a new file in the place of the old one, so whoever reads finds one or the other and never half of one.
/// Changes exclude each other by a lock on a file beside it (`….lock`), which stays there, empty.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// What the file was when it was last read.
    seen: Mutex<Option<Fingerprint>>,
}

/// What [`KeyFile::create`] did.
#[derive(Clone, Debug)]
#[must_use]
pub enum Created {
    /// There was no file: it was made, with the new key.
    Made(KeyRing),
    /// There was a file, and it is as it was.
    WasThere(KeyRing),
}

impl KeyFile {
    /// Most bytes of a file that is read: far more than the keys of a full ring take.
    pub const BYTES_MAX: u64 = 64 * 1_024;

    /// The file at `path`, which may not exist yet.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Mutex::new(None) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeyFileError`] where the file is missing, may be read by others, or is no file of keys.
    pub fn read(&self) -> Result<KeyRing, KeyFileError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (ring, fingerprint) = self.read_now()?;
        *seen = Some(fingerprint);
        Ok(ring)
    }

    /// Reads the keys if the file is another, or was changed, since they were last read; `None` otherwise. A file is known by
    /// device, inode, length, and the instants of its last change of content and of rights.
    ///
    /// # Errors
    /// As [`read`](Self::read); the next call tries again.
    ///
    /// # Cost
    /// One `stat` where nothing changed.
    pub fn reload_if_changed(&self) -> Result<Option<KeyRing>, KeyFileError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let present = disk::look(&self.path).map_err(|source| self.unreadable(source))?;
        if *seen == Some(present) {
            return Ok(None);
        }
        let (ring, fingerprint) = self.read_now()?;
        *seen = Some(fingerprint);
        Ok(Some(ring))
    }

    /// Makes the file, with `key` alone, if there is none. Of several processes that do so at once one makes it, and all have
    /// its key.
    ///
    /// # Errors
    /// As [`read`](Self::read), and where it cannot be written. A file that is there is never replaced.
    pub fn create(&self, key: NewKey, now: Timestamp) -> Result<Created, KeyFileError> {
        match self.read() {
            Ok(ring) => return Ok(Created::WasThere(ring)),
            Err(KeyFileError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let id = key.id();
        let text = text::write(&KeyRing::first(key, now));
        let made = disk::make(&self.path, &id.to_string(), text.as_bytes());
        let is_new = made.map_err(|source| self.unwritable(source))?;
        let ring = self.read()?;
        Ok(if is_new { Created::Made(ring) } else { Created::WasThere(ring) })
    }

    /// Rotates: reads the ring, and writes [what it is afterwards](KeyRing::rotated). Other processes see it when they read
    /// the file again.
    ///
    /// # Errors
    /// [`KeyFileError::Busy`] while another process changes the keys; else as [`read`](Self::read), and where it cannot be
    /// written. The file then is what it was.
    pub fn rotate(&self, key: NewKey, rotation: &Rotation) -> Result<KeyRing, KeyFileError> {
        self.change(|ring| ring.rotated(key, rotation).map(Some))
    }

    /// Rotates, and [forgets the key](KeyRing::revoked) called `stolen` at once.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate), and where there is no such key.
    pub fn revoke(&self, stolen: KeyId, key: NewKey, rotation: &Rotation) -> Result<KeyRing, KeyFileError> {
        self.change(|ring| ring.revoked(stolen, key, rotation).map(Some))
    }

    /// Replaces all keys by `key`, which seals at once: for a file that was stolen. Whatever was sealed before opens nowhere
    /// any more, as soon as a node has read the file again: everybody signs in anew.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub fn replace_all(&self, key: NewKey, now: Timestamp) -> Result<KeyRing, KeyFileError> {
        self.change(|_| Ok(Some(KeyRing::first(key, now))))
    }

    /// Removes keys that have been over for [a day](KeyRing::KEPT_LONGER) at `now`, so that whoever gets hold of the file later
    /// cannot read what was sealed with them. Only reads where there is none.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub fn forget_over(&self, now: Timestamp) -> Result<KeyRing, KeyFileError> {
        let present = self.read()?;
        if present.without_over(now).is_none() {
            return Ok(present);
        }
        self.change(|ring| Ok(ring.without_over(now)))
    }

    /// Reads, changes, writes, alone.
    fn change(
        &self,
        change: impl FnOnce(&KeyRing) -> Result<Option<KeyRing>, RingError>,
    ) -> Result<KeyRing, KeyFileError> {
        let path = std::fs::canonicalize(&self.path).map_err(|source| self.unreadable(source))?;
        let lock = disk::lock(&path).map_err(|source| self.unwritable(source))?;
        let _held = lock.ok_or_else(|| KeyFileError::Busy { path: self.path.clone() })?;
        let present = self.read()?;
        let changed = change(&present);
        let changed = changed.map_err(|source| KeyFileError::Ring { path: self.path.clone(), source })?;
        let Some(changed) = changed else { return Ok(present) };
        let text = text::write(&changed);
        disk::replace(&path, text.as_bytes()).map_err(|source| self.unwritable(source))?;
        // As it was written: what is in force here is what others will read.
        self.read()
    }

    fn read_now(&self) -> Result<(KeyRing, Fingerprint), KeyFileError> {
        let (content, fingerprint) = disk::read(&self.path)?;
        Ok((text::parse(&content, &self.path)?, fingerprint))
    }

    fn unreadable(&self, source: std::io::Error) -> KeyFileError {
        error::unreadable(&self.path, source)
    }

    fn unwritable(&self, source: std::io::Error) -> KeyFileError {
        KeyFileError::Write { path: self.path.clone(), source }
    }
}
