//! Two answers as one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cloakroom_core::{SessionId, Timestamp};
use cloakroom_store::{
    Counts, Cursor, Ending, ListItem, ListPage, ListQuery, Live, StateFilter, StoreError, Swept,
};

use super::MovingStore;
use super::home::unsealed;

impl MovingStore {
    /// A page of the sessions of both. One that is in both is shown as the new store has it. Each store looks at as many rows
    /// as it would alone.
    pub(super) async fn list_both(&self, query: &ListQuery, now: Timestamp) -> Result<ListPage, StoreError> {
        // What the old store tells of sessions that moved is its past: to see that, live ones of the new store are needed
        // even where only those that ended are asked for.
        let mut wider = query.clone();
        if query.filter.state == StateFilter::Ended {
            wider.filter.state = StateFilter::Any;
        }
        let (new, old) = tokio::join!(self.new.list(&wider, now), self.old.list(query, now));
        Ok(merged(query, new?, old?))
    }
}

fn merged(query: &ListQuery, new: ListPage, old: ListPage) -> ListPage {
    // Beyond the last item of a page that another follows nothing is known of that store.
    let order = query.order;
    let nexts = [&new, &old].into_iter().filter_map(|page| page.next);
    let horizon = nexts.min_by(|one, other| order.compare(*one, *other));
    let read = new.read.saturating_add(old.read);
    let known: HashSet<SessionId> = new.items.iter().map(|item| item.cursor().session).collect();
    let is_wanted = |item: &ListItem| match query.filter.state {
        StateFilter::Active => matches!(item, ListItem::Live(_)),
        StateFilter::Ended => matches!(item, ListItem::Ended { .. }),
        StateFilter::Any => true,
    };
    let from_old = old.items.into_iter().filter(|item| !known.contains(&item.cursor().session));
    let from_old = from_old.map(|item| match item {
        ListItem::Live(live) => ListItem::Live(Live { record: Arc::new(unsealed(&live.record)), ..live }),
        ended @ ListItem::Ended { .. } => ended,
    });
    let mut items: Vec<ListItem> = new.items.into_iter().chain(from_old).collect();
    items.sort_by(|one, other| order.compare(one.cursor(), other.cursor()));
    if let Some(horizon) = horizon {
        items.retain(|item| order.compare(item.cursor(), horizon).is_le());
    }
    let limit = usize::from(query.limit.get());
    let more = items.len() > limit;
    items.truncate(limit);
    let last: Option<Cursor> = items.last().map(ListItem::cursor);
    let next = if more { last } else { horizon };
    items.retain(is_wanted);
    ListPage { items, next, read }
}

/// What ended in either, each named once.
pub(super) fn endings(old: Ending, new: Ending) -> Ending {
    let mut ended = old.ended;
    let named: HashSet<SessionId> = ended.iter().map(|ended| ended.session).collect();
    ended.extend(new.ended.into_iter().filter(|ended| !named.contains(&ended.session)));
    Ending { ended, swept_later: old.swept_later.saturating_add(new.swept_later) }
}

pub(super) fn sweeps(old: Swept, new: Swept) -> Swept {
    let mut ended: HashMap<SessionId, _> =
        old.ended.into_iter().map(|ended| (ended.session, ended)).collect();
    ended.extend(new.ended.into_iter().map(|ended| (ended.session, ended)));
    Swept {
        ended: ended.into_values().collect(),
        removed: old.removed.saturating_add(new.removed),
        more: (old.more && !old.elsewhere) || (new.more && !new.elsewhere),
        elsewhere: old.elsewhere && new.elsewhere,
    }
}

pub(super) fn counts(old: Counts, new: Counts) -> Counts {
    Counts {
        anonymous: old.anonymous.saturating_add(new.anonymous),
        signed_in: old.signed_in.saturating_add(new.signed_in),
        tombstones: old.tombstones.saturating_add(new.tombstones),
    }
}
