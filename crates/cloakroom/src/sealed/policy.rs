//! What may be chosen for sessions that travel in their tokens.

use std::time::Duration;

use cloakroom_core::{Policy, Timeouts};

/// How strictly sealed sessions are kept.
///
/// ```
/// use cloakroom::{Replay, SealedPolicy, WhenUnreachable};
///
/// let policy = SealedPolicy::default();
/// assert_eq!(policy.when_unreachable(), WhenUnreachable::Closed);
/// assert_eq!(policy.replay(), Replay::Rotations);
/// ```
///
/// # Security
/// All nodes that share keys need the same: the weakest of them is what holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SealedPolicy {
    when_unreachable: WhenUnreachable,
    replay: Replay,
    longest_life: Duration,
}

/// What becomes of requests while the list of ends cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum WhenUnreachable {
    /// Once a lease has passed, they are answered with "unavailable".
    #[default]
    Closed,
    /// They go on, by what was last known of the list: a session that is ended meanwhile, on another node, is accepted here for
    /// as long as the list cannot be read. So is what this node rotates.
    Open,
}

/// Which older copies of a token are refused, beside those of sessions that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Replay {
    /// Those from before the token was exchanged. A copy from before a change of attributes brings the session back as it
    /// was then.
    #[default]
    Rotations,
    /// Also those from before a change, where somebody is signed in: one round trip for each change.
    Changes,
}

impl SealedPolicy {
    /// The same, doing this while the list cannot be read.
    #[must_use]
    pub fn with_when_unreachable(self, when_unreachable: WhenUnreachable) -> Self {
        Self { when_unreachable, ..self }
    }

    /// The same, refusing these copies.
    #[must_use]
    pub fn with_replay(self, replay: Replay) -> Self {
        Self { replay, ..self }
    }

    /// The same, for tokens that may live for so long, where that is more than 400 days and than the longest absolute timeout of the
    /// policy.
    ///
    /// Ends are remembered for the longest life of any token, and no token is accepted for longer. 400 days are the least, so that
    /// nobody comes back who was ended under a stricter policy than that of their token, or by a command that was run with another
    /// configuration.
    #[must_use]
    pub fn with_longest_life(self, longest_life: Duration) -> Self {
        Self { longest_life, ..self }
    }

    /// What becomes of requests while the list cannot be read.
    #[must_use]
    pub const fn when_unreachable(&self) -> WhenUnreachable {
        self.when_unreachable
    }

    /// Which older copies are refused.
    #[must_use]
    pub const fn replay(&self) -> Replay {
        self.replay
    }

    /// How long any token can live, and its end is remembered, where sessions are issued under `policy`.
    #[must_use]
    pub fn longest_life(&self, policy: &Policy) -> Duration {
        let remembered = policy.remember_me().map_or(Duration::ZERO, absolute);
        self.longest_life.max(absolute(policy.timeouts())).max(remembered).max(LEAST_LIFE)
    }
}

fn absolute(timeouts: Timeouts) -> Duration {
    timeouts.absolute
}

/// Browsers keep no cookie for longer (RFC 6265bis §5.5); whatever policy there once was, few tokens outlive it.
const LEAST_LIFE: Duration = Duration::from_secs(400 * 86_400);
