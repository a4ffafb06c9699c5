//! The copy of the list among threads.

use cloakroom_core::{PrincipalId, Route, SessionId, Timestamp, Tombstone};
use cloakroom_store::{Retired, RevocationEntry, Scope};
use parking_lot::RwLock;

use super::book::Book;
use super::ends::Ends;
use super::epochs::Epochs;
use super::mark::{How, Mark};
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

/// What covers a token, and how surely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cover {
    pub(crate) covered: Covered,
    pub(crate) how: How,
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

impl After {
    fn come_after(&mut self, mark: &Mark) {
        match mark.number {
            Some(number) => self.number = self.number.max(number),
            None => self.has_unread = true,
        }
        self.instant = self.instant.max(Some(mark.at));
    }
}

/// What the list has lost, or never had, in the order in which it was once met: the first of it.
#[derive(Debug)]
pub(crate) struct Lacking {
    found: Vec<(u64, RevocationEntry)>,
    most: usize,
    is_all: bool,
}

impl Lacking {
    pub(crate) fn at_most(most: usize) -> Self {
        Self { found: Vec::new(), most, is_all: true }
    }

    fn push(&mut self, mark: &Mark, scope: Scope) {
        // What was never met comes last.
        self.found.push((mark.number.unwrap_or(u64::MAX), mark.entry(scope)));
        if self.found.len() > self.most.saturating_mul(2) {
            self.found.select_nth_unstable_by_key(self.most, |(number, _)| *number);
            self.found.truncate(self.most);
            self.is_all = false;
        }
    }

    /// In order; and whether there is no more.
    pub(crate) fn into_entries(mut self) -> (Vec<RevocationEntry>, bool) {
        self.found.sort_by_key(|(number, _)| *number);
        let is_all = self.is_all && self.found.len() <= self.most;
        self.found.truncate(self.most);
        (self.found.into_iter().map(|(_, entry)| entry).collect(), is_all)
    }
}

impl Default for Copy {
    fn default() -> Self {
        Self { books: (0..BOOKS).map(|_| RwLock::default()).collect(), epochs: RwLock::default() }
    }
}

impl Copy {
    /// What the list says of a token; `None` where nothing covers it.
    pub(crate) fn covers(&self, claim: &Claim<'_>) -> Option<Cover> {
        let record = &claim.contents.record;
        let everybody = self.epochs.read().covering(claim);
        let book = self.book(record.id.route()).read();
        let own = book.end_of(record.id).map(|mark| (How::Surely, *mark));
        let principal = record.principal.as_ref();
        let theirs = principal.and_then(|principal| book.ends_of(principal.id())?.covering(claim));
        // Of several that are as sure, the earliest is the end.
        let ends = [everybody, own, theirs].into_iter().flatten();
        let end = ends.min_by_key(|(how, mark)| (*how, mark.at)).map(|(how, mark)| {
            let principal = principal.map(|principal| principal.id().clone());
            let (session, ended_at, reason) = (record.id, mark.at, mark.reason);
            Cover { covered: Covered::Ended(Tombstone { session, principal, ended_at, reason }), how }
        });
        if end.as_ref().is_some_and(|end| end.how == How::Surely) {
            return end;
        }
        let retired = book.copy_is_over(claim).map(|mark| {
            let retired = Retired { session: record.id, rotated_at: mark.at };
            Cover { covered: Covered::Retired(retired), how: How::Surely }
        });
        retired.or(end)
    }

    pub(crate) fn knows_end_of(&self, session: SessionId) -> bool {
        self.book(session.route()).read().end_of(session).is_some()
    }

    pub(crate) fn exchanges_of(&self, session: SessionId) -> usize {
        self.book(session.route()).read().exchanges_of(session)
    }

    pub(crate) fn has_floor(&self, session: SessionId) -> bool {
        self.book(session.route()).read().has_floor(session)
    }

    /// Whether a token was exchanged, as far as is known.
    pub(crate) fn was_exchanged(&self, claim: &Claim<'_>) -> bool {
        self.book(claim.contents.record.id.route()).read().was_exchanged(claim)
    }

    /// What a new session of `principal` has to come after.
    pub(crate) fn after(&self, principal: Option<&PrincipalId>) -> After {
        let mut after = After::default();
        if let Some(principal) = principal {
            let book = self.book(Route::of_principal(principal)).read();
            book.ends_of(principal)
                .into_iter()
                .flat_map(Ends::each)
                .for_each(|(_, mark)| after.come_after(mark));
        }
        let epochs = self.epochs.read();
        epochs.all().each().for_each(|(_, mark)| after.come_after(mark));
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

    /// Forgets what no token can meet any more at `now`, in one of [`ROOMS`](Self::ROOMS): each is gone through under a lock.
    pub(crate) fn forget_over(&self, room: usize, now: Timestamp) {
        match self.books.get(room) {
            Some(book) => book.write().forget_over(now),
            None => self.epochs.write().forget_over(now),
        }
    }

    /// Looks for what was not met in the history `met_in` and might still cover a token at `now`, in one of [`ROOMS`](Self::ROOMS):
    /// each is gone through under a lock.
    pub(crate) fn look_for_lacking(&self, room: usize, met_in: u32, now: Timestamp, lacking: &mut Lacking) {
        let tell = |scope: Scope, mark: &Mark| {
            if mark.met_in != met_in && mark.lasts(now) {
                lacking.push(mark, scope);
            }
        };
        match self.books.get(room) {
            Some(book) => book.read().for_each(tell),
            None => self.epochs.read().for_each(tell),
        }
    }

    /// Rooms to go through: the books, and what is about everything.
    pub(crate) const ROOMS: usize = BOOKS + 1;

    /// Whether what an entry about `scope` says is said by what was met in the history `met_in`, perhaps by another entry. Of ends of
    /// all sessions each says something else.
    pub(crate) fn is_said(&self, scope: &Scope, met_in: u32) -> bool {
        let mark = match route_of(scope) {
            Some(route) => self.book(route).read().mark_of(scope),
            None => self.epochs.read().mark_of(scope),
        };
        mark.is_some_and(|mark| mark.met_in == met_in)
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
