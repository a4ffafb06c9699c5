//! Sessions that travel in their own token: encrypted and authenticated, with keys that can be exchanged.
//!
//! A [`Sealer`] turns what is known of a session into a token and back. It keeps nothing: whoever has its keys can open what
//! it sealed, on any node, and nobody else can read or change it.

mod contents;
mod keys;
mod sealer;

pub use keys::{KeyId, KeyRing, SealKey};
pub use sealer::{Place, Sealer};
