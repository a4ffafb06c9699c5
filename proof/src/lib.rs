//! The promise of reach (G5) on real servers: every acceptance of every node is written down and judged.
//!
//! A [`run`](run::run) has one store, some nodes and a driver. A node is a process of its own that uses the library as an
//! application would and validates a handful of tokens again and again; it writes each answer down with the instants at
//! which it was asked for and given. The driver signs people in and ends their sessions, directly or through a node, and
//! writes down when each end was acknowledged. All instants are readings of the machine's one monotonic clock. Meanwhile
//! somebody does violence to servers, links and nodes. Afterwards [`law`] compares.

use std::error::Error;

pub mod clock;
pub mod crew;
pub mod law;
pub mod ledger;
pub mod node;
pub mod record;
pub mod report;
pub mod run;
pub mod stores;
pub mod work;

/// What can go wrong here ends the run, and is shown to whoever started it.
pub type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
