//! Listing.

use std::collections::BTreeMap;

use cloakroom_core::Timestamp;
use cloakroom_store::{Cursor, ListFilter, ListItem, ListPage, ListQuery, StateFilter};

use crate::shard::Shard;
use crate::slot::{Slot, State};

/// A page in the making: the best items seen so far, and never more than fit.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    query: &'a ListQuery,
    now: Timestamp,
    /// One more than fit on the page, to know whether there is another page.
    room: usize,
    items: BTreeMap<Cursor, ListItem>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(query: &'a ListQuery, now: Timestamp) -> Self {
        Self { query, now, room: usize::from(query.limit.get()) + 1, items: BTreeMap::new() }
    }

    pub(crate) fn finish(mut self) -> ListPage {
        let has_next = self.items.len() == self.room;
        if has_next {
            self.items.pop_first();
        }
        let items: Vec<ListItem> = self.items.into_values().rev().collect();
        let next = items.last().filter(|_| has_next).map(ListItem::cursor);
        ListPage { items, next, read: 0 }
    }

    /// Whether an item with this cursor would be on the page, as far as is known.
    fn has_room_for(&self, cursor: Cursor) -> bool {
        let is_after = self.query.after.is_none_or(|after| cursor < after);
        let is_better = || self.items.first_key_value().is_none_or(|(worst, _)| *worst < cursor);
        is_after && (self.items.len() < self.room || is_better())
    }

    fn add(&mut self, cursor: Cursor, item: ListItem) {
        self.items.insert(cursor, item);
        if self.items.len() > self.room {
            self.items.pop_first();
        }
    }
}

impl Shard {
    /// Puts the sessions of this shard that belong there onto the page.
    pub(crate) fn list(&self, page: &mut Page<'_>) {
        let filter = &page.query.filter;
        if let Some(id) = filter.session {
            self.consider(self.find_id(id).map(|index| self.slots.get(index)), page);
        } else if let Some(principal) = &filter.principal {
            let kin = self.kin.of(&self.slots, principal.as_str().as_bytes());
            self.consider(kin.map(|index| self.slots.get(index)), page);
        } else {
            self.consider(self.slots.iter().map(|(_, slot)| slot), page);
        }
    }

    fn consider<'a>(&self, slots: impl IntoIterator<Item = &'a Slot>, page: &mut Page<'_>) {
        for slot in slots {
            let cursor = Cursor { created_at: slot.created_at, session: slot.id };
            // The cheap questions first: most slots of a large store go no further.
            if page.has_room_for(cursor)
                && is_wanted(slot, &page.query.filter)
                && let Some(item) = self.item(slot, page.query.filter.state, page.now)
            {
                page.add(cursor, item);
            }
        }
    }

    /// The slot as an item, if its state as of `now` is wanted.
    fn item(&self, slot: &Slot, wanted: StateFilter, now: Timestamp) -> Option<ListItem> {
        let end = match &slot.state {
            State::Retired { .. } => return None,
            State::Tombstone { reason, .. } => Some((*reason, slot.at)),
            State::Live(_) => self.fate(slot, now),
        };
        match (end, &slot.state) {
            (None, State::Live(_)) if wanted != StateFilter::Ended => Some(ListItem::Live(slot.answer())),
            (Some((reason, at)), _) if wanted != StateFilter::Active => {
                Some(ListItem::Ended { tombstone: slot.tombstone(reason, at), created_at: slot.created_at })
            }
            _ => None,
        }
    }
}

/// Whether a slot meets all conditions but that of its state.
fn is_wanted(slot: &Slot, filter: &ListFilter) -> bool {
    filter.session.is_none_or(|id| slot.id == id)
        && filter.issued_from.is_none_or(|from| from <= slot.created_at)
        && filter.issued_before.is_none_or(|before| slot.created_at < before)
        && filter.principal.as_ref().is_none_or(|id| slot.packed.principal() == Some(id.as_str().as_bytes()))
        && filter.ip.is_none_or(|ip| slot.alive().is_some() && slot.packed.ip(slot.created_at) == Some(ip))
}
