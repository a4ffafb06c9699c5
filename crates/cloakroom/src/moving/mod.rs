//! Two stores as one, while sessions move from the old to the new.

mod carry;
mod home;
mod insert;
mod late;
mod mark;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, PartlyNoted, RekeyRequest, Rekeyed,
    ReplaceRequest, Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use self::home::Home;
use self::mark::Stage;

pub use self::carry::{Carried, CarriedPage};
pub use self::mark::Beginning;

/// Two stores as one, while sessions move from the old to the new: nobody is signed out, nothing that ended comes back, no
/// change is lost.
///
/// Every server gets one of these instead of the old store; then sessions are [moved](Self::carry), and then every server
/// gets the new store alone. The three ways may overlap while servers restart one after the other:
///
/// | this server | until moving [begins](Self::begin) | from then on |
/// |---|---|---|
/// | has the old store alone | serves everything | must be gone: to it, a session that moved is unknown |
/// | has both | serves the old store, ends in both | serves both, files new sessions in the new one |
/// | has the new store alone | must not be there yet | may come when everything has moved |
///
/// A session lives in one of the two. It leaves the old one by a compare-and-swap that no later change can follow, and is
/// changed in the new one only. What ends, ends in both, the old one first; it is acknowledged when both have. While moving
/// has not begun nothing is filed in the new store, so until then every server may go back to the old one.
///
/// A server need not have noticed for that to hold. The old store's mark is filed before anything moves, and whoever files a
/// session in the old store, or exchanges a token there, asks for it *afterwards*. No mark: the change was there before the
/// mark, and so before any pass began. A mark: the session is brought to the new store before anybody hears of it.
///
/// # Cost
/// Before moving begins, that of the old store, and one question to each store a second; one round trip more for a new session
/// or an exchanged token. Then a look-up asks both at once; a change, two round trips more; the first change of a session, six
/// more.
///
/// # Security
/// An end is told as done when both stores have done it. A session that a decision ends while it moves is dead wherever it is
/// seen ([`docs/adr/0020`](https://github.com/cloakroom/cloakroom/blob/main/docs/adr/0020-moving.md) has every interleaving).
#[derive(Debug)]
pub struct MovingStore {
    old: Arc<dyn Store>,
    new: Arc<dyn Store>,
    stage: Stage,
}

impl MovingStore {
    /// Moves from `old` to `new`, which begins empty.
    #[must_use]
    pub fn new(old: Arc<dyn Store>, new: Arc<dyn Store>) -> Self {
        Self { old, new, stage: Stage::default() }
    }

    /// Lets every server that knows both stores begin: within a second they file new sessions in the new one. Idempotent,
    /// and for good.
    ///
    /// # Errors
    /// [`StoreError`] where either store cannot be written to; some servers may have begun then.
    pub async fn begin(&self, now: Timestamp) -> Result<Beginning, StoreError> {
        self.stage.begin(&*self.old, &*self.new, now).await
    }

    /// Since when sessions have been moving; `None` where moving has not begun.
    ///
    /// # Errors
    /// [`StoreError`] where either store does not answer.
    pub async fn begun_at(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        mark::begun_at(&*self.old, &*self.new, now).await
    }

    async fn has_begun(&self, now: Timestamp) -> bool {
        self.stage.has_begun(&*self.old, &*self.new, now).await
    }

    async fn get_either(&self, digest: TokenDigest, now: Timestamp) -> Result<Lookup, StoreError> {
        if !self.has_begun(now).await {
            match self.old.get(digest, now).await? {
                // Another server may know already that moving has begun.
                Lookup::Retired(_) | Lookup::Unknown => {}
                here => return Ok(here),
            }
        }
        match self.look(digest, now).await? {
            Home::New(answer) => Ok(answer),
            Home::Old(live) => Ok(Lookup::Live(live)),
        }
    }

    /// Brings a session home to the new store before it is changed; what it is there.
    async fn settle(&self, digest: TokenDigest, now: Timestamp) -> Result<Lookup, StoreError> {
        match self.look(digest, now).await? {
            Home::New(answer) => Ok(answer),
            Home::Old(live) => self.bring(digest, live, now).await,
        }
    }

    async fn replace_either(&self, request: ReplaceRequest<'_>) -> Result<Replaced, StoreError> {
        if !self.has_begun(request.now).await {
            match self.old.replace(request).await? {
                Replaced::Retired(_) | Replaced::Unknown => {}
                done => return Ok(done),
            }
        }
        match self.settle(request.digest, request.now).await? {
            Lookup::Live(_) => self.new.replace(request).await,
            Lookup::Ended(tombstone) => Ok(Replaced::Ended(tombstone)),
            Lookup::Retired(retired) => Ok(Replaced::Retired(retired)),
            Lookup::Unknown => Ok(Replaced::Unknown),
        }
    }

    async fn rekey_either(&self, request: RekeyRequest<'_>) -> Result<Rekeyed, StoreError> {
        if !self.has_begun(request.now).await {
            match self.rekey_in_old(request).await? {
                Rekeyed::Retired(_) | Rekeyed::Unknown => {}
                done => return Ok(done),
            }
        }
        match self.settle(request.old, request.now).await? {
            Lookup::Live(_) => self.new.rekey(request).await,
            Lookup::Ended(tombstone) => Ok(Rekeyed::Ended(tombstone)),
            Lookup::Retired(retired) => Ok(Rekeyed::Retired(retired)),
            Lookup::Unknown => Ok(Rekeyed::Unknown),
        }
    }

    async fn touch_both(&self, touches: &[Touch], now: Timestamp) -> Result<TouchReport, StoreError> {
        // The old store first: a session that leaves it in between takes this along.
        let (in_old, away) = noted(self.old.touch(touches, now).await)?;
        let (in_new, also_away) = if self.has_begun(now).await {
            noted(self.new.touch(touches, now).await.map_err(maybe))?
        } else if in_old.ignored > 0 {
            // Another server may know already that moving has begun, and have moved them. If not, the new store has nothing
            // to do with it, nor has its outage.
            (self.new.touch(touches, now).await.unwrap_or_default(), None)
        } else {
            return away.map_or(Ok(in_old), Err);
        };
        let missed = [&away, &also_away].into_iter().flatten().filter_map(StoreError::noted);
        let missed: HashSet<TokenDigest> = missed.flat_map(|noted| &noted.missed).copied().collect();
        let asked = touches.iter().filter(|touch| !missed.contains(&touch.digest)).count();
        let touched = in_old.touched.saturating_add(in_new.touched).min(asked);
        let report = TouchReport { touched, ignored: asked - touched };
        match away.or(also_away) {
            None => Ok(report),
            Some(error) => Err(error.partly_noted(PartlyNoted { report, missed })),
        }
    }

    /// The old store first, whether or not moving has begun: another server may know more. A session that is leaving finds
    /// its end there before it arrives, or is ended where it arrived.
    async fn end_both(&self, request: EndRequest<'_>) -> Result<Ending, StoreError> {
        let in_old = self.old.end(request).await?;
        let in_new = self.new.end(request).await.map_err(maybe)?;
        Ok(merge::endings(in_old, in_new))
    }

    async fn insert_either(&self, request: InsertRequest<'_>) -> Result<Inserted, StoreError> {
        if self.stage.must_know(&*self.old, &*self.new, request.now).await? {
            self.insert_in_new(request).await
        } else {
            self.insert_in_old(request).await
        }
    }
}

/// How touches fared where they were noted, and why they were not elsewhere.
fn noted(answer: Result<TouchReport, StoreError>) -> Result<(TouchReport, Option<StoreError>), StoreError> {
    match answer {
        Ok(report) => Ok((report, None)),
        Err(error) => match error.noted().map(|noted| noted.report) {
            Some(report) => Ok((report, Some(error))),
            None => Err(error),
        },
    }
}

/// An error after which something has changed already.
fn maybe(error: StoreError) -> StoreError {
    error.maybe_applied()
}

impl Store for MovingStore {
    fn name(&self) -> &'static str {
        self.new.name()
    }

    /// What both can do.
    fn capabilities(&self) -> Capabilities {
        let (old, new) = (self.old.capabilities(), self.new.capabilities());
        let mut both = new;
        both.durable &= old.durable;
        both.shared &= old.shared;
        both.listing &= old.listing;
        // What the old store holds of a principal is taken off the limit; one that cannot say leaves it to the new store.
        both.limits &= old.limits && old.listing;
        // While sessions move, every read asks: what one store tells says nothing of a session that is in both.
        both.unwatched()
    }

    fn has_parts(&self) -> bool {
        self.old.has_parts() || self.new.has_parts()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        StoreFuture::waiting(self.insert_either(request))
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(self.get_either(digest, now))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        StoreFuture::waiting(self.replace_either(request))
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        StoreFuture::waiting(self.rekey_either(request))
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        StoreFuture::waiting(self.touch_both(touches, now))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::waiting(self.end_both(request))
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::waiting(self.list_both(query, now))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(async move {
            let (old, new) = tokio::join!(self.old.sweep(request), self.new.sweep(request));
            // What one has swept is reported, whatever became of the other; it is swept at the next turn.
            match (old, new) {
                (Ok(old), Ok(new)) => Ok(merge::sweeps(old, new)),
                (Ok(swept), Err(_)) | (Err(_), Ok(swept)) => Ok(swept),
                (Err(error), Err(_)) => Err(error),
            }
        })
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::waiting(async move {
            let (old, new) = tokio::join!(self.old.count(now), self.new.count(now));
            Ok(merge::counts(old?, new?))
        })
    }

    fn export<'a>(&'a self, _: &'a ExportQuery, _: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::ready(Err(self.one_move_at_a_time(Verb::Export)))
    }

    fn import<'a>(&'a self, _: &'a Filed, _: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::ready(Err(self.one_move_at_a_time(Verb::Import)))
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let _ = observer;
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, self.name(), Verb::Watch)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(async move {
            let (old, new) = tokio::join!(self.old.ping(), self.new.ping());
            old?;
            new
        })
    }
}

impl MovingStore {
    fn one_move_at_a_time(&self, verb: Verb) -> StoreError {
        let error = StoreError::new(ErrorKind::Unsupported, self.name(), verb);
        error.caused_by("one move at a time: finish the one that is under way first")
    }
}
