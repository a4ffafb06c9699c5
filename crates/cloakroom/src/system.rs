//! The real clock and the real generator: the one file of the libraries that asks the system.

#![expect(
    clippy::disallowed_methods,
    reason = "this is where time and randomness come from; all else is given them"
)]

use std::time::Duration;

use cloakroom_core::Timestamp;

use crate::{Clock, Random, RandomError};

/// The instant by the runtime's timer, which stands still in tests that pause it.
pub(crate) fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The system's clocks.
///
/// On Linux, the time in which the machine slept counts as passed: what was trusted before is not trusted after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    clocks: clocks::Clocks,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.clocks.now()
    }

    fn monotonic(&self) -> Duration {
        self.clocks.monotonic()
    }
}

/// Read without a detour: the standard library's way to milliseconds since the epoch costs ten nanoseconds more, at every
/// read of a session, and its monotonic clock stands still while the machine sleeps.
#[cfg(target_os = "linux")]
mod clocks {
    use std::time::Duration;

    use cloakroom_core::Timestamp;
    use rustix::time::{ClockId, clock_gettime};

    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Clocks;

    impl Clocks {
        pub(super) fn now(self) -> Timestamp {
            let now = clock_gettime(ClockId::Realtime);
            Timestamp::from_millis(now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000))
        }

        pub(super) fn monotonic(self) -> Duration {
            let now = clock_gettime(ClockId::Boottime);
            let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
            Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), nanoseconds)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod clocks {
    use std::time::{Duration, Instant, SystemTime};

    use cloakroom_core::Timestamp;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Clocks {
        started: Instant,
    }

    impl Default for Clocks {
        fn default() -> Self {
            Self { started: Instant::now() }
        }
    }

    impl Clocks {
        pub(super) fn now(self) -> Timestamp {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Timestamp::EPOCH.plus(since_epoch)
        }

        pub(super) fn monotonic(self) -> Duration {
            self.started.elapsed()
        }
    }
}

/// The operating system's cryptographic generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(bytes).map_err(RandomError::new)
    }
}
