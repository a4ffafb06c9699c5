//! Listing sessions.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use cloakroom_core::{PrincipalId, SessionId, Timestamp, Tombstone};

use crate::Live;

/// Which sessions, and which page of them.
///
/// Sessions are listed from the latest issued to the first; those issued at the same millisecond by descending id.
/// Tombstones stand where their session stood as far as the store remembers its instant of issue, else where it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListQuery {
    /// Which sessions.
    pub filter: ListFilter,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
    /// Most items on a page.
    pub limit: NonZeroU16,
}

impl ListQuery {
    /// Items on a page where nobody says otherwise.
    pub const DEFAULT_LIMIT: NonZeroU16 = NonZeroU16::new(50).expect("not zero");

    /// The first page of the sessions that `filter` lets through.
    #[must_use]
    pub fn new(filter: ListFilter) -> Self {
        Self { filter, after: None, limit: Self::DEFAULT_LIMIT }
    }
}

/// Which sessions to list: those that meet every condition given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ListFilter {
    /// This one.
    pub session: Option<SessionId>,
    /// Those of this principal.
    pub principal: Option<PrincipalId>,
    /// Those in this state.
    pub state: StateFilter,
    /// Live ones issued to this address.
    pub ip: Option<IpAddr>,
    /// Those issued at or after this instant.
    pub issued_from: Option<Timestamp>,
    /// Those issued before this instant.
    pub issued_before: Option<Timestamp>,
}

/// The states to list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StateFilter {
    /// Live sessions.
    #[default]
    Active,
    /// Tombstones.
    Ended,
    /// Both.
    Any,
}

/// A session in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListItem {
    /// It lives.
    Live(Live),
    /// It has ended; this is what is left.
    Ended {
        /// What is left.
        tombstone: Tombstone,
        /// When it was issued.
        created_at: Timestamp,
    },
}

impl ListItem {
    /// The position of this item in any list.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        match self {
            Self::Live(live) => Cursor { created_at: live.record.created_at, session: live.record.id },
            Self::Ended { tombstone, created_at } => {
                Cursor { created_at: *created_at, session: tombstone.session }
            }
        }
    }
}

/// A page of sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    /// The sessions.
    pub items: Vec<ListItem>,
    /// Where the next page begins; `None` where this was the last.
    pub next: Option<Cursor>,
}

/// A position in a list: pages stay stable while sessions come and go, since it names a place, not a number of rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    /// The instant of issue of the last session seen.
    pub created_at: Timestamp,
    /// Its id.
    pub session: SessionId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_millis(), self.session)
    }
}

impl FromStr for Cursor {
    type Err = MalformedCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (millis, session) = text.split_once('.').ok_or(MalformedCursor)?;
        Ok(Self {
            created_at: Timestamp::from_millis(millis.parse().map_err(|_| MalformedCursor)?),
            session: session.parse().map_err(|_| MalformedCursor)?,
        })
    }
}

/// A text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; pass back the one that came with the page before")]
pub struct MalformedCursor;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor =
            Cursor { created_at: Timestamp::from_millis(-5), session: SessionId::from_bytes([9; 16]) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("5".parse::<Cursor>(), Err(MalformedCursor));
        assert_eq!("5.ses_x".parse::<Cursor>(), Err(MalformedCursor));
    }
}
