//! The ring in force, which many threads read and which may be replaced at any time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use cloakroom_core::Timestamp;

use crate::file::{KeyFile, KeyFileError};
use crate::ring::KeyRing;

/// The ring in force. Readers never wait for each other, nor for whoever replaces it.
///
/// # Keys that come in a file
/// [`reload_if_changed`](Self::reload_if_changed) belongs on a timer, on a thread that may wait: every few seconds, well
/// within a rotation's spread. A token of an unknown key looks at the file at once, on the thread that opens it: at
/// most every [`LOOK_EVERY`](Self::LOOK_EVERY), whoever sends whatever, one `stat`, and where that tells of a change one read of
/// a file of few kilobytes. A key that was put in by hand on another node is thereby known before anybody is refused
/// for it. A file that cannot be read leaves the ring as it is: keys that were good stay good.
#[derive(Debug)]
pub struct SharedRing {
    ring: ArcSwap<KeyRing>,
    source: Option<Source>,
    /// Of keys that left the ring and were not told of yet, the latest instant until which one would have opened.
    lost: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
struct Source {
    file: KeyFile,
    /// When an unknown key last made somebody look at the file. Held from looking until the ring is replaced, so that what
    /// was read first is never put in the place of what was read last, and who comes meanwhile has what was found.
    looked_at: Mutex<Option<Timestamp>>,
}

impl SharedRing {
    /// How often the file is looked at for unknown keys, at most.
    pub const LOOK_EVERY: Duration = Duration::from_millis(100);

    /// A ring that changes only by [`replace`](Self::replace).
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self { ring: ArcSwap::from_pointee(ring), source: None, lost: Mutex::new(None) }
    }

    /// The ring in `file`, followed from now on.
    ///
    /// # Errors
    /// [`KeyFileError`] where the file cannot be read.
    ///
    /// # Cost
    /// Reads the file.
    pub fn of_file(file: KeyFile) -> Result<Self, KeyFileError> {
        let ring = file.read()?;
        let source = Source { file, looked_at: Mutex::new(None) };
        Ok(Self { source: Some(source), ..Self::new(ring) })
    }

    /// Puts `ring` in the place of the present one. Whoever is sealing or opening just now ends with the old one.
    pub fn replace(&self, ring: KeyRing) {
        let new = Arc::new(ring);
        let old = self.ring.swap(Arc::clone(&new));
        let lost = old.keys().iter().filter(|key| new.of(key.id()).is_none());
        let until = lost.map(|key| key.opens_until.unwrap_or(Timestamp::MAX)).max();
        let mut told = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *told = (*told).max(until);
    }

    /// Whether a key left the ring, since this was last asked, that would still open at `now`: it was revoked, not forgotten
    /// after its time. Requests with its tokens are refused from then on; what passed the door before, an open stream, has to
    /// be ended by whoever asks.
    #[must_use]
    pub fn has_lost_keys(&self, now: Timestamp) -> bool {
        let mut told = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        told.take().is_some_and(|until| now < until)
    }

    /// The ring in force.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// Reads the file again if it changed. `true` where another ring is in force now; `false` without a file.
    ///
    /// # Errors
    /// [`KeyFileError`]; the ring stays what it was, and the next call tries again.
    ///
    /// # Cost
    /// One `stat`; a read where that tells of a change. Blocks for as long as that takes.
    pub fn reload_if_changed(&self) -> Result<bool, KeyFileError> {
        let Some(source) = &self.source else { return Ok(false) };
        let _alone = source.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload(source)
    }

    pub(crate) fn load(&self) -> Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Looks at the file because of a key that `missed` does not have. Whether another ring is in force now.
    pub(crate) fn look_again(&self, missed: &Arc<KeyRing>, now: Timestamp) -> bool {
        let Some(source) = &self.source else { return false };
        let mut looked_at = source.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked_at.is_none_or(|at| now < at || now.since(at) >= Self::LOOK_EVERY);
        if is_due {
            *looked_at = Some(now);
            // What is wrong with the file is told to whoever looks at it by the clock, which comes soon.
            let _ = self.reload(source);
        }
        drop(looked_at);
        !Arc::ptr_eq(missed, &self.ring.load())
    }

    fn reload(&self, source: &Source) -> Result<bool, KeyFileError> {
        let Some(ring) = source.file.reload_if_changed()? else { return Ok(false) };
        self.replace(ring);
        Ok(true)
    }
}

impl From<KeyRing> for SharedRing {
    fn from(ring: KeyRing) -> Self {
        Self::new(ring)
    }
}

impl From<KeyRing> for Arc<SharedRing> {
    fn from(ring: KeyRing) -> Self {
        Self::new(SharedRing::new(ring))
    }
}
