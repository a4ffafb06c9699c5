//! What holds of every token, key and key file: known answers, forgeries, limits, rotation.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod forged;
mod fuzz;
mod golden;
mod key_file;
mod known;
mod nonce;
mod ring;
mod round_trip;
mod size;
mod support;
