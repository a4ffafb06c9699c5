//! Telling another store everything, and filing what another store told.

use cloakroom_core::{Route, Timestamp};
use cloakroom_store::{
    Entry, ErrorKind, ExportCursor, ExportPage, ExportQuery, Filed, Imported, MalformedCursor, StoreError,
    Verb,
};

use crate::NAME;
use crate::shard::Shard;
use crate::slot::{Slot, State};
use crate::store::MemoryStore;

/// A place in an export: slots never move, so a shard and a position in it stay what they are.
#[derive(Clone, Copy, Debug)]
struct Place {
    shard: usize,
    position: usize,
}

impl MemoryStore {
    pub(crate) fn export_now(&self, query: &ExportQuery, now: Timestamp) -> Result<ExportPage, StoreError> {
        let fails = |source| StoreError::new(ErrorKind::Internal, NAME, Verb::Export).caused_by(source);
        let start = query.after.as_ref().map_or(Ok(Place { shard: 0, position: 0 }), Place::parse);
        let Place { shard: first, mut position } = start.map_err(fails)?;
        let most = usize::from(query.limit.get()).min(MOST);
        let mut page = ExportPage::default();
        for (number, cell) in self.cells.iter().enumerate().skip(first) {
            let shard = cell.lock();
            while let Some((index, after)) = shard.slots.next(position) {
                if page.items.len() == most {
                    page.next = Some(Place { shard: number, position }.cursor());
                    return Ok(page);
                }
                page.items.push(shard.told(shard.slots.get(index), now));
                position = after;
            }
            position = 0;
        }
        Ok(page)
    }

    pub(crate) fn import_now(&self, filed: &Filed, now: Timestamp) -> Result<Imported, StoreError> {
        let fails = |kind| StoreError::new(kind, NAME, Verb::Import);
        let (id, slot) = match &filed.entry {
            Entry::Live(live) => (live.record.id, Slot::imported(live, &filed.digest)),
            Entry::Ended { tombstone, created_at, kept_until } => {
                (tombstone.session, Slot::buried(tombstone, &filed.digest, *created_at, *kept_until))
            }
            Entry::Retired { retired, kept_until } => {
                (retired.session, Slot::retired(*retired, &filed.digest, *kept_until))
            }
        };
        let route = filed.digest.route();
        let expected = slot.packed.principal_id().map_or(id.route(), |one| Route::of_principal(&one));
        if route != expected || route != id.route() {
            let why = "digest, id and principal have different routes";
            return Err(fails(ErrorKind::Internal).caused_by(why));
        }
        if slot.bytes() > self.max_bytes {
            return Err(fails(ErrorKind::Full));
        }
        let (imported, over) = self.with(route, |shard, _| shard.import(slot));
        let imported = imported.ok_or_else(|| fails(ErrorKind::Full))?;
        self.keep_bound(over, Some(id), now);
        Ok(imported)
    }
}

impl Shard {
    /// What another store is told of a slot.
    fn told(&self, slot: &Slot, now: Timestamp) -> Filed {
        let ended =
            |tombstone, kept_until| Entry::Ended { tombstone, created_at: slot.created_at, kept_until };
        let entry = match &slot.state {
            State::Retired { keep_until } => {
                Entry::Retired { retired: slot.exchanged(), kept_until: keep_until.get() }
            }
            State::Tombstone { keep_until, reason } => {
                ended(slot.tombstone(*reason, slot.at), keep_until.get())
            }
            State::Live(_) => match self.fate(slot, now) {
                Some((reason, at)) => ended(slot.tombstone(reason, at), slot.keep_until(at)),
                None => Entry::Live(slot.answer()),
            },
        };
        Filed { digest: slot.digest(), entry }
    }

    /// Files what another store told; `None` where there are no numbers left for slots.
    fn import(&mut self, slot: Slot) -> Option<Imported> {
        let names_session = !matches!(slot.state, State::Retired { .. });
        if self.find(&slot.digest()).is_some() || (names_session && self.find_id(slot.id).is_some()) {
            return Some(Imported::AlreadyExists);
        }
        if slot.alive().is_none() {
            return self.file_remnant(slot).map(|_| Imported::Done);
        }
        match self.epochs.end_of_arrival(slot.created_at) {
            Some((reason, at)) => {
                // Time may have ended it before the others.
                let (reason, at) = slot.expiry(at).unwrap_or((reason, at));
                let buried = Slot::buried(
                    &slot.tombstone(reason, at),
                    &slot.digest(),
                    slot.created_at,
                    slot.keep_until(at),
                );
                self.file_remnant(buried)?;
            }
            None => {
                self.file(slot)?;
            }
        }
        Some(Imported::Done)
    }
}

/// Most entries on a page: each is unpacked under its shard's lock, in about a microsecond.
const MOST: usize = 1_000;

impl Place {
    fn parse(cursor: &ExportCursor) -> Result<Self, MalformedCursor> {
        let (shard, position) = cursor.as_str().split_once('.').ok_or(MalformedCursor)?;
        let number = |text: &str| text.parse().map_err(|_| MalformedCursor);
        Ok(Self { shard: number(shard)?, position: number(position)? })
    }

    fn cursor(self) -> ExportCursor {
        ExportCursor::new(format!("{}.{}", self.shard, self.position)).expect("two numbers are short")
    }
}
