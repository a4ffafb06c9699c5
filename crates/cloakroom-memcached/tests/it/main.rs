//! What the conformance suite cannot ask of every store: servers that die, hang, forget and come back.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod arrival;
mod clock;
mod cost;
mod cut;
mod fleet;
mod forgotten;
mod halfway;
mod lost;
mod meter;
mod open;
mod partition;
mod stale;
mod sweep;
