//! Instants, in milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An instant: milliseconds since the Unix epoch.
///
/// Eight bytes, ordered, and the same in memory, in a store and on the wire, so that an instant read back equals the
/// instant written. Arithmetic saturates: no timeout, however long, wraps around into the past.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_core::Timestamp;
///
/// let now = Timestamp::from_millis(1_000);
/// assert_eq!(now.plus(Duration::from_secs(1)).as_millis(), 2_000);
/// assert_eq!(now.since(now.plus(Duration::from_secs(1))), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// An instant later than every other.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant `duration` later, or [`Timestamp::MAX`] where that does not exist.
    #[inline]
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_millis(duration)))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_millis(duration)))
    }

    /// How long after `earlier` this instant is; zero where it is not after it (a clock may step backwards).
    #[inline]
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, for example `2026-03-01T09:30:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => {
                f.write_str(if self.0 < 0 { "-9999-01-02T00:00:00.000Z" } else { "9999-12-30T22:00:00.000Z" })
            }
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = MalformedTimestamp;

    /// Reads RFC 3339 (an offset is needed); digits beyond milliseconds are cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| MalformedTimestamp)?;
        Ok(Self(instant.as_millisecond()))
    }
}

/// A text is no RFC 3339 instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instant; expected RFC 3339 such as 2026-03-01T09:30:00Z")]
pub struct MalformedTimestamp;

#[inline]
fn saturating_millis(duration: Duration) -> i64 {
    // In 64 bits: `Duration::as_millis` counts in 128, at every read.
    let millis = duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis().into());
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::from_millis(5).plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(i64::MIN).minus(Duration::MAX).as_millis(), i64::MIN);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn text_is_rfc_3339_in_utc_and_reads_back_equal() {
        let instant = Timestamp::from_millis(1_772_357_400_123);
        assert_eq!(instant.to_string(), "2026-03-01T09:30:00.123Z");
        assert_eq!(instant.to_string().parse(), Ok(instant));
        assert_eq!("2026-03-01T10:30:00.123+01:00".parse(), Ok(instant));
        assert_eq!("2026-03-01".parse::<Timestamp>(), Err(MalformedTimestamp));
    }

    #[test]
    fn an_instant_beyond_the_calendar_still_prints() {
        assert!(Timestamp::MAX.to_string().starts_with("9999"));
        assert!(Timestamp::from_millis(i64::MIN).to_string().starts_with("-9999"));
    }
}
