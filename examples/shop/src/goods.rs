//! What is on the shelf, and what somebody took from it.

use std::collections::BTreeMap;
use std::fmt;

use cloakroom::Attribute;
use serde::{Deserialize, Serialize};

/// The cart, in the session: before sign-in as well as after.
pub const CART: Attribute<Cart> = Attribute::new("cart");

/// What somebody is about to buy: how many of each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cart {
    items: BTreeMap<String, u32>,
}

/// Something to buy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Article {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) price: Price,
}

/// An amount of money, in cents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price(u32);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Everything there is.
pub(crate) const SHELF: [Article; 3] = [
    Article { id: "umbrella", name: "Umbrella", price: Price(2_450) },
    Article { id: "overcoat", name: "Overcoat", price: Price(18_900) },
    Article { id: "hatbox", name: "Hatbox", price: Price(3_200) },
];

/// Most pieces of one article in a cart.
const PIECES_MAX: u32 = 99;

/// A line of a cart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) article: Article,
    pub(crate) pieces: u32,
}

impl Article {
    pub(crate) fn find(id: &str) -> Option<Self> {
        SHELF.into_iter().find(|article| article.id == id)
    }
}

impl Cart {
    /// One piece more, up to a limit.
    pub(crate) fn add(&mut self, article: Article) {
        let pieces = self.items.entry(article.id.to_owned()).or_default();
        *pieces = (*pieces + 1).min(PIECES_MAX);
    }

    /// All of its pieces back onto the shelf.
    pub(crate) fn put_back(&mut self, article: Article) {
        self.items.remove(article.id);
    }

    /// What is in it, as far as the shelf still has it.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let line =
            |(id, pieces): (&String, &u32)| Some(Line { article: Article::find(id)?, pieces: *pieces });
        self.items.iter().filter_map(line).collect()
    }

    /// How many pieces there are.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.lines().iter().map(|line| line.pieces).sum()
    }

    /// What it costs.
    pub(crate) fn total(&self) -> Price {
        Price(self.lines().iter().map(|line| line.pieces * line.article.price.0).sum())
    }
}
