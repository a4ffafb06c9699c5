//! Moving sessions from one store to another.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};

use crate::{Live, MalformedCursor, Retired};

/// Which page of everything that is filed ([`Store::export`](crate::Store::export)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportQuery {
    /// Where the page before ended; `None` for the first.
    pub after: Option<ExportCursor>,
    /// About how many entries to look at.
    pub limit: NonZeroU16,
}

impl ExportQuery {
    /// The page after `after`, with about `limit` entries on it.
    #[must_use]
    pub fn new(after: Option<ExportCursor>, limit: NonZeroU16) -> Self {
        Self { after, limit }
    }
}

/// A page of everything that is filed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExportPage {
    /// The entries; a page without any need not be the last.
    pub items: Vec<Filed>,
    /// How many entries that would be on this page were left out because they cannot be decoded.
    pub damaged: usize,
    /// Where the next page begins; `None` where this was the last.
    pub next: Option<ExportCursor>,
}

/// What is filed under a digest: as one store tells it, and as another files it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filed {
    /// What it is filed under.
    pub digest: TokenDigest,
    /// What it is.
    pub entry: Entry,
}

/// What can be filed under a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A live session.
    Live(Live),
    /// What is left of an ended session.
    Ended {
        /// What is left.
        tombstone: Tombstone,
        /// When it was issued, as far as the store remembers, else when it ended.
        created_at: Timestamp,
        /// The instant from which it need not be kept.
        kept_until: Timestamp,
    },
    /// A token that was exchanged for another.
    Retired {
        /// What is known of it.
        retired: Retired,
        /// The instant from which it need not be kept.
        kept_until: Timestamp,
    },
}

/// The answer to [`Store::import`](crate::Store::import).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imported {
    /// It is filed, or nothing would be left of it by now.
    Done,
    /// Its digest or its id is taken, by a live session or by what is left of one. Nothing has changed.
    AlreadyExists,
}

/// A place in an export: text that only the store it came from understands. It outlives the process, so that an export
/// can go on where it stopped.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ExportCursor(Box<str>);

impl ExportCursor {
    /// The longest one.
    pub const MAX_BYTES: usize = 256;

    /// A cursor with this text, as a store makes it.
    ///
    /// # Errors
    /// [`MalformedCursor`] where it is empty, longer than [`MAX_BYTES`](Self::MAX_BYTES), or has other than visible
    /// ASCII characters.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, MalformedCursor> {
        let text = text.into();
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(MalformedCursor)
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExportCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExportCursor {
    type Err = MalformedCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_visible_text_of_bounded_length_and_reads_back() {
        let longest = "x".repeat(ExportCursor::MAX_BYTES);
        for text in ["0", "3:17~aGVsbG8=", &longest] {
            let cursor = ExportCursor::new(text).unwrap();
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "a b", "a\n", "é", &format!("{longest}x")] {
            assert_eq!(text.parse::<ExportCursor>(), Err(MalformedCursor), "{text:?}");
        }
    }
}
