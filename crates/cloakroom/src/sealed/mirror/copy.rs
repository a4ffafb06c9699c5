//! The copy of the list among threads.

use cloakroom_core::{PrincipalId, Route, SessionId, Timestamp, Tombstone};
use cloakroom_store::{Retired, RevocationEntry, Scope};
use parking_lot::RwLock;

use super::book::Book;
use super::epochs::Epochs;
use super::mark::Mark;
use crate::sealed::seal::Claim;

/// A complete copy of the list, in as many books as make nobody wait long for whoever writes in one of them.
///
/// What belongs to one principal lies in one book, because all of it has the principal's route.
#[derive(Debug)]
pub(crate) struct Copy {
    books: Box<[RwLock<Book>]>,
    epochs: RwLock<Epochs>,
}

/// What the list says of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Covered {
    /// Its session has ended.
    Ended(Tombstone),
    /// It was exchanged for another, or holds a state that counts for nothing any more.
    Retired(Retired),
}

/// What a new session has to come after, so that what ended others does not cover it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct After {
    /// The greatest number of an end that might cover it.
    pub(crate) number: u64,
    /// Their latest instant.
    pub(crate) instant: Option<Timestamp>,
    /// One of them was written here and not read yet, so that its number is not known.
    pub(crate) has_unread: bool,
}

impl Default for Copy {
    fn default() -> Self {
        Self { books: (0..BOOKS).map(|_| RwLock::default()).collect(), epochs: RwLock::default() }
    }
}

impl Copy {
    /// What the list says of a token; `None` where nothing covers it.
    pub(crate) fn covers(&self, claim: &Claim<'_>) -> Option<Covered> {
        let record = &claim.contents.record;
        let epochs = {
            let epochs = self.epochs.read();
            (epochs.all(), epochs.issued_before())
        };
        let before = epochs.1.filter(|(instant, _)| record.created_at < *instant).map(|(_, mark)| mark);
        let book = self.book(record.id.route()).read();
        let own = book.end_of(record.id).copied();
        let principal = record.principal.as_ref();
        let theirs = principal.map_or([None; 2], |principal| book.ends_of(principal.id(), Some(record.id)));
        let did_not_know = |mark: &Mark| claim.contents.known < mark.number || record.created_at <= mark.at;
        let unknown = theirs.into_iter().chain([epochs.0]).flatten().filter(did_not_know);
        // Of several, the earliest is the end.
        if let Some(mark) = own.into_iter().chain(before).chain(unknown).min_by_key(|mark| mark.at) {
            let principal = principal.map(|principal| principal.id().clone());
            let (session, ended_at, reason) = (record.id, mark.at, mark.reason);
            return Some(Covered::Ended(Tombstone { session, principal, ended_at, reason }));
        }
        let mark = book.copy_is_over(claim)?;
        Some(Covered::Retired(Retired { session: record.id, rotated_at: mark.at }))
    }

    pub(crate) fn knows_end_of(&self, session: SessionId) -> bool {
        self.book(session.route()).read().end_of(session).is_some()
    }

    pub(crate) fn exchanges_of(&self, session: SessionId) -> usize {
        self.book(session.route()).read().exchanges_of(session)
    }

    /// What a new session of `principal` has to come after.
    pub(crate) fn after(&self, principal: Option<&PrincipalId>) -> After {
        let theirs = principal.map_or([None; 2], |principal| {
            self.book(Route::of_principal(principal)).read().ends_of(principal, None)
        });
        let epochs = self.epochs.read();
        let mut after = After::default();
        for mark in theirs.into_iter().chain([epochs.all()]).flatten() {
            if mark.is_read() {
                after.number = after.number.max(mark.number);
            } else {
                after.has_unread = true;
            }
            after.instant = after.instant.max(Some(mark.at));
        }
        after.instant = after.instant.max(epochs.issued_before().map(|(instant, _)| instant));
        after
    }

    /// Takes an entry in, read under `number` in the history `met_in`, or written by this node and not read yet.
    pub(crate) fn add(&self, entry: &RevocationEntry, number: Option<u64>, met_in: u32) {
        let mark = Mark::of(entry, number, met_in);
        match route_of(&entry.scope) {
            Some(route) => self.book(route).write().add(&entry.scope, mark),
            None => self.epochs.write().add(&entry.scope, mark),
        }
    }

    /// How many entries there are.
    ///
    /// # Cost
    /// A lock for each book: for metrics, and for what is written, not for what is looked at.
    pub(crate) fn len(&self) -> usize {
        self.books.iter().map(|book| book.read().len()).sum::<usize>() + self.epochs.read().len()
    }

    /// Forgets what no token can meet any more at `now`, one book after the other.
    pub(crate) fn forget_over(&self, now: Timestamp) {
        self.books.iter().for_each(|book| book.write().forget_over(now));
        self.epochs.write().forget_over(now);
    }

    /// Forgets everything, as no node ever should: for a protocol that is broken on purpose.
    pub(crate) fn clear(&self) {
        self.books.iter().for_each(|book| *book.write() = Book::default());
        *self.epochs.write() = Epochs::default();
    }

    /// What was not met in the history `met_in` and might still cover a token at `now`, in the order in which it was once met: what
    /// the list has lost, or never had.
    pub(crate) fn lacking(&self, met_in: u32, now: Timestamp) -> Vec<RevocationEntry> {
        let mut lacking = Vec::new();
        let mut tell = |scope: Scope, mark: &Mark| {
            if mark.met_in != met_in && mark.lasts(now) {
                lacking.push((mark.number, mark.entry(scope)));
            }
        };
        self.books.iter().for_each(|book| book.read().for_each(&mut tell));
        self.epochs.read().for_each(&mut tell);
        lacking.sort_by_key(|(number, _)| *number);
        lacking.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Whether what an entry about `scope` says was met in the history `met_in`, or is of no use any more.
    pub(crate) fn has_met(&self, scope: &Scope, met_in: u32) -> bool {
        let mark = match route_of(scope) {
            Some(route) => self.book(route).read().mark_of(scope),
            None => self.epochs.read().mark_of(scope),
        };
        mark.is_none_or(|mark| mark.met_in == met_in)
    }

    /// When what an entry says was decided, where that was by another entry than this.
    pub(crate) fn decided_by_another(&self, entry: &RevocationEntry) -> Option<Timestamp> {
        let mark = self.book(route_of(&entry.scope)?).read().mark_of(&entry.scope)?;
        (!mark.is_of(entry)).then_some(mark.at)
    }

    fn book(&self, route: Route) -> &RwLock<Book> {
        let number = usize::from(route.as_u16()) % BOOKS;
        self.books.get(number).expect("the remainder is less than the number of books")
    }
}

/// Which book an entry belongs to; `None` for what is about everything.
fn route_of(scope: &Scope) -> Option<Route> {
    match scope {
        Scope::Session(session) | Scope::Token { session, .. } | Scope::Floor { session, .. } => {
            Some(session.route())
        }
        Scope::Principal { principal, .. } => Some(Route::of_principal(principal)),
        _ => None,
    }
}

/// Books: of a million entries, some sixteen thousand are gone through under one lock when what is over is forgotten.
const BOOKS: usize = 64;
