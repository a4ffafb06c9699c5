//! What is kept on a server, and how it is written.

pub(crate) mod directory;
pub(crate) mod epochs;
pub(crate) mod filed;
pub(crate) mod keys;
pub(crate) mod ledger;
mod wire;
