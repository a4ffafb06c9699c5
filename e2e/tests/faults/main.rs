//! The server killed in the middle of its work.

mod connections;
mod guest;
mod kills;
