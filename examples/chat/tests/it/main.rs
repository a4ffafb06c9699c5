//! The chat's story: two nodes on one file, told over real connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod house;
mod story;
