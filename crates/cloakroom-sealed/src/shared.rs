//! The ring in force, which many threads read and which may be replaced at any time.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use cloakroom_core::Timestamp;
#[cfg(doc)]
use cloakroom_store::SealRefusal;

use crate::file::{KeyFile, KeyFileError};
use crate::ring::KeyRing;

/// The ring in force. Readers never wait for each other, nor for whoever replaces it.
///
/// # Keys that come in a file
/// [`reload_if_changed`](Self::reload_if_changed) belongs on a timer, on a thread that may wait: every few seconds, well
/// within a rotation's spread. A token of an unknown key has the file looked at, too, on a thread of its own: at
/// most every [`LOOK_EVERY`](Self::LOOK_EVERY), whoever sends whatever, one `stat`, and where that tells of a change one read of
/// a file of few kilobytes. Whoever opens it waits for that, for [`LONGEST_LOOK`](Self::LONGEST_LOOK) at the most; where the file
/// system hangs, nobody waits who comes later, and such a token is [undecided](SealRefusal::Undecided), until it answers.
/// A key that was put in by hand on another node is thereby known before anybody is refused
/// for it. A file that cannot be read leaves the ring as it is: keys that were good stay good.
#[derive(Debug)]
pub struct SharedRing(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    ring: ArcSwap<KeyRing>,
    source: Option<Source>,
    /// Of keys that left the ring and were not told of yet, the latest instant until which one would have opened.
    lost: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
struct Source {
    file: Box<dyn KeySource>,
    looks: Mutex<Looks>,
    /// A look is over.
    looked: Condvar,
}

/// Where keys come from.
trait KeySource: Debug + Send + Sync {
    /// The keys, if they are others than before. May block.
    fn reload_if_changed(&self) -> Result<Option<KeyRing>, KeyFileError>;
}

impl KeySource for KeyFile {
    fn reload_if_changed(&self) -> Result<Option<KeyRing>, KeyFileError> {
        Self::reload_if_changed(self)
    }
}

#[derive(Debug, Default)]
struct Looks {
    /// When an unknown key last made somebody look at the file.
    looked_at: Option<Timestamp>,
    /// Somebody looks, until the ring is replaced: one after the other, so that what was read first is never put in the place of what
    /// was read last.
    is_under_way: bool,
    /// Somebody has waited for that in vain.
    hangs: bool,
}

/// What came of looking at the file for an unknown key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Another ring is in force.
    Another,
    /// Nothing new, as of now or of a moment ago.
    Nothing,
    /// The file system did not answer in time.
    NoAnswer,
}

/// Ends a look, however it ends.
struct Look<'a>(&'a Source);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let mut looks = self.0.looks();
        (looks.is_under_way, looks.hangs) = (false, false);
        self.0.looked.notify_all();
    }
}

impl Source {
    /// Held for moments, never while the file is looked at.
    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedRing {
    /// How often the file is looked at for unknown keys, at most.
    pub const LOOK_EVERY: Duration = Duration::from_millis(100);

    /// How long whoever opens a token of an unknown key waits for that, at most: many times what a file system takes.
    pub const LONGEST_LOOK: Duration = Duration::from_millis(50);

    /// A ring that changes only by [`replace`](Self::replace).
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self::with(ring, None)
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
        Ok(Self::with(ring, Some(Box::new(file))))
    }

    fn with(ring: KeyRing, file: Option<Box<dyn KeySource>>) -> Self {
        let source = file.map(|file| Source { file, looks: Mutex::default(), looked: Condvar::new() });
        Self(Arc::new(Inside { ring: ArcSwap::from_pointee(ring), source, lost: Mutex::new(None) }))
    }

    /// Puts `ring` in the place of the present one. Whoever is sealing or opening just now ends with the old one.
    pub fn replace(&self, ring: KeyRing) {
        self.0.replace(ring);
    }

    /// Whether a key left the ring, since this was last asked, that would still open at `now`: it was revoked, not forgotten
    /// after its time. Requests with its tokens are refused from then on; what passed the door before, an open stream, has to
    /// be ended by whoever asks.
    #[must_use]
    pub fn has_lost_keys(&self, now: Timestamp) -> bool {
        let mut told = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
        told.take().is_some_and(|until| now < until)
    }

    /// The ring in force.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        self.0.ring.load_full()
    }

    /// Reads the file again if it changed. `true` where another ring is in force now; `false` without a file.
    ///
    /// # Errors
    /// [`KeyFileError`]; the ring stays what it was, and the next call tries again.
    ///
    /// # Cost
    /// One `stat`; a read where that tells of a change. Blocks for as long as that takes, and for as long as somebody else's look
    /// does.
    pub fn reload_if_changed(&self) -> Result<bool, KeyFileError> {
        let Some(source) = &self.0.source else { return Ok(false) };
        let looks = source.looks();
        let mut looks = source
            .looked
            .wait_while(looks, |looks| looks.is_under_way)
            .unwrap_or_else(PoisonError::into_inner);
        looks.is_under_way = true;
        drop(looks);
        self.0.look(source)
    }

    pub(crate) fn load(&self) -> Guard<Arc<KeyRing>> {
        self.0.ring.load()
    }

    /// Looks at the file because of a key that `missed` does not have.
    pub(crate) fn look_again(&self, missed: &Arc<KeyRing>, now: Timestamp) -> Found {
        let Some(source) = &self.0.source else { return Found::Nothing };
        let mut looks = source.looks();
        let is_due = looks.looked_at.is_none_or(|at| now < at || now.since(at) >= Self::LOOK_EVERY);
        if is_due && !looks.is_under_way {
            looks.looked_at = Some(now);
            looks.is_under_way = Inside::look_beside(&self.0);
        }
        if !looks.hangs {
            let waited =
                source.looked.wait_timeout_while(looks, Self::LONGEST_LOOK, |looks| looks.is_under_way);
            looks = waited.unwrap_or_else(PoisonError::into_inner).0;
            looks.hangs = looks.is_under_way;
        }
        let hangs = looks.hangs;
        drop(looks);
        if !Arc::ptr_eq(missed, &self.0.ring.load()) {
            Found::Another
        } else if hangs {
            Found::NoAnswer
        } else {
            Found::Nothing
        }
    }
}

impl Inside {
    fn replace(&self, ring: KeyRing) {
        let new = Arc::new(ring);
        let old = self.ring.swap(Arc::clone(&new));
        let lost = old.keys().iter().filter(|key| new.of(key.id()).is_none());
        let until = lost.map(|key| key.opens_until.unwrap_or(Timestamp::MAX)).max();
        let mut told = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *told = (*told).max(until);
    }

    /// Looks at the file, whatever that takes. Whoever calls this has said that a look is under way.
    fn look(&self, source: &Source) -> Result<bool, KeyFileError> {
        let _look = Look(source);
        let Some(ring) = source.file.reload_if_changed()? else { return Ok(false) };
        self.replace(ring);
        Ok(true)
    }

    /// The same on a thread of its own. Whether there is one.
    fn look_beside(inside: &Arc<Self>) -> bool {
        let looks = Arc::clone(inside);
        let thread = std::thread::Builder::new().name("cloakroom-keys".into());
        let begun = thread.spawn(move || {
            let Some(source) = &looks.source else { return };
            // What is wrong with the file is told to whoever looks at it by the clock, which comes soon.
            let _ = looks.look(source);
        });
        begun.is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NewKey;

    /// A file system that answers when it is told to.
    #[derive(Debug, Default)]
    struct Hanging {
        ring: Mutex<Option<KeyRing>>,
        /// Whether it hangs, and how often it was asked.
        state: Mutex<(bool, usize)>,
        told: Condvar,
    }

    #[derive(Debug)]
    struct Handle(Arc<Hanging>);

    impl KeySource for Handle {
        fn reload_if_changed(&self) -> Result<Option<KeyRing>, KeyFileError> {
            let mut state = self.0.state.lock().unwrap();
            state.1 += 1;
            self.0.told.notify_all();
            drop(self.0.told.wait_while(state, |(hangs, _)| *hangs).unwrap());
            Ok(self.0.ring.lock().unwrap().take())
        }
    }

    fn ring(number: u8) -> KeyRing {
        KeyRing::first(NewKey::from_random(&[number; NewKey::RANDOM_BYTES]), at(0))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn shared(hangs: bool) -> (Arc<Hanging>, SharedRing) {
        let files = Arc::new(Hanging { state: Mutex::new((hangs, 0)), ..Hanging::default() });
        let shared = SharedRing::with(ring(1), Some(Box::new(Handle(Arc::clone(&files)))));
        (files, shared)
    }

    #[test]
    fn a_file_system_that_hangs_keeps_one_look_and_nobody_who_comes_later() {
        let (files, shared) = shared(true);
        let missed = shared.ring();
        for millis in 0..1_000 {
            assert_eq!(shared.look_again(&missed, at(1_000 + 10 * millis)), Found::NoAnswer);
        }
        assert_eq!(files.state.lock().unwrap().1, 1, "one thread waits, whoever comes");
        *files.ring.lock().unwrap() = Some(ring(2));
        files.state.lock().unwrap().0 = false;
        files.told.notify_all();
        assert!(!shared.reload_if_changed().unwrap(), "it waits for the look that was under way");
        assert!(!Arc::ptr_eq(&missed, &shared.ring()), "what was found in the end counts");
        assert_eq!(shared.look_again(&missed, at(100_000)), Found::Another);
        let found = shared.ring();
        assert_eq!(shared.look_again(&found, at(200_000)), Found::Nothing, "it answers again");
    }

    #[test]
    fn whoever_follows_the_file_and_hangs_keeps_nobody_else() {
        let (files, shared) = shared(true);
        std::thread::scope(|scope| {
            let follows = scope.spawn(|| shared.reload_if_changed());
            let asked = files.state.lock().unwrap();
            drop(files.told.wait_while(asked, |(_, asked)| *asked == 0).unwrap());
            let missed = shared.ring();
            let found = shared.look_again(&missed, at(1_000));
            assert_eq!(found, Found::NoAnswer);
            files.state.lock().unwrap().0 = false;
            files.told.notify_all();
            assert!(!follows.join().unwrap().unwrap());
        });
    }

    #[test]
    fn an_unknown_key_is_found_in_the_file_by_who_asks_first_and_not_looked_for_again_at_once() {
        let (files, shared) = shared(false);
        let missed = shared.ring();
        *files.ring.lock().unwrap() = Some(ring(2));
        assert_eq!(shared.look_again(&missed, at(1_000)), Found::Another);
        let found = shared.ring();
        assert_eq!(shared.look_again(&found, at(1_099)), Found::Nothing);
        assert_eq!(files.state.lock().unwrap().1, 1);
        assert_eq!(shared.look_again(&found, at(1_100)), Found::Nothing);
        assert_eq!(files.state.lock().unwrap().1, 2);
    }
}
