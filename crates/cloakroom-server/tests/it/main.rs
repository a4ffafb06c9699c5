//! The server from outside: the real binary, real files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test by panicking, as the tests themselves do"
)]

mod audit;
mod cli;
mod keys;
mod moving;
mod operator;
mod servers;
#[cfg(feature = "otlp")]
mod telemetry;
mod tls;
mod web;
