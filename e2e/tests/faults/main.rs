//! The server killed in the middle of its work, its sessions moved under it, and clients that mean it no good.

#![expect(clippy::indexing_slicing, reason = "JSON that lacks a member has null there")]

mod audit;
mod connections;
mod failover;
mod guest;
mod kills;
mod moving;
mod parts;
mod sealed;
mod stores;
