//! Moving, by every interleaving that was thought of and many that were not.

mod conformance;
mod interleaved;
mod late;
mod limits;
mod marks;
mod random;

use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom_conformance::{Filing, GatedStore, at};
use cloakroom_core::{EndReason, TokenDigest};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{
    EndRequest, Ending, ExportQuery, InsertRequest, Inserted, Lookup, ReplaceRequest, Replaced, Selector,
    Store, StoreError,
};

use super::{Beginning, Carried, MovingStore};

/// Two stores in which calls can be stopped.
struct Stores {
    old: Arc<GatedStore>,
    new: Arc<GatedStore>,
}

impl Stores {
    fn new() -> Self {
        let gated = || Arc::new(GatedStore::new(Arc::new(MemoryStore::default())));
        Self { old: gated(), new: gated() }
    }

    /// A server that knows both.
    fn node(&self) -> Arc<MovingStore> {
        Arc::new(MovingStore::new(self.old.clone(), self.new.clone()))
    }

    /// The same, and moving has begun.
    async fn moving(&self) -> Arc<MovingStore> {
        let node = self.node();
        assert_eq!(node.begin(at(0)).await.unwrap(), Beginning::Begun { since: at(0) });
        node
    }

    /// A session that was issued before anybody thought of moving.
    async fn issued(&self, filing: &Filing) -> TokenDigest {
        file(&*self.old, filing).await;
        filing.digest
    }
}

async fn file(store: &dyn Store, filing: &Filing) {
    let request = InsertRequest {
        record: &filing.record,
        digest: filing.digest,
        limit: None,
        replaces: None,
        now: at(0),
    };
    assert!(matches!(store.insert(request).await.unwrap(), Inserted::Done { .. }));
}

async fn end(store: &dyn Store, filing: &Filing, reason: EndReason) -> Result<Ending, StoreError> {
    let selector = Selector::One(filing.id());
    store.end(EndRequest { selector: &selector, reason, now: at(20) }).await
}

/// Writes another value into a session, as somebody would who read `live`.
async fn write(
    store: &dyn Store,
    digest: TokenDigest,
    live: &cloakroom_store::Live,
    value: &[u8],
) -> Replaced {
    let mut record = cloakroom_core::SessionRecord::clone(&live.record);
    record.attributes.insert_bytes(cloakroom_core::AttributeKey::new("k").unwrap(), value.into());
    let request = ReplaceRequest { digest, version: live.version, record: &record, now: at(20) };
    store.replace(request).await.unwrap()
}

async fn live(store: &dyn Store, digest: TokenDigest) -> cloakroom_store::Live {
    match store.get(digest, at(20)).await.unwrap() {
        Lookup::Live(live) => live,
        other => panic!("expected a live session, found {other:?}"),
    }
}

fn value(live: &cloakroom_store::Live) -> Option<&[u8]> {
    live.record.attributes.bytes("k")
}

/// One pass over the old store.
async fn pass(node: &MovingStore) -> Result<Carried, StoreError> {
    let mut query = ExportQuery::new(None, NonZeroU16::new(3).unwrap());
    let mut done = Carried::default();
    loop {
        let page = node.carry(&query, at(20)).await?;
        done = done.plus(page.done);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(done),
        }
    }
}
