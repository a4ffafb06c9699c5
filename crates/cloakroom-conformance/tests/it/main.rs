//! The suite tested: it passes what is right and finds what is wrong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are not marked as tests")]

mod golden;
mod lists;
mod reference;
mod sabotage;
mod wrappers;
