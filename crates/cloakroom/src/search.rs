//! Searching sessions within bounds.

use std::num::NonZeroU16;

use cloakroom_core::{Device, SessionRecord};
use cloakroom_store::{Cursor, ListFilter, ListItem, ListQuery, StoreError};

use crate::Sessions;

/// What to look for: what the store can filter, and words that it cannot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Search {
    /// What the store filters.
    pub filter: ListFilter,
    /// A text that principal, session id, address, device or user agent contains, whatever its case.
    pub text: Option<String>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Most sessions on a page; 50 where nobody says otherwise.
    pub limit: Option<NonZeroU16>,
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Found {
    /// The sessions.
    pub items: Vec<ListItem>,
    /// Where to look on; `None` where everything was looked at.
    pub next: Option<Cursor>,
    /// How many sessions were looked at.
    pub read: u64,
}

impl Sessions {
    /// Looks for sessions, at most [`SEARCH_READS`] of them at a time: a page may hold fewer than asked for, or none, and
    /// still lead on.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer.
    ///
    /// # Cost
    /// A round trip for each 200 sessions looked at.
    pub async fn search(&self, search: &Search) -> Result<Found, StoreError> {
        let limit = search.limit.unwrap_or(ListQuery::DEFAULT_LIMIT);
        let wanted = usize::from(limit.get());
        let text = search.text.as_ref().map(|text| text.to_lowercase()).filter(|text| !text.is_empty());
        let step = if text.is_some() { SEARCH_STEP } else { limit };
        let mut found = Found { next: search.after, ..Found::default() };
        loop {
            let query = ListQuery { filter: search.filter.clone(), after: found.next, limit: step };
            let page = self.list(&query).await?;
            found.next = page.next;
            let mut items = page.items.into_iter();
            while let Some(item) = items.next() {
                found.read = found.read.saturating_add(1);
                if text.as_ref().is_some_and(|text| !mentions(&item, text)) {
                    continue;
                }
                let cursor = item.cursor();
                found.items.push(item);
                if found.items.len() == wanted {
                    let leads_on = items.len() > 0 || found.next.is_some();
                    found.next = leads_on.then_some(cursor);
                    return Ok(found);
                }
            }
            if found.next.is_none() || found.read >= SEARCH_READS {
                return Ok(found);
            }
        }
    }
}

fn mentions(item: &ListItem, text: &str) -> bool {
    match item {
        ListItem::Live(live) => record_mentions(&live.record, text),
        ListItem::Ended { tombstone, .. } => {
            let principal = tombstone.principal.as_ref().map(|principal| principal.as_str().to_lowercase());
            principal.is_some_and(|principal| principal.contains(text))
                || tombstone.session.to_string().to_lowercase().contains(text)
        }
    }
}

fn record_mentions(record: &SessionRecord, text: &str) -> bool {
    let contains = |words: &str| words.to_lowercase().contains(text);
    let device = record.device.as_deref();
    record.principal.as_ref().is_some_and(|principal| contains(principal.id().as_str()))
        || contains(&record.id.to_string())
        || device.and_then(Device::ip).is_some_and(|ip| contains(&ip.to_string()))
        || device.and_then(Device::label).is_some_and(contains)
        || device.and_then(Device::user_agent).is_some_and(contains)
}

/// Most sessions looked at for one page.
pub const SEARCH_READS: u64 = 2_000;
const SEARCH_STEP: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
