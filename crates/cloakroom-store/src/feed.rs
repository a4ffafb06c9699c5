//! News of what changes in a store, for whoever keeps a copy.

use std::fmt::{self, Debug};

use cloakroom_core::{Route, TokenDigest};

use crate::StoreFuture;

/// Told by a store of what changes in it ([`Store::watch`](crate::Store::watch)).
pub trait Observer: Debug + Send + Sync + 'static {
    /// Takes news. Called in the order in which things happened, one call at a time for each part: possibly on the task
    /// of whoever made the change, before they have their answer. It must not block, must not call the store, and
    /// must not fail.
    fn told(&self, news: News<'_>);
}

/// What a feed tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum News<'a> {
    /// What is filed under each of these digests may be another record by now, or have ended.
    Changed(&'a [TokenDigest]),
    /// Anything in these parts may have changed or ended: everything was ended at once, or the feed was interrupted and
    /// nobody knows what was missed.
    Anything(Parts),
}

/// The way by which a store's news come, for as long as it lives; dropping it ends the watch.
///
/// A feed that is interrupted heals by itself: it tells [`News::Anything`] of what it covered, then covers it anew.
pub trait Feed: Debug + Send + Sync + 'static {
    /// Proves that the feed is alive and caught up; answers for which parts.
    ///
    /// When this answers a part, then the observer has been told, before, of every change in it whose verb had returned
    /// on any node before this was *called*; and it will be told of every later one, or be told
    /// [`News::Anything`] of the part. That holds whatever happens to connections, nodes or the store: where it cannot be
    /// known, the part is not answered.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError) where no part could be proven.
    ///
    /// # Cost
    /// One round trip to each server that keeps sessions, on the way by which the news come, not counted as a read.
    ///
    /// # Security
    /// That an ended session is refused everywhere within a lease rests on this answer alone.
    fn prove(&self) -> StoreFuture<'_, Parts>;
}

/// Some of the 256 parts that sessions fall into by the first byte of their route. All sessions of a principal, under
/// whatever token, are in one part.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts([u64; 4]);

impl Parts {
    /// How many parts there are.
    pub const COUNT: usize = 256;
    /// Every part.
    pub const ALL: Self = Self([u64::MAX; 4]);
    /// No part.
    pub const NONE: Self = Self([0; 4]);

    /// The number of the part that sessions with this route are in.
    #[must_use]
    pub const fn number_of(route: Route) -> u8 {
        let [first, _] = *route.as_bytes();
        first
    }

    /// The one part with this number.
    #[must_use]
    pub fn one(number: u8) -> Self {
        Self::NONE.with(number)
    }

    /// These parts and the one with this number.
    #[must_use]
    pub fn with(mut self, number: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(number / 64)) {
            *word |= 1 << (number % 64);
        }
        self
    }

    /// Whether the part with this number is among them.
    #[must_use]
    pub fn contains(self, number: u8) -> bool {
        self.0.get(usize::from(number / 64)).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
    }

    /// What is in these and not in the others.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self.intersection(Self(other.0.map(|word| !word)))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The numbers of these parts, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |number| self.contains(*number))
    }
}

impl FromIterator<u8> for Parts {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("Parts(all)"),
            Self::NONE => f.write_str("Parts(none)"),
            some => write!(f, "Parts({:?})", some.numbers().collect::<Vec<_>>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_sets_of_numbers() {
        let some: Parts = [0, 63, 64, 200, 255].into_iter().collect();
        assert_eq!(some.numbers().collect::<Vec<_>>(), [0, 63, 64, 200, 255]);
        assert!(some.contains(64) && !some.contains(65));
        assert_eq!(some.without(Parts::one(64)).numbers().collect::<Vec<_>>(), [0, 63, 200, 255]);
        assert_eq!(some.intersection(Parts::one(7).with(200)), Parts::one(200));
        assert_eq!(Parts::one(1).union(Parts::one(2)), [2, 1].into_iter().collect());
        assert_eq!((0..=u8::MAX).collect::<Parts>(), Parts::ALL);
        assert!(Parts::ALL.without(Parts::ALL).is_empty());
        assert_eq!(
            format!("{some:?} {:?} {:?}", Parts::ALL, Parts::NONE),
            "Parts([0, 63, 64, 200, 255]) Parts(all) Parts(none)"
        );
    }

    #[test]
    fn a_principals_sessions_are_in_the_part_of_the_first_byte_of_their_route() {
        assert_eq!(Parts::number_of(Route::from_bytes([7, 9])), 7);
    }
}
