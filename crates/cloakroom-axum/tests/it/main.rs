//! The layer in front of real routers, over a store in memory that counts, fails and waits as a test wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod allocation;
mod bearer;
mod confirming;
mod cookies;
mod forms;
mod frugal;
mod identity;
mod inspecting;
mod list;
#[cfg(feature = "ws")]
mod many;
mod outages;
mod races;
mod refusals;
mod sealed;
mod site;
#[cfg(feature = "ws")]
mod sockets;
mod streams;
