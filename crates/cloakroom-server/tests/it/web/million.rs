//! The list of sessions among a million: what a page costs does not grow with them.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::SEARCH_READS;
use cloakroom_conformance::Fixtures;
use cloakroom_memory::{MemoryOptions, MemoryStore};
use cloakroom_store::{InsertRequest, Inserted, Store};
use http::StatusCode;

use super::client::between;
use super::server::Server;

/// Sessions of ten thousand principals, from a quarter of a million addresses.
const SESSIONS: u32 = 1_000_000;
const PRINCIPALS: u32 = 10_000;
const ADDRESSES: u32 = 250_000;

#[tokio::test]
async fn a_page_of_a_million_sessions_looks_at_a_bounded_number_of_them_whatever_is_asked() {
    let store = Arc::new(MemoryStore::new(MemoryOptions::default().with_max_bytes(4 << 30)));
    let server = Server::around(|_| store.clone());
    server.add("alice", &["admin"]).await;
    fill(&*store, &server).await;
    let alice = server.plant("alice").await;
    let mut alice = server.browser_with(&alice);
    let counts = server.sessions.count().await.unwrap();
    assert_eq!(counts.signed_in, u64::from(SESSIONS) + 1);

    for (query, shown, reads, leads_on) in [
        ("", PAGE, LISTED, true),
        ("sort=oldest", PAGE, LISTED, true),
        ("principal=user-004242", PAGE, LOOKED_UP, true),
        ("q=user-004242", PAGE, LOOKED_UP, true),
        ("state=any&principal=user-004242", PAGE, LOOKED_UP, true),
        ("q=user-004242&sort=address", 100, LOOKED_UP, false),
        ("issued=-24h", 0, LOOKED_UP, false),
        // No index of this store helps: the search stops at its bound, and leads on.
        ("ip=10.0.66.66", 0, SEARCH_READS, true),
        ("q=10.0.66.66", 0, SEARCH_READS, true),
        ("q=user-00424*", 0, SEARCH_READS, true),
        ("state=ended", 0, SEARCH_READS, true),
        ("device=nowhere", 0, SEARCH_READS, true),
        ("q=nowhere-at-all", 0, SEARCH_READS, true),
        ("seen=-7d", 0, SEARCH_READS, true),
        ("device=nowhere&sort=principal", 0, SEARCH_READS, true),
    ] {
        let answer = alice.get(&format!("/admin/sessions?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        assert_eq!(answer.body.matches("<tr role=\"row\" data-session=").count(), shown, "{query}");
        let read: u64 = between(&answer.body, "data-read=\"", "\"").parse().unwrap();
        assert!(read <= reads, "{query}: looked at {read}, not at most {reads}");
        assert_eq!(answer.body.contains("rel=\"next\""), leads_on, "{query}");
    }
}

async fn fill(store: &dyn Store, server: &Server) {
    let now = server.sessions.now();
    let mut fixtures = Fixtures::new(7);
    for number in 0..SESSIONS {
        let address = number % ADDRESSES;
        let filing = fixtures
            .signed_in(&format!("user-{:06}", number % PRINCIPALS))
            .issued_at(now.minus(Duration::from_millis(u64::from(SESSIONS - number))))
            .with_absolute_at(now.plus(DAY))
            .with_idle_timeout(DAY)
            .with_ip(std::net::Ipv4Addr::from(0x0a00_0000 + address));
        let request =
            InsertRequest { record: &filing.record, digest: filing.digest, limit: None, replaces: None, now };
        let inserted = store.insert(request).await.unwrap();
        assert!(matches!(inserted, Inserted::Done { .. }), "{inserted:?}");
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Sessions on a page.
const PAGE: usize = 50;
/// Most rows looked at for a page of the list: a few of each part that the store keeps its order in.
const LISTED: u64 = 256;
/// Most rows looked at for a page of what an index leads to: each, and its neighbour.
const LOOKED_UP: u64 = 102;
