//! Listing.

use cloakroom_core::{Route, SessionId, Timestamp};
use cloakroom_store::{
    Cursor, Gathering, ListFilter, ListItem, ListOrder, ListPage, ListQuery, Part, StateFilter,
};

use crate::order::place;
use crate::shard::Shard;
use crate::slab::Index;
use crate::slot::{Slot, State};
use crate::store::MemoryStore;

impl MemoryStore {
    /// A page: of one session, of few of one principal that are brought into order, or of what the shards have in order, a
    /// few of each at a time.
    pub(crate) fn list_now(&self, query: &ListQuery, now: Timestamp) -> ListPage {
        let ListFilter { session, principal, .. } = &query.filter;
        let look = Look { query, now };
        if let Some(session) = session {
            let shard = self.cell_of(session.route()).lock();
            let items = shard.find_id(*session).and_then(|index| shard.item(index, look));
            return ListPage { items: items.into_iter().collect(), next: None, read: 1 };
        }
        let Some(principal) = principal else {
            let parts = self.cells.len();
            return self.gather(Gathering::new(query, parts, 1), look, |number| self.cells.get(number));
        };
        let cell = self.cell_of(Route::of_principal(principal));
        let mut gathering = Gathering::new(query, 1, 1);
        let few = cell.lock().few(principal.as_str().as_bytes(), look);
        match few {
            Ok(Looked { items, read, reached }) => {
                gathering.take_in(0, items, read, reached);
                gathering.finish()
            }
            Err(counted) => {
                // So many are a good part of their shard, where they lie in order.
                gathering.charge(counted);
                self.gather(gathering, look, |_| Some(cell))
            }
        }
    }

    fn gather<'a>(
        &self,
        mut gathering: Gathering<'_>,
        look: Look<'_>,
        cell: impl Fn(usize) -> Option<&'a crate::cell::Cell>,
    ) -> ListPage {
        loop {
            let round = gathering.next_round();
            if round.is_empty() {
                return gathering.finish();
            }
            for part in round {
                let Some(cell) = cell(part.number) else { continue };
                let Looked { items, read, reached } = cell.lock().search(&part, look);
                gathering.take_in(part.number, items, read, reached);
            }
        }
    }
}

/// What is asked of a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    query: &'a ListQuery,
    now: Timestamp,
}

/// What was found in a part of a shard.
struct Looked {
    items: Vec<(Cursor, ListItem)>,
    read: usize,
    /// The last place looked at; `None` where all was.
    reached: Option<Cursor>,
}

impl Shard {
    /// Searches the next slots in the order of the list.
    fn search(&self, part: &Part, look: Look<'_>) -> Looked {
        let filter = &look.query.filter;
        match look.query.order {
            ListOrder::NewestFirst => {
                let first = SessionId::from_bytes([0; SessionId::LENGTH]);
                let limit = filter.issued_before.map(|created_at| Cursor { created_at, session: first });
                let end = [part.after, limit].into_iter().flatten().min();
                let is_past = |at: Timestamp| filter.issued_from.is_some_and(|from| at < from);
                self.take(self.order.before(&self.slots, end), is_past, part.rows, look)
            }
            ListOrder::OldestFirst => {
                let last = SessionId::from_bytes([u8::MAX; SessionId::LENGTH]);
                let limit = filter.issued_from.and_then(|from| from.as_millis().checked_sub(1));
                let limit = limit.map(|at| Cursor { created_at: Timestamp::from_millis(at), session: last });
                let start = part.after.max(limit);
                let is_past = |at: Timestamp| filter.issued_before.is_some_and(|before| at >= before);
                self.take(self.order.behind(&self.slots, start), is_past, part.rows, look)
            }
        }
    }

    fn take(
        &self,
        slots: impl Iterator<Item = Index>,
        is_past: impl Fn(Timestamp) -> bool,
        rows: usize,
        look: Look<'_>,
    ) -> Looked {
        let mut looked = Looked { items: Vec::new(), read: 0, reached: None };
        for index in slots {
            if looked.read == rows {
                return looked;
            }
            let place = place(&self.slots, index);
            if is_past(place.created_at) {
                break;
            }
            looked.read += 1;
            looked.reached = Some(place);
            looked.items.extend(self.item(index, look).map(|item| (place, item)));
        }
        looked.reached = None;
        looked
    }

    /// The sessions of a principal, brought into order as far as the page goes. Where there are more than few: how many were
    /// counted.
    fn few(&self, principal: &[u8], look: Look<'_>) -> Result<Looked, usize> {
        let most = usize::from(ListQuery::FEW);
        let mut slots: Vec<Index> = self.kin.of(&self.slots, principal).take(most + 1).collect();
        let read = slots.len();
        if read > most {
            return Err(read);
        }
        let place = |index: &Index| place(&self.slots, *index);
        slots.retain(|index| look.query.is_behind(place(index)));
        slots.sort_unstable_by(|one, other| look.query.order.compare(place(one), place(other)));
        let mut looked = Looked { items: Vec::new(), read, reached: None };
        for index in slots {
            // One more than fits tells whether there is another page.
            if looked.items.len() > usize::from(look.query.limit.get()) {
                return Ok(looked);
            }
            looked.reached = Some(place(&index));
            looked.items.extend(self.item(index, look).map(|item| (place(&index), item)));
        }
        looked.reached = None;
        Ok(looked)
    }

    /// The slot as an item, if it is wanted as of now.
    fn item(&self, index: Index, look: Look<'_>) -> Option<ListItem> {
        let slot = self.slots.get(index);
        let filter = &look.query.filter;
        // The cheap questions first: most slots of a large store go no further.
        if !is_wanted(slot, filter) {
            return None;
        }
        let end = match &slot.state {
            State::Retired { .. } => return None,
            State::Tombstone { reason, .. } => Some((*reason, slot.at)),
            State::Live(_) => self.fate(slot, look.now),
        };
        let item = match (end, &slot.state) {
            (None, State::Live(_)) if filter.state != StateFilter::Ended => ListItem::Live(slot.answer()),
            (Some((reason, at)), _) if filter.state != StateFilter::Active && filter.ip.is_none() => {
                ListItem::Ended { tombstone: slot.tombstone(reason, at), created_at: slot.created_at }
            }
            _ => return None,
        };
        look.query.is_behind(item.cursor()).then_some(item)
    }
}

/// Whether a slot meets all conditions but that of its state.
fn is_wanted(slot: &Slot, filter: &ListFilter) -> bool {
    let principal = || slot.packed.principal();
    let begins = |name: &[u8]| principal().is_some_and(|principal| principal.starts_with(name));
    filter.session.is_none_or(|id| slot.id == id)
        && filter.issued_from.is_none_or(|from| from <= slot.created_at)
        && filter.issued_before.is_none_or(|before| slot.created_at < before)
        && filter.principal.as_ref().is_none_or(|id| principal() == Some(id.as_str().as_bytes()))
        && filter.principal_prefix.as_ref().is_none_or(|name| begins(name.as_str().as_bytes()))
        && filter.ip.is_none_or(|ip| slot.alive().is_some() && slot.packed.ip(slot.created_at) == Some(ip))
}
