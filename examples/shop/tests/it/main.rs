//! The shop's story, told by requests.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod browser;
mod story;
