//! What end-to-end tests stand on: the real binary of the session server, real browsers, and a place for what they leave.
//!
//! A test gets a [`World`]: a server of its own, on its own port, with its own data. It opens as many [`Browser`]s as
//! its story has people, each with a fresh profile. Whatever happens to the test, every process it started ends with it,
//! by its id. Nothing here waits for a fixed time: it asks again until the answer is there, or says what it was waiting
//! for.
//!
//! What a test leaves behind lies under the test output ([`Output`]): screenshots, the server's data and logs, and the
//! secrets it used, so that `cargo xtask test` can search the former for the latter.

mod aftermath;
mod axe;
mod browser;
mod clock;
mod errand;
mod failure;
mod neighbour;
mod output;
mod process;
mod programs;
mod screens;
mod server;
mod world;

pub use browser::{Browser, Cookie, Profile, Scripts};
pub use clock::eventually;
pub use errand::Errand;
pub use failure::{Failure, Outcome};
pub use neighbour::Neighbour;
pub use output::Output;
pub use screens::{Screen, Theme};
pub use server::{Reply, Server};
pub use world::{World, alone, run};
