//! The rules, one file for each verb.

mod get;

use crate::case::Case;

/// Every rule there is.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    [get::CASES].into_iter().flatten().copied()
}
