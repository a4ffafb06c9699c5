//! Searching sessions within bounds.

use std::num::NonZeroU16;

use cloakroom_core::{Device, PrincipalId, SessionRecord, Timestamp};
use cloakroom_store::{Cursor, ListFilter, ListItem, ListOrder, ListQuery, StoreError};

use crate::Sessions;

/// What to look for: what the store filters, and what is asked of each session that it finds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Search {
    /// What the store filters, by its indexes as far as it has any.
    pub filter: ListFilter,
    /// What somebody typed into a search box.
    ///
    /// A whole session id, an address, a principal's whole id, and `name*` for principals whose id begins with `name` are
    /// looked up ([`Found::taken_for`] says so). Anything else, and anything in double quotes, is looked for in principal,
    /// session id, address, label and user agent, whatever its case.
    pub text: Option<String>,
    /// A text that the device's label or user agent contains, whatever its case. An ended session has no device.
    pub device: Option<String>,
    /// Those last active at or after this instant. An ended session is not.
    pub seen_since: Option<Timestamp>,
    /// Those last active before this instant. An ended session is not.
    pub seen_before: Option<Timestamp>,
    /// From which end.
    pub order: ListOrder,
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
    /// How many rows the store looked at for it.
    pub read: u64,
    /// Whether the search stopped at its bound: the page could be fuller, and [`next`](Self::next) leads on.
    pub at_bound: bool,
    /// What the text was taken for; `None` where there was none.
    pub taken_for: Option<TakenFor>,
}

/// What the text of a [`Search`] was taken for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TakenFor {
    /// A session's id.
    Session,
    /// A principal's id.
    Principal,
    /// The beginning of principals' ids.
    Prefix,
    /// An address.
    Address,
    /// Words that a session mentions.
    Words,
}

impl Sessions {
    /// Looks for sessions, and for no longer than the store needs to look at [`SEARCH_READS`] rows: a page may hold fewer
    /// than asked for, or none, and still lead on. Whoever follows it finds each session that matches throughout once.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer.
    ///
    /// # Cost
    /// One round trip where the store filters all that is asked for and finds enough of it. One for each 500 sessions
    /// where words, a device or an activity are asked for, and one more where the words could be a principal's id. No more
    /// than [`SEARCH_READS`] rows of the store in all.
    pub async fn search(&self, search: &Search) -> Result<Found, StoreError> {
        let Some(text) = search.text.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return self.gather(search, search.filter.clone(), Sieve::of(search, None)).await;
        };
        let mut filter = search.filter.clone();
        if let Some(taken_for) = look_up(text, &mut filter) {
            let found = self.gather(search, filter, Sieve::of(search, None)).await?;
            return Ok(Found { taken_for: Some(taken_for), ..found });
        }
        let mut read = 0;
        if filter.principal.is_none()
            && let Ok(principal) = PrincipalId::new(text)
        {
            filter.principal = Some(principal);
            let found = self.gather(search, filter, Sieve::of(search, None)).await?;
            let is_known = !found.items.is_empty() || found.next.is_some();
            if is_known || found.read > u64::from(ListQuery::MOST_READ) {
                return Ok(Found { taken_for: Some(TakenFor::Principal), ..found });
            }
            read = found.read;
        }
        let words = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let found = self.gather(search, search.filter.clone(), Sieve::of(search, Some(words))).await?;
        Ok(Found { read: found.read.saturating_add(read), taken_for: Some(TakenFor::Words), ..found })
    }

    async fn gather(&self, search: &Search, filter: ListFilter, sieve: Sieve) -> Result<Found, StoreError> {
        let limit = search.limit.unwrap_or(ListQuery::DEFAULT_LIMIT);
        let wanted = usize::from(limit.get());
        let step = if sieve.is_open() { limit } else { STEP };
        let mut query = ListQuery::new(filter).ordered(search.order).with_limit(step);
        let mut found = Found { next: search.after, ..Found::default() };
        loop {
            query.after = found.next;
            let page = self.list(&query).await?;
            found.next = page.next;
            found.read = found.read.saturating_add(page.read);
            let mut items = page.items.into_iter();
            while let Some(item) = items.next() {
                if !sieve.lets_through(&item) {
                    continue;
                }
                let place = item.cursor();
                found.items.push(item);
                if found.items.len() == wanted {
                    let leads_on = items.len() > 0 || found.next.is_some();
                    found.next = leads_on.then_some(place);
                    return Ok(found);
                }
            }
            // Another page of the store may take as many rows as one page can.
            found.at_bound =
                found.next.is_some() && found.read > SEARCH_READS - u64::from(ListQuery::MOST_READ);
            if found.next.is_none() || found.at_bound {
                return Ok(found);
            }
        }
    }
}

/// Takes the text for something that stores look up, where it can be nothing else and nothing else is asked for.
fn look_up(text: &str, filter: &mut ListFilter) -> Option<TakenFor> {
    if filter.session.is_none()
        && let Ok(session) = text.parse()
    {
        filter.session = Some(session);
        return Some(TakenFor::Session);
    }
    if filter.ip.is_none()
        && let Ok(ip) = text.parse()
    {
        filter.ip = Some(ip);
        return Some(TakenFor::Address);
    }
    if filter.principal_prefix.is_none()
        && let Some(Ok(prefix)) = text.strip_suffix('*').map(PrincipalId::new)
    {
        filter.principal_prefix = Some(prefix);
        return Some(TakenFor::Prefix);
    }
    None
}

/// What is asked of each session that the store found.
struct Sieve {
    words: Option<String>,
    device: Option<String>,
    seen_since: Option<Timestamp>,
    seen_before: Option<Timestamp>,
}

impl Sieve {
    fn of(search: &Search, words: Option<&str>) -> Self {
        let device = search.device.as_deref().map(str::trim).filter(|device| !device.is_empty());
        Self {
            words: words.map(str::to_lowercase),
            device: device.map(str::to_lowercase),
            seen_since: search.seen_since,
            seen_before: search.seen_before,
        }
    }

    fn is_open(&self) -> bool {
        self.words.is_none() && self.is_open_to_the_ended()
    }

    /// Whether nothing is asked for that an ended session no longer has.
    fn is_open_to_the_ended(&self) -> bool {
        self.device.is_none() && self.seen_since.is_none() && self.seen_before.is_none()
    }

    fn lets_through(&self, item: &ListItem) -> bool {
        let words = self.words.as_deref();
        match item {
            ListItem::Live(live) => {
                words.is_none_or(|words| mentions(&live.record, words))
                    && self.device.as_deref().is_none_or(|text| is_on(&live.record, text))
                    && self.seen_since.is_none_or(|since| live.last_seen_at >= since)
                    && self.seen_before.is_none_or(|before| live.last_seen_at < before)
            }
            ListItem::Ended { tombstone, .. } => {
                let principal = tombstone.principal.as_ref().map(PrincipalId::as_str);
                let is_named = |words: &str| {
                    principal.is_some_and(|principal| contains(principal, words))
                        || contains(&tombstone.session.to_string(), words)
                };
                words.is_none_or(is_named) && self.is_open_to_the_ended()
            }
        }
    }
}

fn mentions(record: &SessionRecord, words: &str) -> bool {
    let ip = record.device.as_deref().and_then(Device::ip);
    record.principal.as_ref().is_some_and(|principal| contains(principal.id().as_str(), words))
        || contains(&record.id.to_string(), words)
        || ip.is_some_and(|ip| contains(&ip.to_string(), words))
        || is_on(record, words)
}

fn is_on(record: &SessionRecord, text: &str) -> bool {
    let device = record.device.as_deref();
    device.and_then(Device::label).is_some_and(|label| contains(label, text))
        || device.and_then(Device::user_agent).is_some_and(|user_agent| contains(user_agent, text))
}

/// Whether `text` contains `words`, which are in lower case.
fn contains(text: &str, words: &str) -> bool {
    text.to_lowercase().contains(words)
}

/// Most rows that a store looks at for one page of a search: a search begins no page of a list that could take it beyond.
pub const SEARCH_READS: u64 = 4_000;
/// Sessions asked for at once where each is looked at here.
const STEP: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
