//! A store that cannot be asked signs nobody in and nobody out (G9).

use std::time::Duration;

use cloakroom_store::ErrorKind;
use http::{Method, StatusCode};
use serde_json::json;

use super::server::{PASSWORD, Server};

#[tokio::test]
async fn an_outage_is_unavailable_and_over_when_it_is_over() {
    let server = Server::with_people().await;
    let (session, other) = (server.plant("alice").await, server.plant("alice").await);
    let (mut alice, mut program) = (server.browser_with(&session), server.program());
    program.token = Some(other.token.clone());
    let form = alice.get("/account").await;
    let csrf = super::client::between(&form.body, "name=\"csrf_token\" value=\"", "\"");
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::ReadOnly] {
        server.store.go_down(kind);
        for path in ["/account", "/", "/sign-in", "/sign-out", "/reauthenticate", "/account/end-others"] {
            let page = alice.get(path).await;
            assert_eq!(page.gist(), "503 store_unavailable", "{path} {kind:?}");
            assert!(
                page.header("content-type").starts_with("text/html") && page.cookie().is_none(),
                "{path}"
            );
        }
        for (method, path) in [
            (Method::GET, "/v1/session"),
            (Method::DELETE, "/v1/session"),
            (Method::POST, "/v1/session/rotate"),
            (Method::GET, "/v1/sessions"),
            (Method::DELETE, "/v1/sessions"),
        ] {
            let refused = program.ask(method, path).await;
            assert_eq!(refused.gist(), "503 store_unavailable", "{path} {kind:?}");
        }
        for path in ["/sign-out", "/account/end-others"] {
            let refused = alice.form(path, &[("csrf_token", &csrf)]).await;
            assert_eq!(refused.gist(), "503 store_unavailable", "{path} {kind:?}");
        }
        let ready = server.program().get("/readyz").await;
        assert_eq!(
            (ready.status, ready.json()["store"].clone()),
            (StatusCode::SERVICE_UNAVAILABLE, json!("unavailable"))
        );
        assert_eq!(server.program().get("/livez").await.status, StatusCode::OK);
        server.store.heal();
        assert_eq!(alice.get("/account").await.status, StatusCode::OK, "nobody was signed out");
        assert_eq!(program.get("/v1/session").await.status, StatusCode::OK);
        assert_eq!(server.program().get("/readyz").await.status, StatusCode::OK);
        // Asked again within a second, the store is not made to prove itself once more.
        server.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn nobody_is_let_in_during_an_outage_and_no_guess_is_counted() {
    let server = Server::with_people().await;
    server.store.go_down(ErrorKind::Unavailable);
    for _ in 0..15 {
        let refused = server.browser().sign_in("alice", PASSWORD).await;
        assert_eq!(refused.gist(), "503 store_unavailable");
        assert!(refused.cookie().is_none());
    }
    server.store.heal();
    assert_eq!(server.browser().sign_in("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.live("alice").await, 1);
}

#[tokio::test]
async fn a_password_does_not_change_while_other_sessions_cannot_be_ended() {
    let server = Server::with_people().await;
    let (session, _other) = (server.plant("alice").await, server.plant("alice").await);
    let mut alice = server.browser_with(&session);
    server.store.script(cloakroom_store::Verb::End, cloakroom_conformance::Fault::FailBefore);
    let body = json!({ "current": PASSWORD, "new": "seven green umbrellas" });
    assert_eq!(alice.json(Method::POST, "/v1/password", &body).await.gist(), "503 store_unavailable");
    assert_eq!(server.live("alice").await, 2);
    assert_eq!(
        server.browser().sign_in("alice", PASSWORD).await.status,
        StatusCode::SEE_OTHER,
        "still the old one"
    );
}

#[tokio::test]
async fn what_cannot_be_a_token_asks_no_store() {
    let server = Server::with_people().await;
    server.store.go_down(ErrorKind::Unavailable);
    for token in ["x", "cr1_", "cr1_AAAA", "ses_AAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(4_000), "crk_AAAA"] {
        let mut client = server.browser();
        client.token = Some(token.to_owned());
        assert_eq!(client.get("/v1/session").await.gist(), "401 session_unknown", "{token}");
        assert!(client.get("/account").await.location().starts_with("/sign-in"), "{token}");
    }
    assert_eq!(server.browser().get("/v1/session").await.gist(), "401 session_missing");
}
