//! What the conformance suite cannot ask of every store: real faults, statements as the server counts them, plans,
//! migrations, rights, TLS.

#![expect(
    clippy::unwrap_used,
    reason = "every function here is part of a test, which the lints cannot see without #[test]"
)]

mod clock;
mod cost;
mod disk;
mod facts;
mod faults;
mod feed;
mod feed_faults;
mod full_disk;
mod judgement;
mod limit;
mod lists;
mod locks;
mod migrate;
mod plans;
mod read_only;
mod support;
mod tls;
mod upgrade;
