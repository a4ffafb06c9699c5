//! What is known of addresses, and which of them are of one network.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bounded::Bounded;
use crate::rules::NetworkRule;
use crate::{Place, Places};

/// What is known of addresses. Looks each of them up once, as long as it remembers.
#[derive(Debug)]
pub(crate) struct Geography {
    rule: NetworkRule,
    places: Option<Arc<dyn Places>>,
    found: Mutex<Bounded<IpAddr, Place>>,
}

/// Two addresses, compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Moved {
    /// One network, as far as anybody knows.
    No,
    /// Different networks.
    Within(Place, Place),
    /// Different countries.
    Abroad(Place, Place),
}

impl Geography {
    pub(crate) fn new(rule: NetworkRule, places: Option<Arc<dyn Places>>) -> Self {
        Self { rule, places, found: Mutex::new(Bounded::new(MAX_PLACES)) }
    }

    /// Whether anything is known but the addresses themselves.
    pub(crate) fn knows_places(&self) -> bool {
        self.places.is_some()
    }

    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let Some(places) = &self.places else { return Place::default() };
        if let Some(place) = self.found.lock().get(&address) {
            return *place;
        }
        let place = places.find(address);
        self.found.lock().insert(address, place, |_| 0);
        place
    }

    pub(crate) fn moved(&self, proven: Option<IpAddr>, present: Option<IpAddr>) -> Moved {
        let (Some(proven), Some(present)) = (proven, present) else { return Moved::No };
        if proven == present {
            return Moved::No;
        }
        let (from, to) = (self.place(proven), self.place(present));
        match (from.country.zip(to.country), from.network.zip(to.network)) {
            (Some((from_country, to_country)), _) if from_country != to_country => Moved::Abroad(from, to),
            (_, Some((one, other))) if one == other => Moved::No,
            (_, Some(_)) => Moved::Within(from, to),
            (_, None) if self.rule.tells_apart(proven, present) => Moved::Within(from, to),
            (_, None) => Moved::No,
        }
    }

    pub(crate) fn is_apart(&self, one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
        self.moved(one, other) != Moved::No
    }

    /// A number for the network of `ip`, which is in `place`.
    pub(crate) fn number(&self, ip: Option<IpAddr>, place: Place, hasher: &RandomState) -> u64 {
        match place.network {
            Some(network) => hasher.hash_one(network),
            None => hasher.hash_one(ip.map(|ip| self.rule.prefix_of(ip))),
        }
    }
}

/// The addresses that one customer of a network has: an IPv4 address, or an IPv6 /64.
pub(crate) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(v6 & Ipv6Addr::from_bits(u128::MAX << 64)),
        v4 => v4,
    }
}

/// Addresses whose place is remembered: 64 bytes each.
const MAX_PLACES: usize = 8_192;
