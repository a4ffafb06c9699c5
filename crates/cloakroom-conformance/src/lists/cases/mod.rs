//! The rules, one file for each promise.

#![expect(
    clippy::indexing_slicing,
    reason = "a case that finds fewer entries than it added fails, there or later"
)]

mod add;
mod changed;
mod corrupt;
mod durable;
mod lost;
mod prune;
mod race;
mod read;
mod shared;

use super::Case;

/// Every rule there is.
pub(super) const FILES: &[&[Case]] = &[
    add::CASES,
    read::CASES,
    lost::CASES,
    prune::CASES,
    race::CASES,
    shared::CASES,
    shared::NOT,
    durable::CASES,
    durable::NOT,
    corrupt::CASES,
    corrupt::DURABLE,
    changed::CASES,
    changed::TELLS,
    changed::NOT,
];
