//! Records, digests and principals for tests: made up, different from each other, and the same in every run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, EndReason, Lifetime, Method, Principal, PrincipalId,
    Role, Route, SessionId, SessionRecord, SessionToken, Timestamp, TokenDigest, Tombstone,
};
use cloakroom_store::{Live, Version};

/// When sessions of [`Fixtures`] are issued unless a test says otherwise; an ordinary day.
pub const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Their idle timeout. Short, so that tables around an instant are readable; clocks are arguments.
pub const IDLE: Duration = Duration::from_millis(1_000);
/// Their absolute timeout.
pub const LIFE: Duration = Duration::from_millis(10_000);
/// For how long what is left of them is kept.
pub const RETENTION: Duration = Duration::from_millis(5_000);

/// The instant `millis` milliseconds after [`T0`].
#[must_use]
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(T0.as_millis().saturating_add(millis))
}

/// The id of a principal called `name`.
///
/// # Panics
/// Where `name` cannot be one.
#[must_use]
pub fn principal_id(name: &str) -> PrincipalId {
    PrincipalId::new(name).expect("tests name principals within the limits")
}

/// Numbers that look random and are the same for the same seed (SplitMix64, Steele, Lea and Flood 2014): data for
/// tests needs to differ, not to be secret, and eight lines are less than a dependency.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let number = self.next_u64().to_le_bytes();
            chunk.iter_mut().zip(number).for_each(|(byte, random)| *byte = random);
        }
        bytes
    }
}

/// A source of sessions to file, each with an id and a digest of its own.
#[derive(Clone, Debug)]
pub struct Fixtures {
    random: Seeded,
}

impl Fixtures {
    /// The sessions of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: Seeded::new(seed) }
    }

    /// A session in which nobody is signed in.
    pub fn anonymous(&mut self) -> Filing {
        let route = Route::from_bytes(self.random.bytes());
        self.filing(route)
    }

    /// A session of the principal called `name`.
    ///
    /// # Panics
    /// Where `name` cannot be the id of a principal.
    pub fn signed_in(&mut self, name: &str) -> Filing {
        let id = principal_id(name);
        let mut filing = self.filing(Route::of_principal(&id));
        filing.record.principal = Some(Arc::new(Principal::new(id)));
        filing.record.authentication =
            Some(Box::new(Authentication::new(AuthLevel::One, Method::password(), T0)));
        filing
    }

    /// A digest that no other call returns, of a token with this route.
    pub fn digest(&mut self, route: Route) -> TokenDigest {
        SessionToken::from_random(route, self.random.bytes()).digest()
    }

    /// An id that no other call returns, with this route.
    pub fn session_id(&mut self, route: Route) -> SessionId {
        SessionId::from_random(route, self.random.bytes())
    }

    /// A digest for the next token of `filing`'s session.
    pub fn next_digest(&mut self, filing: &Filing) -> TokenDigest {
        self.digest(filing.record.id.route())
    }

    fn filing(&mut self, route: Route) -> Filing {
        let id = self.session_id(route);
        let lifetime = Lifetime::new(IDLE, T0.plus(LIFE), RETENTION);
        Filing { record: SessionRecord::new(id, T0, lifetime), digest: self.digest(route) }
    }
}

/// A session as it is filed: a record, and the digest it is filed under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filing {
    /// The record.
    pub record: SessionRecord,
    /// What it is filed under.
    pub digest: TokenDigest,
}

impl Filing {
    /// The same, issued at `instant`, with the absolute timeout moved along.
    #[must_use]
    pub fn issued_at(mut self, instant: Timestamp) -> Self {
        let life = self.record.lifetime.absolute_expires_at.since(self.record.created_at);
        self.record.created_at = instant;
        self.record.rotated_at = instant;
        self.with_absolute_at(instant.plus(life))
    }

    /// The same with this idle timeout.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.record.lifetime.idle_timeout = timeout;
        self
    }

    /// The same with this absolute instant.
    #[must_use]
    pub fn with_absolute_at(mut self, instant: Timestamp) -> Self {
        self.record.lifetime.absolute_expires_at = instant;
        self
    }

    /// The same with this retention.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.record.lifetime.tombstone_retention = retention;
        self
    }

    /// The same session under its next token, as handed out at `now`.
    #[must_use]
    pub fn rotated(&self, digest: TokenDigest, now: Timestamp) -> Self {
        let mut record = self.record.clone();
        record.rotated_at = now;
        Self { record, digest }
    }

    /// The same, issued to this address.
    #[must_use]
    pub fn with_ip(mut self, ip: impl Into<IpAddr>) -> Self {
        self.record.device = Some(Box::new(Device::new().with_ip(ip.into()).with_user_agent("test/1")));
        self
    }

    /// The same with these roles, where it has a principal.
    ///
    /// # Panics
    /// Where a name cannot be a role.
    #[must_use]
    pub fn with_roles(mut self, names: &[&str]) -> Self {
        let roles = names.iter().map(|name| Role::new(name).expect("tests name roles within the limits"));
        if let Some(principal) = &mut self.record.principal {
            let with_roles = Principal::clone(principal).with_roles(roles);
            *principal = Arc::new(with_roles.expect("tests give roles within the limits"));
        }
        self
    }

    /// The same with these bytes as an attribute.
    ///
    /// # Panics
    /// Where `key` cannot be the key of an attribute.
    #[must_use]
    pub fn with_attribute(mut self, key: &str, bytes: impl Into<Box<[u8]>>) -> Self {
        let key = AttributeKey::new(key).expect("tests name attributes within the limits");
        self.record.attributes.insert_bytes(key, bytes.into());
        self
    }

    /// The public id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.record.id
    }

    /// The id of its principal.
    #[must_use]
    pub fn principal(&self) -> Option<PrincipalId> {
        self.record.principal.as_ref().map(|principal| principal.id().clone())
    }

    /// How a store answers for it as long as nothing but its insertion has happened.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live_seen(self.record.created_at)
    }

    /// How a store answers for it as long as nothing but activity has happened, the last time at `last_seen_at`.
    #[must_use]
    pub fn live_seen(&self, last_seen_at: Timestamp) -> Live {
        Live { record: Arc::new(self.record.clone()), version: Version::FIRST, last_seen_at }
    }

    /// What is left of it after it ended.
    #[must_use]
    pub fn tombstone(&self, reason: EndReason, ended_at: Timestamp) -> Tombstone {
        Tombstone { session: self.record.id, principal: self.principal(), ended_at, reason }
    }
}
