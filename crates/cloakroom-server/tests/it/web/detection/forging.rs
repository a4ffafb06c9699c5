//! What outsiders can bring about by what they write into their requests: nothing that touches somebody else.

use std::time::Duration;

use cloakroom_audit::{AuditQuery, names};
use http::Method;
use serde_json::json;

use crate::web::client::Client;
use crate::web::server::{PASSWORD, Server};

/// Every change is answered as severely as can be.
const STRICT: &str = r#"
[trust]
proxies = ["10.0.0.0/8"]
[detection.user_agent_changed]
grade = "end"
[detection.network_changed]
grade = "end"
roaming = false
[detection.parallel_use]
grade = "end"
"#;

async fn signed_in<'s>(server: &'s Server, name: &str) -> Client<'s> {
    server.add(name, &[]).await;
    let mut client = server.browser();
    assert_eq!(client.sign_in(name, PASSWORD).await.status, 303);
    client
}

async fn signals(server: &Server) -> usize {
    let mut query = AuditQuery::latest();
    query.event = Some(names::SIGNAL.to_owned());
    server.audit.page(&query).await.unwrap().events.len()
}

#[tokio::test]
async fn nobody_outside_the_trusted_proxies_says_where_a_request_comes_from() {
    let server = Server::configured(STRICT);
    let mut alice = signed_in(&server, "alice").await;
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
        let mut forged = alice.clone().with(header, "for=192.0.2.1");
        assert_eq!(forged.get("/v1/session").await.gist(), "200", "{header}: her own address still counts");
    }
    // A thief elsewhere cannot pretend to be where she is.
    let mut thief = alice.clone().at("192.0.2.8").with("x-forwarded-for", "203.0.113.9");
    assert_eq!(thief.get("/v1/session").await.gist(), "401 session_ended");
    assert_eq!(alice.get("/v1/session").await.gist(), "401 session_ended");
}

#[tokio::test]
async fn what_a_client_writes_before_the_proxy_is_not_reached() {
    let server = Server::configured(STRICT);
    server.add("alice", &[]).await;
    let mut alice = server.browser().at("10.0.0.1").with("x-forwarded-for", "203.0.113.9");
    assert_eq!(alice.sign_in("alice", PASSWORD).await.status, 303);
    for forwarded in ["203.0.113.9", "192.0.2.77, 203.0.113.9", "10.0.0.9, nonsense, 203.0.113.9"] {
        let mut again = alice.clone().with("x-forwarded-for", forwarded);
        assert_eq!(again.get("/v1/session").await.gist(), "200", "{forwarded}");
    }
    assert_eq!(signals(&server).await, 0);
}

#[tokio::test]
async fn without_her_token_nobody_gives_a_sign_of_her_session() {
    let server = Server::configured(STRICT);
    let mut alice = signed_in(&server, "alice").await;
    let mut stranger = server.browser().at("192.0.2.8").with("user-agent", "curl/8");
    for number in 0..50 {
        stranger.token = Some(format!("cr1_{number:06}{}", "A".repeat(40)));
        assert_eq!(stranger.get("/v1/session").await.gist(), "401 session_unknown");
    }
    assert_eq!(alice.get("/v1/session").await.gist(), "200");
}

#[tokio::test]
async fn failed_sign_ins_put_nobody_out_and_demand_nothing_of_them() {
    let server = Server::configured(STRICT);
    let mut alice = signed_in(&server, "alice").await;
    for address in 0..4 {
        for _ in 0..11 {
            let mut stranger = server.program().at(&format!("192.0.2.{address}"));
            let wrong = json!({ "username": "alice", "password": "wrong" });
            stranger.json(Method::POST, "/v1/sign-in", &wrong).await;
        }
    }
    assert_eq!(alice.get("/v1/session").await.gist(), "200");
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.browser().sign_in("alice", PASSWORD).await.status, 303, "from where she is known");
}
