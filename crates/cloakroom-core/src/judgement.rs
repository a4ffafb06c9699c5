//! Alive or over: the one place that decides.

use std::time::Duration;

use crate::{EndReason, Lifetime, SessionRecord, Timestamp};

/// What a session is at an instant, as far as time alone decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It lives.
    Active,
    /// Time ended it.
    Expired {
        /// [`EndReason::IdleTimeout`] or [`EndReason::AbsoluteTimeout`], whichever came first.
        reason: EndReason,
        /// The exact instant.
        at: Timestamp,
    },
}

impl Verdict {
    /// Whether the session lives.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active)
    }
}

/// Judges a session whose last activity was at `last_seen_at`.
///
/// A session ends *at* the instant of its timeout: one millisecond before it lives, at the instant it is over. Where
/// both timeouts have passed, the earlier one is the reason; at a tie, the absolute one.
///
/// # Security
/// Every read passes through here with the reader's clock, whatever expiry a store has of its own (ASVS 7.3.1, 7.3.2).
/// A clock that stepped back lengthens nothing beyond the absolute instant, which was fixed at issue.
#[inline]
#[must_use]
pub fn judge(record: &SessionRecord, last_seen_at: Timestamp, now: Timestamp) -> Verdict {
    record.lifetime.judge(last_seen_at, now)
}

impl Lifetime {
    /// The same as [`judge`](crate::judge()) for whoever has the limits of a record and not the record.
    #[inline]
    #[must_use]
    pub fn judge(&self, last_seen_at: Timestamp, now: Timestamp) -> Verdict {
        let idle_at = last_seen_at.plus(self.idle_timeout);
        let absolute_at = self.absolute_expires_at;
        if absolute_at <= idle_at && now >= absolute_at {
            Verdict::Expired { reason: EndReason::AbsoluteTimeout, at: absolute_at }
        } else if now >= idle_at {
            Verdict::Expired { reason: EndReason::IdleTimeout, at: idle_at }
        } else {
            Verdict::Active
        }
    }

    /// The same as [`idle_expires_at`](crate::idle_expires_at()) for whoever has the limits of a record and not the record.
    #[inline]
    #[must_use]
    pub fn idle_expires_at(&self, last_seen_at: Timestamp) -> Timestamp {
        last_seen_at.plus(self.idle_timeout).min(self.absolute_expires_at)
    }
}

/// The instant at which the session ends if nothing more is heard: idle or absolute, whichever is earlier.
#[inline]
#[must_use]
pub fn idle_expires_at(record: &SessionRecord, last_seen_at: Timestamp) -> Timestamp {
    record.lifetime.idle_expires_at(last_seen_at)
}

/// Whether activity at `now` is worth writing down: the last one written is at least `touch_interval` old.
#[inline]
#[must_use]
pub fn touch_due(last_seen_at: Timestamp, now: Timestamp, touch_interval: Duration) -> bool {
    now > last_seen_at && now.since(last_seen_at) >= touch_interval
}

/// Whether the present token is as old as tokens may get under `rotate_every`.
#[inline]
#[must_use]
pub fn rotation_due(record: &SessionRecord, now: Timestamp, rotate_every: Option<Duration>) -> bool {
    rotate_every.is_some_and(|interval| now.since(record.rotated_at) >= interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lifetime, Route, SessionId};

    const IDLE: Duration = Duration::from_millis(100);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn record(absolute: i64) -> SessionRecord {
        let id = SessionId::from_random(Route::from_bytes([0, 0]), [0; 14]);
        SessionRecord::new(id, at(0), Lifetime::new(IDLE, at(absolute), Duration::ZERO))
    }

    fn check(absolute: i64, last_seen: i64, table: &[(i64, Verdict)]) {
        for (now, expected) in table {
            assert_eq!(judge(&record(absolute), at(last_seen), at(*now)), *expected, "now {now}");
        }
    }

    fn expired(reason: EndReason, millis: i64) -> Verdict {
        Verdict::Expired { reason, at: at(millis) }
    }

    #[test]
    fn a_session_ends_at_the_instant_of_its_idle_timeout() {
        let over = expired(EndReason::IdleTimeout, 150);
        check(1_000, 50, &[(149, Verdict::Active), (150, over), (151, over), (5_000, over)]);
    }

    #[test]
    fn a_session_ends_at_the_instant_of_its_absolute_timeout_however_active_it_is() {
        let over = expired(EndReason::AbsoluteTimeout, 1_000);
        check(1_000, 999, &[(999, Verdict::Active), (1_000, over), (1_001, over)]);
        check(1_000, 1_500, &[(1_600, over)]);
    }

    #[test]
    fn the_earlier_timeout_is_the_reason_and_the_absolute_one_wins_a_tie() {
        check(1_000, 899, &[(1_001, expired(EndReason::IdleTimeout, 999))]);
        check(1_000, 900, &[(1_001, expired(EndReason::AbsoluteTimeout, 1_000))]);
        check(1_000, 901, &[(1_001, expired(EndReason::AbsoluteTimeout, 1_000))]);
    }

    #[test]
    fn a_clock_that_stepped_back_ends_nothing() {
        check(1_000, 500, &[(-10, Verdict::Active), (0, Verdict::Active)]);
    }

    #[test]
    fn the_idle_instant_never_passes_the_absolute_one() {
        assert_eq!(idle_expires_at(&record(1_000), at(50)), at(150));
        assert_eq!(idle_expires_at(&record(1_000), at(950)), at(1_000));
    }

    #[test]
    fn a_touch_is_due_from_the_instant_of_its_interval() {
        for (now, due) in [(9, false), (109, false), (110, true), (111, true), (0, false)] {
            assert_eq!(touch_due(at(10), at(now), IDLE), due, "now {now}");
        }
        assert!(!touch_due(at(10), at(10), Duration::ZERO), "the same instant again changes nothing");
    }

    #[test]
    fn rotation_is_due_from_the_instant_of_its_interval() {
        for (now, due) in [(99, false), (100, true), (101, true)] {
            assert_eq!(rotation_due(&record(1_000), at(now), Some(IDLE)), due, "now {now}");
        }
        assert!(!rotation_due(&record(1_000), at(i64::MAX), None));
    }
}
