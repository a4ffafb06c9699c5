//! What the programs have in common: how they are started, where they listen, and what they answer.
//!
//! Every program answers the same five requests, and the answer can only be right if the session was really read or
//! written:
//!
//! | request | answer |
//! |---|---|
//! | `GET /hello` | [`HELLO`]; no session is asked for |
//! | `POST /sign-in?NAME` | `hello, NAME`; a session of NAME begins, with a new token |
//! | `GET /read` | `hello, NAME`, as it is in the session; 401 without one |
//! | `POST /write` | how often the session was written to, this time included; 401 without one |
//! | `POST /rotate` | the same, and the session gets a new token |

mod allocator;
mod arguments;
mod inside;
mod serving;

pub use self::allocator::{Counted, Counting, counted};
pub use self::arguments::Arguments;
pub use self::inside::inside;
pub use self::serving::{announce, input_ends, pin, serve};

/// What an answer is that has nothing to do with sessions: as long as those that have.
pub const HELLO: &str = "hello, user-0000000";

/// The answer to a sign-in and to a read.
#[must_use]
pub fn greeting(name: &str) -> String {
    format!("hello, {name}")
}
