//! Names of items.

use std::fmt::Write as _;

use cloakroom_core::{Route, SessionId, TokenDigest};

/// Names of this store's items on any server: the prefix, a letter, and what it is about in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Who lives on a route.
    pub(crate) fn ledger(&self, route: Route) -> String {
        self.named('l', route.as_bytes())
    }

    /// The record filed under a digest, or what is left of it.
    pub(crate) fn record(&self, digest: TokenDigest) -> String {
        self.named('r', &digest.to_bytes())
    }

    /// That an id was used.
    pub(crate) fn id(&self, id: SessionId) -> String {
        self.named('i', id.as_bytes())
    }

    /// The server's era, and its ends of everything.
    pub(crate) fn epochs(&self) -> String {
        self.named('e', &[])
    }

    /// Which of 1 024 routes have ledgers.
    pub(crate) fn directory(&self, page: u8) -> String {
        self.named('d', &[page])
    }

    /// Who sweeps the server.
    pub(crate) fn lease(&self) -> String {
        self.named('s', &[])
    }

    /// What is added to find out whether anything can be.
    pub(crate) fn probe(&self) -> String {
        self.named('p', &[])
    }

    fn named(&self, kind: char, about: &[u8]) -> String {
        let mut key = String::with_capacity(self.prefix.len() + 1 + 2 * about.len());
        key.push_str(&self.prefix);
        key.push(kind);
        for byte in about {
            // Writing to a string never fails.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use cloakroom_core::SessionToken;

    use super::*;
    use crate::options::LONGEST_PREFIX;

    #[test]
    fn keys_are_within_what_memcached_takes_and_never_change() {
        let keys = Keys::new(&"p".repeat(LONGEST_PREFIX));
        let route = Route::from_bytes([0xAB, 0x01]);
        let digest = SessionToken::from_random(route, [7; 32]).digest();
        assert!(keys.record(digest).len() <= 250);
        let keys = Keys::new("shop:");
        assert_eq!(keys.ledger(route), "shop:lab01");
        assert_eq!(keys.id(SessionId::from_random(route, [1; 14])), format!("shop:iab01{}", "01".repeat(14)));
        assert_eq!((keys.epochs().as_str(), keys.directory(63).as_str()), ("shop:e", "shop:d3f"));
        assert!(keys.record(digest).starts_with("shop:rab01"));
    }
}
