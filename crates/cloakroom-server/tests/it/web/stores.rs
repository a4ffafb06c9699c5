//! What people see of a store that goes away and comes back behind its guard, and of one that cannot list.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{GuardPolicy, GuardedStore, Random, RandomError};
use cloakroom_conformance::FaultyStore;
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};
use http::{Method, StatusCode};

use super::server::{PASSWORD, Server};

/// Every rest as long as it may be.
#[derive(Debug)]
struct NoJitter;

impl Random for NoJitter {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(0xff);
        Ok(())
    }
}

async fn guarded() -> Server {
    let rest = Duration::from_secs(5);
    let policy = GuardPolicy::default().with_failures(3).with_rest(rest, rest);
    let server = Server::around(|store| Arc::new(GuardedStore::shared(store, policy).with_random(NoJitter)));
    server.add("alice", &[]).await;
    server
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_and_heals_behind_its_guard_signs_nobody_in_or_out() {
    let server = guarded().await;
    let session = server.plant("alice").await;
    let mut alice = server.browser_with(&session);
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        server.store.go_down(kind);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let page = alice.get("/account").await;
            assert_eq!(page.gist(), "503 store_unavailable");
            assert!(page.cookie().is_none(), "no cookie changes");
            waits.push(page.header("retry-after").parse::<u64>().unwrap());
        }
        assert_eq!(waits[3..], [7, 7, 7], "as soon as it may be tried again, and no sooner");
        // It is back, but nobody has noticed yet: still no sign-out.
        server.store.heal();
        assert_eq!(alice.get("/account").await.gist(), "503 store_unavailable");
        assert_eq!(alice.get("/v1/session").await.gist(), "503 store_unavailable");
        assert_eq!(server.browser().sign_in("alice", PASSWORD).await.gist(), "503 store_unavailable");
        assert_eq!(server.program().get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(server.program().get("/livez").await.status, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(alice.get("/account").await.status, StatusCode::OK, "nobody was signed out");
        assert_eq!(server.program().get("/readyz").await.status, StatusCode::OK);
        server.clock.advance(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(alice.get("/account").await.status, StatusCode::OK);
    }
    assert_eq!(server.live("alice").await, 1, "nobody was let in");
}

#[tokio::test]
async fn where_sessions_cannot_be_listed_pages_say_so_and_all_others_can_still_be_ended() {
    let server = Server::around(|store| Arc::new(Unlisting(store)));
    server.add("alice", &[]).await;
    let (session, other) = (server.plant("alice").await, server.plant("alice").await);
    let mut alice = server.browser_with(&session);
    let page = alice.get("/account").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("This server cannot list your other sessions."), "{}", page.body);
    assert_eq!(alice.get("/v1/sessions").await.gist(), "501 unsupported_by_store");
    let path = format!("/v1/sessions/{}", other.id);
    assert_eq!(alice.ask(Method::DELETE, &path).await.gist(), "501 unsupported_by_store");
    assert_eq!(
        alice.get(&format!("/account/sessions/{}/end", other.id)).await.gist(),
        "501 unsupported_by_store"
    );
    let ended = alice.submit("/account", "/account/end-others", &[]).await;
    assert!(ended.location().contains("notice=others_ended"), "{ended:?}");
    assert_eq!(server.browser_with(&other).get("/v1/session").await.gist(), "401 session_ended");
    assert_eq!(alice.get("/v1/session").await.status, StatusCode::OK);
}

/// A store that cannot list, as memcached.
#[derive(Debug)]
struct Unlisting(Arc<FaultyStore>);

impl Unlisting {
    fn refused<'a, T>(&self, verb: Verb) -> StoreFuture<'a, T> {
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, self.name(), verb)))
    }
}

impl Store for Unlisting {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.listing = false;
        capabilities
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        self.0.insert(request)
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        self.0.get(digest, now)
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        self.0.replace(request)
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        self.0.rekey(request)
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        self.0.touch(touches, now)
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        self.0.end(request)
    }

    fn list<'a>(&'a self, _: &'a ListQuery, _: Timestamp) -> StoreFuture<'a, ListPage> {
        self.refused(Verb::List)
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        self.0.sweep(request)
    }

    fn count(&self, _: Timestamp) -> StoreFuture<'_, Counts> {
        self.refused(Verb::Count)
    }

    fn export<'a>(&'a self, _: &'a ExportQuery, _: Timestamp) -> StoreFuture<'a, ExportPage> {
        self.refused(Verb::Export)
    }

    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported> {
        self.0.import(filed, now)
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let _ = observer;
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, self.name(), Verb::Watch)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.0.ping()
    }
}
