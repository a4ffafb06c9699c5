//! Sessions that travel in their own token: encrypted and authenticated, with keys that can be exchanged.
//!
//! A [`Sealer`] turns what is known of a session into a token and back. It keeps nothing: whoever has its keys can open what
//! it sealed, on any node, and nobody else can read or change it.

mod contents;
mod file;
mod format;
mod key;
mod ring;
mod sealer;
mod shared;

pub use file::{Created, KeyFile, KeyFileError};
pub use format::Format;
pub use key::{KeyId, KeyTextProblem, NewKey, SealKey};
pub use ring::{KeyFacts, KeyRing, KeyState, KeyTextError, RingError, Rotation};
pub use sealer::{Place, Sealer};
pub use shared::SharedRing;
