//! Sessions that travel in their own token: encrypted and authenticated, with keys that can be exchanged.
//!
//! A [`Sealer`] turns what is known of a session into a token and back. It keeps nothing: whoever has its keys can open what
//! it sealed, on any node, and nobody else can read or change it. That a session can be ended all the same is a
//! [`RevocationList`](cloakroom_store::RevocationList)'s doing, and the engine's.
//!
//! ```
//! use cloakroom_core::Timestamp;
//! use cloakroom_sealed::{KeyRing, NewKey, Place, Sealer};
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use cloakroom_core::{Lifetime, SessionId, SessionRecord, TokenCore};
//! # use cloakroom_store::{SealedContents, Version};
//! use cloakroom_store::Sealing as _;
//!
//! # let random = [7; NewKey::RANDOM_BYTES];
//! # let now = Timestamp::from_millis(1_800_000_000_000);
//! # let lifetime = Lifetime::new(Duration::from_secs(60), now.plus(Duration::from_secs(600)), Duration::ZERO);
//! # let contents = SealedContents {
//! #     record: Arc::new(SessionRecord::new(SessionId::from_bytes([1; 16]), now, lifetime)),
//! #     version: Version::FIRST,
//! #     last_seen_at: now,
//! #     known: 0,
//! #     core: TokenCore::from_random([2; 16]),
//! # };
//! let place = Place { cookie: "__Host-cloakroom".into(), application: "shop".into() };
//! let sealer = Sealer::new(KeyRing::first(NewKey::from_random(&random), now), &place, 75);
//!
//! let token = sealer.seal(&contents, [9; 12], now)?;
//! let opened = sealer.open(&token, now)?;
//! assert_eq!(opened.contents.record, contents.record);
//!
//! // The same keys, another application: what belongs to one is nothing to the other.
//! let elsewhere = Place { application: "bank".into(), ..place };
//! let bank = Sealer::new(sealer.ring().clone(), &elsewhere, 75);
//! assert!(bank.open(&token, now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The token
//! `cs1_`, and in base64url: id of the key (4 bytes), nonce (12), contents encrypted and authenticated by AES-256-GCM-SIV
//! (RFC 8452, by `aws-lc-rs`), tag (16). Associated data: the version of this outside, cookie name and application with their
//! lengths before them, the key's id. What is inside begins with a [`Format`] of its own.
//!
//! | who | can |
//! |---|---|
//! | its client, or whoever stole it | use it until it ends or is ended; put an older copy back |
//! | whoever sees it | tell its length and its key's id, and that it is another than before |
//! | who has it, and can change it | nothing: every bit counts, name and application included |
//! | another application with the same keys | open it only under the same application's name and cookie |
//! | whoever has a key | read and make every session of that key until it is [revoked](KeyFile::revoke) |
//!
//! **Nonces.** Random, given by the caller. Two alike under one key happen once in 2³³ for 2³² sealings, and then tell only
//! whether the two contents were the same: that is what SIV is taken for, where by AES-GCM contents would be laid open and
//! forgeries made. A generator that fails (a snapshot of a virtual machine that is started twice) costs no more than that.
//!
//! **Which key.** Its id is in clear and authenticated, unique in a ring, and selects one key: none is tried after another.
//! AES-GCM-SIV does not commit to its key (somebody who *has* two keys can make one ciphertext that both open), which is of
//! use against those who try several keys, or whose keys come from passwords. Here who has one key can make any
//! session anyway.
//!
//! **Length.** It tells how much is inside: whether somebody is signed in, how long names and attributes are together, no
//! content. It is not padded: a multiple of sixteen would hide little of what grows by hundreds, and the room is 4,096 bytes.
//! It is not compressed, either: whoever chooses one attribute would read others off the length (CRIME). An attribute whose
//! *length* is secret does not belong into a cookie.
//!
//! **Time.** What is compared is compared by the library in constant time, and decoded only once it is authentic. How
//! long a refusal takes tells whether it was malformed, of an unknown key, or of a known one: all of that is in clear in every
//! token. No branch depends on what is secret before the tag has been verified.
//!
//! **Memory.** Keys and contents in clear are wiped when they are dropped, the list of attributes and the record apart,
//! which are the application's as with every store.
//!
//! # The size
//! Name, value and attributes of the cookie together stay within 4,096 bytes ([`Sealer::COOKIE_BYTES_MAX`]): what is larger is
//! an error that names the largest part and its bytes, before anything is sent. Some hundred characters of it are kept free for
//! what grows by itself, so that activity, a rotation or another proof of identity does not fail for want of room. What is longer
//! than foreseen may fail all the same: a fourth method, a user agent of hundreds of bytes, at a new proof of identity.
//!
//! # Keys
//! A [`KeyRing`] has one key that seals and others that only open. A [rotation](KeyRing::rotated) adds one that opens at once
//! and seals a little later, when every node has it; the old one opens for the longest idle timeout more, during which every
//! cookie that is still used is sealed anew. Nobody is signed out, and after the window the old key opens nothing. A
//! [`KeyFile`] keeps the ring for all nodes, for its owner's eyes alone; a [`SharedRing`] is in force and follows the file.

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
