//! Listing sessions.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use cloakroom_core::{Device, PrincipalId, SessionId, Timestamp, Tombstone};

use crate::Live;

/// Which sessions, in which order, and which page of them.
///
/// Sessions are listed by their instant of issue; those issued at the same millisecond by id. Tombstones stand where their
/// session stood as far as the store remembers its instant of issue, else where it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListQuery {
    /// Which sessions.
    pub filter: ListFilter,
    /// From which end.
    pub order: ListOrder,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
    /// Most items on a page.
    pub limit: NonZeroU16,
}

impl ListQuery {
    /// Items on a page where nobody says otherwise.
    pub const DEFAULT_LIMIT: NonZeroU16 = NonZeroU16::new(50).expect("not zero");
    /// Most rows that a store looks at for one page, whatever the filter and the limit: some milliseconds of its time. A
    /// filter that no index serves is searched so many rows at a time.
    pub const MOST_READ: u16 = 2_000;
    /// Most rows that a store counts by an index of another order, and then looks at all of, rather than search in the order
    /// of the list: both together are within [`MOST_READ`](Self::MOST_READ).
    pub const FEW: u16 = Self::MOST_READ / 2 - 1;

    /// The first page of the sessions that `filter` lets through, the latest issued first.
    #[must_use]
    pub fn new(filter: ListFilter) -> Self {
        Self { filter, order: ListOrder::default(), after: None, limit: Self::DEFAULT_LIMIT }
    }

    /// The same in this order.
    #[must_use]
    pub fn ordered(self, order: ListOrder) -> Self {
        Self { order, ..self }
    }

    /// The page behind this place; `None` for the first.
    #[must_use]
    pub fn after(self, after: impl Into<Option<Cursor>>) -> Self {
        Self { after: after.into(), ..self }
    }

    /// The same with so many items on a page at most.
    #[must_use]
    pub fn with_limit(self, limit: NonZeroU16) -> Self {
        Self { limit, ..self }
    }

    /// Whether a place is behind the one at which the page before ended.
    #[must_use]
    pub fn is_behind(&self, place: Cursor) -> bool {
        self.after.is_none_or(|after| self.order.compare(after, place).is_lt())
    }
}

/// From which end sessions are listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ListOrder {
    /// From the latest issued to the first, and by descending id.
    #[default]
    NewestFirst,
    /// From the first issued to the latest, and by ascending id.
    OldestFirst,
}

impl ListOrder {
    /// Which of two places comes first in a list of this order: that one is less.
    #[must_use]
    pub fn compare(self, one: Cursor, other: Cursor) -> Ordering {
        match self {
            Self::NewestFirst => other.cmp(&one),
            Self::OldestFirst => one.cmp(&other),
        }
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
    /// Those of principals whose id begins with these bytes, whatever follows.
    pub principal_prefix: Option<PrincipalId>,
    /// Those in this state.
    pub state: StateFilter,
    /// Live ones issued to this address.
    pub ip: Option<IpAddr>,
    /// Those issued at or after this instant.
    pub issued_from: Option<Timestamp>,
    /// Those issued before this instant.
    pub issued_before: Option<Timestamp>,
}

impl ListFilter {
    /// The first and the last name that begin with these bytes, in the order of their bytes.
    #[must_use]
    pub fn bounds_of(beginning: &PrincipalId) -> [String; 2] {
        let most = PrincipalId::MAX_BYTES / char::MAX.len_utf8();
        let first = beginning.as_str().to_owned();
        let last = std::iter::once(first.as_str()).chain(std::iter::repeat_n("\u{10FFFF}", most)).collect();
        [first, last]
    }

    /// Whether an item meets every condition: what a store asks where it has no index to do so.
    #[must_use]
    pub fn lets_through(&self, item: &ListItem) -> bool {
        let place = item.cursor();
        let (principal, ip) = match item {
            ListItem::Live(live) => {
                let ip = live.record.device.as_deref().and_then(Device::ip);
                (live.record.principal.as_ref().map(|principal| principal.id()), ip)
            }
            ListItem::Ended { tombstone, .. } => (tombstone.principal.as_ref(), None),
        };
        let begins = |with: &PrincipalId| principal.is_some_and(|id| id.as_str().starts_with(with.as_str()));
        self.state.covers(item)
            && self.session.is_none_or(|session| session == place.session)
            && self.principal.as_ref().is_none_or(|wanted| principal == Some(wanted))
            && self.principal_prefix.as_ref().is_none_or(begins)
            && self.ip.is_none_or(|wanted| ip == Some(wanted))
            && self.issued_from.is_none_or(|from| place.created_at >= from)
            && self.issued_before.is_none_or(|before| place.created_at < before)
    }
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

impl StateFilter {
    /// Whether an item is in a state that is asked for.
    #[must_use]
    pub fn covers(self, item: &ListItem) -> bool {
        match self {
            Self::Active => matches!(item, ListItem::Live(_)),
            Self::Ended => matches!(item, ListItem::Ended { .. }),
            Self::Any => true,
        }
    }
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
    /// The sessions. Where the store stopped at [`ListQuery::MOST_READ`] there are fewer than asked for, perhaps none.
    pub items: Vec<ListItem>,
    /// Where the next page begins; `None` where this was the last.
    pub next: Option<Cursor>,
    /// How many rows the store looked at: index entries, records, tombstones, whatever became of them.
    pub read: u64,
}

/// A position in a list: pages stay stable while sessions come and go, since it names a place, not a number of rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    /// The instant of issue of the last session looked at.
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
