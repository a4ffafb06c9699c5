//! For how long, how many, how large: the rules a session is issued under.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::{Lifetime, Role, Timestamp};

/// The rules sessions are issued under. The defaults suit an ordinary application:
///
/// | rule | default |
/// |---|---|
/// | idle timeout | 30 minutes |
/// | absolute timeout | 12 hours |
/// | touch interval | 30 seconds |
/// | remember-me | idle 14 days, absolute 30 days |
/// | sessions of one principal | not limited |
/// | attributes | 4 KiB |
/// | tombstones are kept | 24 hours |
///
/// ```
/// use std::time::Duration;
/// use cloakroom_core::{Policy, Timeouts};
///
/// let policy = Policy::default().with_timeouts(Timeouts {
///     idle: Duration::from_secs(15 * 60),
///     absolute: Duration::from_secs(8 * 3600),
/// });
/// assert!(policy.check().is_ok());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    timeouts: Timeouts,
    touch_interval: Duration,
    tombstone_retention: Duration,
    limit: Option<SessionLimit>,
    attributes_max_bytes: usize,
    remember_me: Option<Timeouts>,
    roles: BTreeMap<Role, Timeouts>,
    rotate_every: Option<Duration>,
}

impl Policy {
    /// The limits NIST SP 800-63B-4 sets for an authentication assurance level (§2.1.3, §2.2.3, §2.3.3), all else as
    /// by default.
    ///
    /// Level 2 and 3 have no remember-me: a bearer secret that outlives the browser does not meet §5.1.
    #[must_use]
    pub fn preset(preset: AalPreset) -> Self {
        let policy = Self::default();
        match preset {
            AalPreset::Aal1 => policy,
            AalPreset::Aal2 | AalPreset::Aal3 => {
                Self { remember_me: None, ..policy }.with_timeouts(preset.ceiling())
            }
        }
    }

    /// The same policy with these timeouts for sessions that are not remembered.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// The same policy, writing activity down at most once per `interval`.
    ///
    /// A session may end up to one interval early, never late (promise G6).
    #[must_use]
    pub fn with_touch_interval(self, interval: Duration) -> Self {
        Self { touch_interval: interval, ..self }
    }

    /// The same policy, keeping tombstones for `retention`.
    #[must_use]
    pub fn with_tombstone_retention(self, retention: Duration) -> Self {
        Self { tombstone_retention: retention, ..self }
    }

    /// The same policy with this limit of sessions per principal; `None` for no limit.
    #[must_use]
    pub fn with_limit(self, limit: Option<SessionLimit>) -> Self {
        Self { limit, ..self }
    }

    /// The same policy with this limit for all attributes of a session together, in bytes of keys and encoded values.
    #[must_use]
    pub fn with_attributes_max_bytes(self, bytes: usize) -> Self {
        Self { attributes_max_bytes: bytes, ..self }
    }

    /// The same policy with these timeouts for remembered sessions; `None` remembers nobody.
    #[must_use]
    pub fn with_remember_me(self, timeouts: Option<Timeouts>) -> Self {
        Self { remember_me: timeouts, ..self }
    }

    /// The same policy with these timeouts for principals that have `role`.
    ///
    /// They only ever shorten: of all roles of a principal and the timeouts that would hold without any, remember-me
    /// included, the shortest idle and the shortest absolute timeout hold.
    #[must_use]
    pub fn with_role(mut self, role: Role, timeouts: Timeouts) -> Self {
        self.roles.insert(role, timeouts);
        self
    }

    /// The same policy, demanding a new token whenever one is as old as `interval`; `None` only rotates on events.
    #[must_use]
    pub fn with_rotate_every(self, interval: Option<Duration>) -> Self {
        Self { rotate_every: interval, ..self }
    }

    /// Checks that the rules can be kept together.
    ///
    /// # Errors
    /// The first [`PolicyError`] found.
    pub fn check(&self) -> Result<(), PolicyError> {
        let named = [("session", Some(self.timeouts)), ("session.remember_me", self.remember_me)];
        let roles = self.roles.iter().map(|(role, timeouts)| (format!("session.roles.{role}"), *timeouts));
        let named = named.into_iter().filter_map(|(name, timeouts)| Some((name.to_owned(), timeouts?)));
        for (place, timeouts) in named.chain(roles) {
            timeouts.check(&place)?;
            if self.touch_interval >= timeouts.idle {
                return Err(PolicyError::TouchIntervalTooLong {
                    place,
                    touch: self.touch_interval,
                    idle: timeouts.idle,
                });
            }
        }
        if self.tombstone_retention > MAX_TIMEOUT {
            return Err(PolicyError::TooLong { place: "session.tombstone_retention".to_owned() });
        }
        if self.attributes_max_bytes > ATTRIBUTES_CEILING_BYTES {
            return Err(PolicyError::AttributesTooLarge { bytes: self.attributes_max_bytes });
        }
        if self.rotate_every.is_some_and(|interval| interval < MIN_TIMEOUT) {
            return Err(PolicyError::TooShort { place: "session.rotate_every".to_owned() });
        }
        Ok(())
    }

    /// The lifetime of a session issued at `now` to somebody with `roles`.
    ///
    /// Asking to be remembered where the policy remembers nobody gives an ordinary session.
    #[must_use]
    pub fn lifetime(&self, roles: &[Role], wanted: Persistence, now: Timestamp) -> Lifetime {
        let (base, persistence) = match (wanted, self.remember_me) {
            (Persistence::Remembered, Some(timeouts)) => (timeouts, Persistence::Remembered),
            _ => (self.timeouts, Persistence::Browser),
        };
        let shortest =
            roles.iter().filter_map(|role| self.roles.get(role)).fold(base, |shortest, timeouts| Timeouts {
                idle: shortest.idle.min(timeouts.idle),
                absolute: shortest.absolute.min(timeouts.absolute),
            });
        Lifetime::new(shortest.idle, now.plus(shortest.absolute), self.tombstone_retention)
            .with_persistence(persistence)
    }

    /// Timeouts of sessions that are not remembered.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Timeouts of remembered sessions, where there are any.
    #[must_use]
    pub fn remember_me(&self) -> Option<Timeouts> {
        self.remember_me
    }

    /// Timeouts by role.
    #[must_use]
    pub fn roles(&self) -> &BTreeMap<Role, Timeouts> {
        &self.roles
    }

    /// How often activity is written down at most.
    #[must_use]
    pub fn touch_interval(&self) -> Duration {
        self.touch_interval
    }

    /// For how long tombstones are kept.
    #[must_use]
    pub fn tombstone_retention(&self) -> Duration {
        self.tombstone_retention
    }

    /// The limit of sessions per principal.
    #[must_use]
    pub fn limit(&self) -> Option<SessionLimit> {
        self.limit
    }

    /// The limit for all attributes of a session together.
    #[must_use]
    pub fn attributes_max_bytes(&self) -> usize {
        self.attributes_max_bytes
    }

    /// The age at which a token is exchanged for a new one.
    #[must_use]
    pub fn rotate_every(&self) -> Option<Duration> {
        self.rotate_every
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeouts: Timeouts { idle: minutes(30), absolute: hours(12) },
            touch_interval: Duration::from_secs(30),
            tombstone_retention: hours(24),
            limit: None,
            attributes_max_bytes: DEFAULT_ATTRIBUTES_MAX_BYTES,
            remember_me: Some(Timeouts { idle: hours(14 * 24), absolute: hours(30 * 24) }),
            roles: BTreeMap::new(),
            rotate_every: None,
        }
    }
}

/// The longest silence and the longest life of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Longest silence.
    pub idle: Duration,
    /// Longest life, extended by nothing.
    pub absolute: Duration,
}

impl Timeouts {
    fn check(self, place: &str) -> Result<(), PolicyError> {
        if self.idle < MIN_TIMEOUT || self.absolute < MIN_TIMEOUT {
            return Err(PolicyError::TooShort { place: place.to_owned() });
        }
        if self.idle > MAX_TIMEOUT || self.absolute > MAX_TIMEOUT {
            return Err(PolicyError::TooLong { place: place.to_owned() });
        }
        if self.idle > self.absolute {
            return Err(PolicyError::IdleExceedsAbsolute {
                place: place.to_owned(),
                idle: self.idle,
                absolute: self.absolute,
            });
        }
        Ok(())
    }
}

/// Whether a session's cookie ends with the browser or outlives it ("remember me").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Persistence {
    /// The cookie has no `Max-Age`.
    #[default]
    Browser,
    /// The cookie is kept until the session's absolute instant.
    Remembered,
}

/// How many live sessions a principal may have, and what happens to one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimit {
    /// Most live sessions of one principal.
    pub max: NonZeroU32,
    /// What happens when there would be more.
    pub on_limit: OnLimit,
}

/// What happens to a sign-in beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnLimit {
    /// The session issued first ends.
    #[default]
    EndOldest,
    /// The session unused for longest ends.
    EndIdlest,
    /// The sign-in is refused.
    Refuse,
}

/// The authentication assurance levels of NIST SP 800-63B-4, as limits on time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AalPreset {
    /// Overall timeout at most 30 days (§2.1.3).
    Aal1,
    /// Overall at most 24 hours, inactivity at most one hour (§2.2.3).
    Aal2,
    /// Overall at most 12 hours, inactivity at most 15 minutes (§2.3.3).
    Aal3,
}

impl AalPreset {
    /// The longest timeouts the level allows.
    #[must_use]
    pub const fn ceiling(self) -> Timeouts {
        match self {
            Self::Aal1 => Timeouts { idle: hours(30 * 24), absolute: hours(30 * 24) },
            Self::Aal2 => Timeouts { idle: hours(1), absolute: hours(24) },
            Self::Aal3 => Timeouts { idle: minutes(15), absolute: hours(12) },
        }
    }
}

/// Rules that cannot be kept together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A timeout is shorter than a second: nobody could use such a session.
    #[error("{place}: a timeout is shorter than one second")]
    TooShort {
        /// Where in the configuration.
        place: String,
    },
    /// A timeout is longer than ten years: such a session would never end.
    #[error("{place}: a timeout is longer than ten years")]
    TooLong {
        /// Where in the configuration.
        place: String,
    },
    /// The idle timeout could never be reached.
    #[error("{place}: idle_timeout ({idle:?}) is longer than absolute_timeout ({absolute:?})")]
    IdleExceedsAbsolute {
        /// Where in the configuration.
        place: String,
        /// The idle timeout.
        idle: Duration,
        /// The absolute timeout.
        absolute: Duration,
    },
    /// Activity would be written down too rarely to keep a session alive.
    #[error("{place}: touch_interval ({touch:?}) is not shorter than idle_timeout ({idle:?})")]
    TouchIntervalTooLong {
        /// Where in the configuration.
        place: String,
        /// The touch interval.
        touch: Duration,
        /// The idle timeout.
        idle: Duration,
    },
    /// Sessions of which no store keeps a record cannot be counted.
    #[error(
        "session.per_principal_max: sealed sessions cannot be counted, so their number cannot be limited; keep them in a store, or set no limit"
    )]
    LimitWithoutRecords,
    /// Sessions are no database.
    #[error("session.attributes_max_bytes ({bytes}) is more than 1 MiB")]
    AttributesTooLarge {
        /// The limit asked for.
        bytes: usize,
    },
}

/// Default limit for all attributes of a session together.
pub const DEFAULT_ATTRIBUTES_MAX_BYTES: usize = 4_096;

/// Above this, attributes belong into a database: every change of a session writes all of them.
const ATTRIBUTES_CEILING_BYTES: usize = 1 << 20;
/// Below a second, a session is over before its next request.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Ten years: beyond this an instant may leave the calendars of stores.
const MAX_TIMEOUT: Duration = hours(10 * 366 * 24);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn timeouts(idle: u64, absolute: u64) -> Timeouts {
        Timeouts { idle: minutes(idle), absolute: minutes(absolute) }
    }

    fn admin() -> Role {
        Role::new("admin").unwrap()
    }

    #[test]
    fn the_default_and_every_preset_can_be_kept() {
        for policy in [
            Policy::default(),
            Policy::preset(AalPreset::Aal1),
            Policy::preset(AalPreset::Aal2),
            Policy::preset(AalPreset::Aal3),
        ] {
            assert_eq!(policy.check(), Ok(()));
        }
    }

    #[test]
    fn presets_stay_within_the_ceiling_of_their_level() {
        for preset in [AalPreset::Aal1, AalPreset::Aal2, AalPreset::Aal3] {
            let policy = Policy::preset(preset);
            let ceiling = preset.ceiling();
            for timeouts in [Some(policy.timeouts()), policy.remember_me()].into_iter().flatten() {
                assert!(timeouts.idle <= ceiling.idle && timeouts.absolute <= ceiling.absolute, "{preset:?}");
            }
        }
    }

    #[test]
    fn rules_that_cannot_be_kept_together_are_refused() {
        let policy = Policy::default;
        for (policy, part) in [
            (policy().with_timeouts(timeouts(0, 10)), "shorter than one second"),
            (policy().with_timeouts(timeouts(11, 10)), "longer than absolute_timeout"),
            (policy().with_timeouts(timeouts(10, 10)).with_touch_interval(minutes(10)), "touch_interval"),
            (policy().with_role(admin(), timeouts(11, 10)), "session.roles.admin"),
            (policy().with_remember_me(Some(timeouts(11, 10))), "session.remember_me"),
            (policy().with_timeouts(Timeouts { idle: minutes(1), absolute: Duration::MAX }), "ten years"),
            (policy().with_attributes_max_bytes((1 << 20) + 1), "1 MiB"),
            (policy().with_rotate_every(Some(Duration::ZERO)), "rotate_every"),
        ] {
            let error = policy.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(policy().with_timeouts(timeouts(10, 10)).check(), Ok(()), "equal is possible");
        assert_eq!(policy().with_attributes_max_bytes(1 << 20).check(), Ok(()));
    }

    #[test]
    fn roles_only_ever_shorten_remembered_sessions_included() {
        let policy = Policy::default()
            .with_role(admin(), timeouts(5, 600))
            .with_role(Role::new("long").unwrap(), timeouts(60, 9_000));
        let lifetime = |roles: &[Role], wanted| policy.lifetime(roles, wanted, NOW);
        let remembered = lifetime(&[admin()], Persistence::Remembered);
        assert_eq!(
            (remembered.idle_timeout, remembered.absolute_expires_at),
            (minutes(5), NOW.plus(minutes(600)))
        );
        let long = lifetime(&[Role::new("long").unwrap()], Persistence::Browser);
        assert_eq!((long.idle_timeout, long.absolute_expires_at), (minutes(30), NOW.plus(hours(12))));
    }

    #[test]
    fn nobody_is_remembered_where_the_policy_says_so() {
        let policy = Policy::default().with_remember_me(None);
        let lifetime = policy.lifetime(&[], Persistence::Remembered, NOW);
        assert_eq!(lifetime.persistence, Persistence::Browser);
        assert_eq!(lifetime.idle_timeout, minutes(30));
    }
}
