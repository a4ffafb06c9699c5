//! What is sealed, as bytes: the first format.
//!
//! ```text
//! format       1 byte
//! flags        2 bytes, big-endian: which of the parts below are there
//! core         16 bytes
//! session id   16 bytes
//! created at   number: milliseconds since 1970
//! version      number
//! known        of the revocation list: the distance from `created at` in microseconds, where lists begin to count
//! last seen, rotated                                instants
//! idle timeout, absolute instant, retention         in seconds where all three are whole ones, else in milliseconds
//! principal    text; then, where there are some, a number of roles, and each as text
//! methods      a number of them, and of each its name and its instant
//! device       address: 4 or 16 bytes; user agent; label
//! attributes   a number of them, and of each its key as text and its value as bytes
//! later parts  each: tag (number), length (number), bytes
//! ```
//! A number takes seven bits a byte, the lowest first (LEB128). An instant is the distance from `created at`, the sign in the
//! lowest bit. A text is preceded by its length. Frequent words of user agents, labels and methods take one byte
//! ([`words`]). A signed-in session without attributes takes some 110 bytes.
//!
//! Of later parts, an even tag is skipped by who does not know it, and an odd one makes the token unreadable: so does a
//! flag that is not known. Durations shorter than a millisecond are lost, as in every store.
//!
//! # What grows by itself
//! Instants, the version, what is known of the list, methods and the device change without anybody asking for more room. A session
//! that fits must not come to fit no more by them: its user would be signed out for having been active. Hence the limit is
//! judged as if all of these had grown already, within reason ([`write`] says how far).
//!
//! # Not compressed
//! Whoever can choose one attribute and see the cookie's length would learn, guess by guess, what stands beside it (CRIME,
//! BREACH). Words are replaced one for one within one text of the client's own, so a length never depends on how two parts
//! resemble each other.

mod parts;
mod read;
mod words;
mod write;

use cloakroom_store::{SealRefusal, SealedContents};
use zeroize::Zeroizing;

use crate::format::Format;
use read::Reader;
pub(crate) use write::Part;
use write::Writer;

/// Contents as bytes, behind room for what stands in front of them.
pub(crate) struct Encoded {
    /// `front` zeros, then the contents; cut off where they are larger than there is room.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Bytes that the contents take, cut off or not.
    pub(crate) size: usize,
    /// Bytes more that they may come to take by what happens of itself: activity, rotations, another proof of identity.
    pub(crate) growth: usize,
}

/// The bytes of `contents`: at most `most` of them, behind `front` zeros.
pub(crate) fn encode(contents: &SealedContents, format: Format, front: usize, most: usize) -> Encoded {
    let mut out = Writer::new(contents.record.created_at, front, most);
    write::contents(&mut out, contents, format);
    out.finish()
}

/// The largest part of `contents`, and its bytes.
pub(crate) fn largest(contents: &SealedContents, format: Format) -> (Part<'_>, usize) {
    let mut out = Writer::new(contents.record.created_at, 0, 0);
    write::contents(&mut out, contents, format);
    out.largest()
}

/// Reads what [`encode`] wrote, and in which format.
///
/// # Errors
/// [`SealRefusal::Format`] where it is none of the formats that are read.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SealedContents, Format), SealRefusal> {
    let (first, rest) = bytes.split_first().ok_or(SealRefusal::Format)?;
    let format = Format::from_byte(*first)?;
    let contents = read::contents(&mut Reader::new(rest))?;
    Ok((contents, format))
}

#[cfg(test)]
mod tests;
