//! How closely open streams follow their sessions.

use std::time::Duration;

/// How closely open streams follow their sessions where the store's feed does not tell of every end.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::StreamPolicy;
///
/// let policy = StreamPolicy::default().with_recheck_interval(Duration::from_secs(2));
/// assert_eq!(policy.patience(), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamPolicy {
    recheck_interval: Duration,
    patience: Duration,
}

impl Default for StreamPolicy {
    /// Every five seconds, and a minute.
    fn default() -> Self {
        Self { recheck_interval: Duration::from_secs(5), patience: Duration::from_secs(60) }
    }
}

impl StreamPolicy {
    /// The shortest interval between two look-ups of one session: 10⁴ streams are then 10⁵ look-ups a second, more than
    /// a store should be asked for sessions that nobody uses.
    pub const SHORTEST_RECHECK_INTERVAL: Duration = Duration::from_millis(100);
    /// The longest: whoever looks at a stream's end does not wait longer than this for it.
    pub const LONGEST_RECHECK_INTERVAL: Duration = Duration::from_secs(60);

    /// The same, looking each session up this often where no feed tells of its end: the longest time by which a stream
    /// outlives its session while the store answers. Cut to the limits.
    ///
    /// # Cost
    /// One look-up for each session with open streams in each interval, spread evenly over it; none where the store's
    /// feed is alive.
    #[must_use]
    pub fn with_recheck_interval(self, interval: Duration) -> Self {
        let interval = interval.clamp(Self::SHORTEST_RECHECK_INTERVAL, Self::LONGEST_RECHECK_INTERVAL);
        Self { recheck_interval: interval, ..self }
    }

    /// The same, ending a stream as [`StreamEnd::Unproven`](crate::StreamEnd) once nothing has shown for this long that
    /// its session lives. At least two recheck intervals, whatever is said.
    ///
    /// # Security
    /// This bounds for how long a session that was ended while this node could not reach its store goes on here. An
    /// outage is no sign-out (G9), so it should be longer than a restart or a fail-over of the store takes.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How often a session is looked up where no feed tells of its end.
    #[must_use]
    pub fn recheck_interval(&self) -> Duration {
        self.recheck_interval
    }

    /// After which time without any proof a stream ends.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience_of(self.patience)
    }

    /// What a wish for this patience comes to.
    pub(super) fn patience_of(&self, wish: Duration) -> Duration {
        wish.max(self.recheck_interval.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_limits_and_patience_outlasts_two_of_them() {
        let seconds = Duration::from_secs;
        for (interval, in_force) in [
            (Duration::ZERO, StreamPolicy::SHORTEST_RECHECK_INTERVAL),
            (StreamPolicy::SHORTEST_RECHECK_INTERVAL, StreamPolicy::SHORTEST_RECHECK_INTERVAL),
            (seconds(7), seconds(7)),
            (seconds(61), seconds(60)),
        ] {
            assert_eq!(StreamPolicy::default().with_recheck_interval(interval).recheck_interval(), in_force);
        }
        let policy = StreamPolicy::default().with_recheck_interval(seconds(20));
        for (patience, in_force) in [(0, 40), (39, 40), (40, 40), (41, 41)] {
            assert_eq!(policy.with_patience(seconds(patience)).patience(), seconds(in_force));
        }
    }
}
