//! What can only be shown from outside: browsers' own rules, the whole matrix, and the allocator's count.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod allocation;
mod origin_matrix;
mod user_agent;
