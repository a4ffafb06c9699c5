//! Time and randomness, as the engine sees them: given, never taken.

use std::fmt::Debug;
use std::time::Duration;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The instant by the wall clock. May step, also backwards.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point. Never steps backwards; for measuring durations only.
    fn monotonic(&self) -> Duration;
}

/// Makes random bytes.
///
/// # Security
/// Tokens are made of these bytes: the source has to be a cryptographic generator seeded by the operating system
/// (ASVS 7.2.3, 11.5.1). [`OsRandom`](crate::OsRandom) is; nothing else belongs into production.
pub trait Random: Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`RandomError`] where there are no random bytes; the engine then issues nothing.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes")]
pub struct RandomError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RandomError {
    /// The error caused by `source`.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// A clock that stands still until it is moved, for tests: a timeout is tried at its instant, without waiting.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().since(before), Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.0.lock();
        reading.0 = reading.0.plus(by);
        reading.1 = reading.1.saturating_add(by);
    }

    /// Sets the wall clock, backwards too; the monotonic reading stays.
    pub fn step_to(&self, now: Timestamp) {
        self.0.lock().0 = now;
    }
}

impl Default for ManualClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().1
    }
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }
}
