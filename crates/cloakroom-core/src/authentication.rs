//! How, and when, a principal proved who they are.

use std::fmt;
use std::time::Duration;

use crate::name::Name;
use crate::principal::InvalidName;
use crate::{Role, Timestamp};

/// A way to prove identity, named as the application names it: `password`, `totp`, `passkey`, `oidc`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Method(Name);

impl Method {
    /// The method of this name (the rules of [`Role`] apply).
    ///
    /// # Errors
    /// [`InvalidName`] where it is empty, longer than 64 bytes, or has control characters, white space or commas.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        Role::new(name).map(|checked| Self(checked.as_str().into()))
    }

    /// A memorised secret checked by the server.
    #[must_use]
    pub fn password() -> Self {
        Self("password".into())
    }

    /// The name of this method.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A method, and the instant it last succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MethodUse {
    /// What was used.
    pub method: Method,
    /// When it succeeded.
    pub at: Timestamp,
}

/// How strong a proof was, in the steps of NIST SP 800-63B-4 (AAL 1 to 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum AuthLevel {
    /// One factor.
    #[default]
    One,
    /// Two factors.
    Two,
    /// Two factors, one of them hardware that resists phishing.
    Three,
}

impl AuthLevel {
    /// 1, 2 or 3.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The level of this number, where there is one.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            _ => None,
        }
    }
}

/// How a principal proved who they are: the level reached, and each method with the instant it last succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authentication {
    level: AuthLevel,
    methods: Methods,
}

/// The one method that most proofs have is in place, without an allocation of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Methods {
    One([MethodUse; 1]),
    /// Two at least.
    More(Vec<MethodUse>),
}

impl Authentication {
    /// A proof by one method. The level is what the caller says it is: the engine cannot know.
    #[must_use]
    pub fn new(level: AuthLevel, method: Method, at: Timestamp) -> Self {
        Self { level, methods: Methods::One([MethodUse { method, at }]) }
    }

    /// A proof by these methods, as a store kept them or an identity provider told them.
    ///
    /// `None` where there is no method: somebody who proved nothing is anonymous.
    #[must_use]
    pub fn from_methods(level: AuthLevel, methods: Vec<MethodUse>) -> Option<Self> {
        if methods.is_empty() {
            return None;
        }
        let methods = <[MethodUse; 1]>::try_from(methods).map_or_else(Methods::More, Methods::One);
        Some(Self { level, methods })
    }

    /// The same, after `method` succeeded (again) at `at`. The level never falls, and rises to `level`.
    #[must_use]
    pub fn and(mut self, level: AuthLevel, method: Method, at: Timestamp) -> Self {
        self.level = self.level.max(level);
        let uses = match &mut self.methods {
            Methods::One(one) => one.as_mut_slice(),
            Methods::More(more) => more,
        };
        match uses.iter_mut().find(|used| used.method == method) {
            Some(used) => used.at = used.at.max(at),
            None => self.methods = self.methods.with(MethodUse { method, at }),
        }
        self
    }

    /// The level reached.
    #[must_use]
    pub fn level(&self) -> AuthLevel {
        self.level
    }

    /// The methods used, in the order of their first use.
    #[must_use]
    pub fn methods(&self) -> &[MethodUse] {
        match &self.methods {
            Methods::One(one) => one,
            Methods::More(more) => more,
        }
    }

    /// The instant of the latest proof.
    #[must_use]
    pub fn authenticated_at(&self) -> Timestamp {
        self.methods().iter().map(|used| used.at).max().unwrap_or(Timestamp::EPOCH)
    }

    /// Whether this proof meets `demand` at `now`.
    ///
    /// A proof is fresh strictly before `within` has passed, and a proof from the future (a clock stepped back) counts
    /// as just given.
    #[must_use]
    pub fn meets(&self, demand: &FreshnessDemand, now: Timestamp) -> bool {
        let at = match &demand.method {
            None => Some(self.authenticated_at()),
            Some(method) => self.methods().iter().find(|used| used.method == *method).map(|used| used.at),
        };
        at.is_some_and(|at| now.since(at) < demand.within) && self.level >= demand.level
    }
}

impl Methods {
    fn with(self, used: MethodUse) -> Self {
        let mut more = match self {
            Self::One(one) => Vec::from(one),
            Self::More(more) => more,
        };
        more.push(used);
        Self::More(more)
    }
}

/// What a sensitive action asks of the proof of identity (ASVS 7.5.1, 7.5.3).
///
/// ```
/// use std::time::Duration;
/// use cloakroom_core::{AuthLevel, Authentication, FreshnessDemand, Method, Timestamp};
///
/// let proof = Authentication::new(AuthLevel::One, Method::password(), Timestamp::from_millis(0));
/// let demand = FreshnessDemand::within(Duration::from_secs(300));
/// assert!(proof.meets(&demand, Timestamp::from_millis(299_999)));
/// assert!(!proof.meets(&demand, Timestamp::from_millis(300_000)));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FreshnessDemand {
    within: Duration,
    method: Option<Method>,
    level: AuthLevel,
}

impl FreshnessDemand {
    /// A proof by any method, younger than `within`.
    #[must_use]
    pub fn within(within: Duration) -> Self {
        Self { within, method: None, level: AuthLevel::One }
    }

    /// The same, but only this method counts.
    #[must_use]
    pub fn by(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// The same, and at least this level.
    #[must_use]
    pub fn at_level(self, level: AuthLevel) -> Self {
        Self { level, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn totp() -> Method {
        Method::new("totp").unwrap()
    }

    #[test]
    fn freshness_ends_at_the_instant() {
        let proof = Authentication::new(AuthLevel::One, Method::password(), at(100));
        let demand = FreshnessDemand::within(Duration::from_secs(60));
        for (now, fresh) in
            [(at(99), true), (at(100), true), (at(159), true), (at(160), false), (at(161), false)]
        {
            assert_eq!(proof.meets(&demand, now), fresh, "{now}");
        }
    }

    #[test]
    fn a_demand_for_a_method_or_a_level_is_not_met_by_another() {
        let proof = Authentication::new(AuthLevel::One, Method::password(), at(100));
        let minute = FreshnessDemand::within(Duration::from_secs(60));
        assert!(!proof.meets(&minute.clone().by(totp()), at(100)));
        assert!(!proof.meets(&minute.clone().at_level(AuthLevel::Two), at(100)));
        let both = proof.and(AuthLevel::Two, totp(), at(200));
        assert!(both.meets(&minute.clone().by(totp()).at_level(AuthLevel::Two), at(259)));
        assert!(!both.meets(&minute.clone().by(Method::password()), at(259)), "the password is stale");
        assert!(both.meets(&minute, at(259)), "any method will do");
    }

    #[test]
    fn proving_again_renews_the_method_and_never_lowers_the_level() {
        let proof = Authentication::new(AuthLevel::Two, totp(), at(1))
            .and(AuthLevel::One, Method::password(), at(5))
            .and(AuthLevel::One, totp(), at(3));
        assert_eq!(proof.level(), AuthLevel::Two);
        assert_eq!(proof.methods().len(), 2);
        assert_eq!(proof.authenticated_at(), at(5));
        assert_eq!(proof.methods()[0].at, at(3));
    }

    #[test]
    fn nobody_is_authenticated_by_nothing() {
        assert_eq!(Authentication::from_methods(AuthLevel::One, vec![]), None);
    }

    #[test]
    fn a_proof_equals_the_one_made_of_its_methods() {
        let one = Authentication::new(AuthLevel::One, totp(), at(1));
        let two = one.clone().and(AuthLevel::Two, Method::password(), at(2));
        for proof in [one, two] {
            let again = Authentication::from_methods(proof.level(), proof.methods().to_vec());
            assert_eq!(again, Some(proof));
        }
    }
}
