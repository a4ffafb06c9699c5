//! The face of sealed sessions towards whoever asks for a store.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use super::Seals;
use super::entries::{Asked, CLOCKS_APART_MAX};

/// A [`Store`] that keeps nothing: it ends what it is told to end, by the list, and answers everything else with
/// [`Unsupported`](ErrorKind::Unsupported). Without a list it does not even end.
#[derive(Debug)]
pub(crate) struct SealedStore(Arc<Seals>);

impl SealedStore {
    /// What it is called in errors, logs and metrics.
    pub(crate) const NAME: &'static str = "sealed";

    pub(crate) fn new(seals: Arc<Seals>) -> Self {
        Self(seals)
    }
}

impl Store for SealedStore {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Of the sessions nothing is lost by a restart; of their ends, what the list says of itself.
    fn capabilities(&self) -> Capabilities {
        let standing = self.0.mirror().map(|mirror| mirror.list().standing());
        let mut capabilities = Capabilities::ALL.unwatched();
        (capabilities.listing, capabilities.limits) = (false, false);
        capabilities.durable = standing.is_none_or(|standing| standing.durable);
        capabilities.shared = standing.is_none_or(|standing| standing.shared);
        capabilities
    }

    fn insert<'a>(&'a self, _: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        no(Verb::Insert)
    }

    fn get(&self, _: TokenDigest, _: Timestamp) -> StoreFuture<'_, Lookup> {
        no(Verb::Get)
    }

    fn replace<'a>(&'a self, _: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        no(Verb::Replace)
    }

    fn rekey<'a>(&'a self, _: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        no(Verb::Rekey)
    }

    fn touch<'a>(&'a self, _: &'a [Touch], _: Timestamp) -> StoreFuture<'a, TouchReport> {
        no(Verb::Touch)
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        let EndRequest { selector, reason, now } = request;
        let asked =
            Asked { selector, known: None, newcomer: None, cause: None, is_again: false, reason, now };
        StoreFuture::waiting(async move { Ok(self.0.end(asked).await?.ending) })
    }

    fn list<'a>(&'a self, _: &'a ListQuery, _: Timestamp) -> StoreFuture<'a, ListPage> {
        no(Verb::List)
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        let Some(mirror) = self.0.mirror() else { return StoreFuture::ready(Ok(Swept::default())) };
        StoreFuture::waiting(async move {
            let over = mirror.surely_now(request.now).await?.minus(CLOCKS_APART_MAX);
            if mirror.has_much_to_forget(over) {
                self.0.forget_over(over).await;
            }
            let removed = mirror.list().prune(over, request.limit).await?;
            Ok(Swept { removed, more: removed >= request.limit, ..Swept::default() })
        })
    }

    fn count(&self, _: Timestamp) -> StoreFuture<'_, Counts> {
        no(Verb::Count)
    }

    fn export<'a>(&'a self, _: &'a ExportQuery, _: Timestamp) -> StoreFuture<'a, ExportPage> {
        no(Verb::Export)
    }

    fn import<'a>(&'a self, _: &'a Filed, _: Timestamp) -> StoreFuture<'a, Imported> {
        no(Verb::Import)
    }

    fn watch(&self, _: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        no(Verb::Watch)
    }

    /// Of the list; without one there is nothing that could fail.
    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        match self.0.mirror() {
            Some(mirror) => mirror.list().ping(),
            None => StoreFuture::ready(Ok(None)),
        }
    }
}

/// What sealed sessions cannot do.
pub(super) fn unsupported(verb: Verb) -> StoreError {
    StoreError::new(ErrorKind::Unsupported, SealedStore::NAME, verb)
}

fn no<T>(verb: Verb) -> StoreFuture<'static, T> {
    StoreFuture::ready(Err(unsupported(verb)))
}
