//! The rules, one file for each verb.

mod get;
mod insert;
mod rekey;
mod replace;
mod touch;

use crate::case::Case;

/// Every rule there is.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    [get::CASES, insert::CASES, replace::CASES, rekey::CASES, touch::CASES].into_iter().flatten().copied()
}
