//! The clock that all processes of the machine share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An instant, in nanoseconds since the machine was started.
pub type Nanos = u64;

/// Now.
#[must_use]
pub fn now() -> Nanos {
    let reading = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or_default();
    seconds.saturating_mul(SECOND).saturating_add(u64::try_from(reading.tv_nsec).unwrap_or_default())
}

/// A duration as the records count.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const SECOND: u64 = 1_000_000_000;
