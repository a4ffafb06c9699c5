//! By which rules signals are told from ordinary traffic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::Grades;

/// By which rules signals are told from ordinary traffic. The defaults fire on none of the recorded traces of ordinary
/// traffic in this crate's tests.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// What is done about each signal.
    pub grades: Grades,
    /// What is another network.
    pub network: NetworkRule,
    /// What nobody travels.
    pub travel: TravelRule,
    /// What is use from several places alternately.
    pub parallel: ParallelRule,
    /// What is ordinary right after an end or an exchange.
    pub grace: Grace,
    /// What is a burst of unknown tokens from an address.
    pub guessing: Guessing,
    /// What is a burst of failed sign-ins to an account.
    pub failures: Failures,
    /// What is a burst of sign-ins by a principal.
    pub sign_ins: SignIns,
    /// For how long the same signal of the same session or account is not told of again.
    pub repeats: Repeats,
}

/// What is another network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkRule {
    /// Leading bits in which two IPv4 addresses of one network agree.
    pub v4_prefix: u8,
    /// The same for IPv6.
    pub v6_prefix: u8,
    /// Whether devices move.
    pub roaming: Roaming,
}

/// Whether a device may come from another network than before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Roaming {
    /// A program that is the same, perhaps after an update, may change its network within its country, as phones and
    /// laptops do; where no database knows countries, anywhere.
    Allowed,
    /// Every change of network is a signal.
    Signal,
}

impl Default for NetworkRule {
    fn default() -> Self {
        // What a registry gives to a network's operator, roughly; a site has a /24 or a /48.
        Self { v4_prefix: 16, v6_prefix: 32, roaming: Roaming::Allowed }
    }
}

impl NetworkRule {
    /// Whether two addresses are of different networks, as far as their bits can tell: not for one of each family, since a
    /// device that has both uses both.
    #[must_use]
    pub fn tells_apart(&self, one: IpAddr, other: IpAddr) -> bool {
        let (one, other) = (one.to_canonical(), other.to_canonical());
        one.is_ipv4() == other.is_ipv4() && self.prefix_of(one) != self.prefix_of(other)
    }

    /// The first address of the network of `address`.
    pub(crate) fn prefix_of(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.v4_prefix.into())).unwrap_or(0);
                IpAddr::V4(v4 & Ipv4Addr::from_bits(mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.v6_prefix.into())).unwrap_or(0);
                IpAddr::V6(v6 & Ipv6Addr::from_bits(mask))
            }
        }
    }
}

/// What nobody travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TravelRule {
    /// Faster than this, in kilometres an hour.
    pub speed_kmh: u32,
    /// And farther than this, in kilometres: addresses are placed wrongly.
    pub distance_km: u32,
}

impl Default for TravelRule {
    fn default() -> Self {
        // An airliner with the wind behind it; and more than databases usually err by within a country.
        Self { speed_kmh: 1_000, distance_km: 500 }
    }
}

/// What is use from several places alternately.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParallelRule {
    /// So many times it came back to a place that it had left, with another program and from another network. For the same
    /// program, [`SAME_PROGRAM_FACTOR`](Self::SAME_PROGRAM_FACTOR) times as many: a phone at the edge of its Wi-Fi comes
    /// and goes.
    pub returns: u32,
    /// Within this time.
    pub window: Duration,
}

impl ParallelRule {
    /// See [`returns`](Self::returns).
    pub const SAME_PROGRAM_FACTOR: u32 = 8;
}

impl Default for ParallelRule {
    fn default() -> Self {
        Self { returns: 3, window: Duration::from_secs(600) }
    }
}

/// What is ordinary right after an end or an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grace {
    /// For how long requests with the token of an ended session may still be on their way, or be the first to learn of it.
    pub after_end: Duration,
    /// For how long requests with an exchanged token may still be on their way, from the device that exchanged it.
    pub after_exchange: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self { after_end: Duration::from_secs(60), after_exchange: Duration::from_secs(30) }
    }
}

/// More than so many in a window are a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// So many are none yet.
    pub count: u32,
    /// The window.
    pub window: Duration,
}

macro_rules! burst {
    ($(#[$doc:meta])* $name:ident, $count:literal in $seconds:literal, $why:literal) => {
        $(#[$doc])*
        #[doc = ""]
        #[doc = $why]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub Burst);

        impl Default for $name {
            fn default() -> Self {
                Self(Burst { count: $count, window: Duration::from_secs($seconds) })
            }
        }
    };
}

burst!(
    /// A burst of unknown tokens from an address (IPv6: a /64).
    Guessing, 1000 in 600,
    "After a store was emptied, each browser of an office comes once or twice with a token that nobody knows any more."
);
burst!(
    /// A burst of failed sign-ins to an account.
    Failures, 20 in 900,
    "People who forgot their password try some ten times."
);
burst!(
    /// A burst of sign-ins by a principal.
    SignIns, 20 in 600,
    "People sign in on some devices; programs that sign in for each call should keep their session."
);

/// For how long the same signal of the same session or account is not told of again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeats(pub Duration);

impl Default for Repeats {
    fn default() -> Self {
        Self(Duration::from_secs(24 * 3_600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_their_leading_bits() {
        let rule = NetworkRule::default();
        for (one, other, apart) in [
            ("203.0.113.9", "203.0.255.1", false),
            ("203.0.113.9", "203.1.113.9", true),
            ("2001:db8:1::1", "2001:db8:ffff::1", false),
            ("2001:db8::1", "2001:db9::1", true),
            ("::ffff:203.0.113.9", "203.0.1.1", false),
            ("203.0.113.9", "2001:db8::1", false),
        ] {
            assert_eq!(
                rule.tells_apart(one.parse().unwrap(), other.parse().unwrap()),
                apart,
                "{one} {other}"
            );
        }
        for (v4_prefix, v6_prefix, apart) in [(0, 0, false), (32, 128, true)] {
            let rule = NetworkRule { v4_prefix, v6_prefix, ..rule };
            assert_eq!(rule.tells_apart([0, 0, 0, 1].into(), [0, 0, 0, 2].into()), apart);
            assert_eq!(rule.tells_apart("::1".parse().unwrap(), "::2".parse().unwrap()), apart);
        }
    }
}
