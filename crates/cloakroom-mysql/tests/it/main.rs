//! What only a real server shows: faults, locks, limits, costs, migrations, rights.

#![expect(
    clippy::unwrap_used,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod clock;
mod cost;
mod faults;
mod full_disk;
mod limit;
mod lists;
mod locks;
mod migrate;
mod read_only;
mod support;
mod tls;
mod upgrade;
