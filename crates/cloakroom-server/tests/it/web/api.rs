//! The API as programs in any language meet it.

use std::collections::BTreeSet;

use axum::body::Body;
use cloakroom::{EndReason, Timestamp};
use cloakroom_server::web;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::server::{PASSWORD, Server};

const BETTER: &str = "seven green umbrellas";

async fn sign_in(client: &mut Client<'_>, body: Value) -> Answer {
    client.json(Method::POST, "/v1/sign-in", &body).await
}

/// A program that is signed in as `name`.
async fn program<'s>(server: &'s Server, name: &str) -> Client<'s> {
    let mut client = server.program();
    let answer =
        sign_in(&mut client, json!({ "username": name, "password": PASSWORD, "mode": "bearer" })).await;
    client.token = Some(answer.json()["token"].as_str().unwrap().to_owned());
    client
}

fn instant(session: &Value, field: &str) -> Timestamp {
    session[field].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_session_is_what_the_contract_says() {
    let server = Server::with_people().await;
    let mut alice = server.browser();
    let answer = sign_in(&mut alice, json!({ "username": "ALICE", "password": PASSWORD })).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.json().get("token").is_none(), "a browser's token is in its cookie only");
    let session = answer.json()["session"].clone();
    let fields: BTreeSet<&str> = session.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
        "id",
        "state",
        "principal",
        "created_at",
        "authenticated_at",
        "last_seen_at",
        "idle_expires_at",
        "absolute_expires_at",
        "authentication",
        "device",
        "attributes",
        "current",
        "ended_at",
        "end_reason",
    ];
    assert_eq!(fields, BTreeSet::from(contract));
    assert_eq!(session["state"], "active");
    assert_eq!(session["principal"], json!({ "id": "alice", "roles": ["admin"] }));
    assert_eq!(session["created_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(session["idle_expires_at"], "2026-01-01T00:15:00.000Z", "an administrator's");
    assert_eq!(session["authentication"]["level"], 1);
    assert_eq!(
        session["authentication"]["methods"][0],
        json!({ "method": "password", "at": "2026-01-01T00:00:00.000Z" })
    );
    assert_eq!(session["device"]["ip"], "203.0.113.9");
    assert_eq!(session["device"]["label"], "Firefox on Linux");
    assert_eq!(
        (&session["current"], &session["ended_at"], &session["end_reason"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(alice.get("/v1/session").await.json()["session"], session);
}

#[tokio::test]
async fn a_program_gets_its_token_in_the_body_and_no_cookie() {
    let server = Server::with_people().await;
    let mut bob = program(&server, "bob").await;
    let first = bob.token.clone();
    for path in ["/v1/session/rotate", "/v1/reauthenticate"] {
        let renewed = bob.json(Method::POST, path, &json!({ "password": PASSWORD })).await;
        assert_eq!(renewed.status, StatusCode::OK, "{path}: {}", renewed.body);
        assert!(!renewed.headers.contains_key("set-cookie"), "{path}");
        let mut old = bob.clone();
        bob.token = Some(renewed.json()["token"].as_str().unwrap().to_owned());
        assert_eq!(
            old.get("/v1/session").await.gist(),
            "401 session_unknown",
            "the old token is dead: {path}"
        );
    }
    assert_ne!(bob.token, first);
    assert_eq!(bob.ask(Method::DELETE, "/v1/session").await.status, StatusCode::NO_CONTENT);
    let ended = bob.get("/v1/session").await;
    assert_eq!(ended.gist(), "401 session_ended");
    assert_eq!(ended.json()["end_reason"], "signed_out");
    assert_eq!(ended.json()["ended_at"], "2026-01-01T00:00:00.000Z");
}

/// Each exchange of a token is an event that lasts; the log holds so many. Whoever is signed in must not push out the others'.
#[tokio::test]
async fn a_session_has_its_token_exchanged_twenty_times_at_once_and_then_once_a_minute() {
    let server = Server::with_people().await;
    let mut bob = program(&server, "bob").await;
    let mut alice = program(&server, "alice").await;
    let mut renew = async |count: u32| {
        for n in 0..count {
            let path = if n == 0 { "/v1/reauthenticate" } else { "/v1/session/rotate" };
            let renewed = bob.json(Method::POST, path, &json!({ "password": PASSWORD })).await;
            if renewed.status != StatusCode::OK {
                return (n, renewed.gist(), renewed.header("retry-after").to_owned());
            }
            bob.token = Some(renewed.json()["token"].as_str().unwrap().to_owned());
        }
        (count, String::new(), String::new())
    };
    let refused = "429 too_many_renewals".to_owned();
    assert_eq!(renew(30).await, (20, refused.clone(), "61".to_owned()));
    assert_eq!(renew(1).await.0, 0, "neither by a proof of identity");
    assert_eq!(alice.ask(Method::POST, "/v1/session/rotate").await.gist(), "200", "others are not concerned");
    server.advance(2);
    assert_eq!(renew(30).await.0, 2);
    assert_eq!(bob.get("/v1/session").await.gist(), "200", "and the session goes on");
    let (renewed, proven) =
        (server.events("session_renewed").await.len(), server.events("session_reauthenticated").await.len());
    assert_eq!((renewed, proven), (19 + 1 + 1, 1 + 1), "what was refused is no event");
}

#[tokio::test]
async fn a_sign_in_takes_the_place_of_the_session_that_was_presented() {
    let server = Server::with_people().await;
    let planted = server.plant("bob").await;
    let mut browser = server.browser_with(&planted);
    sign_in(&mut browser, json!({ "username": "alice", "password": PASSWORD })).await;
    let old = server.browser_with(&planted).get("/v1/session").await;
    assert_eq!(
        (old.gist(), old.json()["end_reason"].clone()),
        ("401 session_ended".to_owned(), json!("replaced"))
    );
    assert_eq!((server.live("alice").await, server.live("bob").await), (1, 0));
}

#[tokio::test]
async fn a_token_that_the_server_did_not_issue_is_never_adopted() {
    let server = Server::with_people().await;
    let chosen = format!("cr1_{}", "A".repeat(46));
    let mut victim = server.browser();
    victim.token = Some(chosen.clone());
    assert_eq!(victim.get("/v1/session").await.gist(), "401 session_unknown");
    sign_in(&mut victim, json!({ "username": "alice", "password": PASSWORD })).await;
    assert_ne!(victim.token.as_deref(), Some(&*chosen));
    let mut attacker = server.browser();
    attacker.token = Some(chosen);
    assert_eq!(attacker.get("/v1/session").await.gist(), "401 session_unknown");
    let own = victim.token.clone().unwrap();
    let by_url = server.browser().get(&format!("/v1/session?token={own}")).await;
    assert_eq!(by_url.status, StatusCode::BAD_REQUEST, "no parameter names a session");
}

#[tokio::test]
async fn a_look_that_is_no_activity_extends_nothing() {
    let server = Server::with_people().await;
    let mut bob = program(&server, "bob").await;
    let started = bob.get("/v1/session").await.json()["session"].clone();
    server.advance(5);
    let looked = bob.get("/v1/session?touch=false").await.json()["session"].clone();
    assert_eq!(looked["idle_expires_at"], started["idle_expires_at"]);
    let active = bob.get("/v1/session?touch=true").await.json()["session"].clone();
    assert_eq!(
        instant(&active, "idle_expires_at").since(instant(&started, "idle_expires_at")).as_secs(),
        300
    );
    for query in ["touch=maybe", "touch", "tuch=false"] {
        assert_eq!(bob.get(&format!("/v1/session?{query}")).await.gist(), "400 malformed_request", "{query}");
    }
}

#[tokio::test]
async fn a_session_ends_at_the_instant_of_its_idle_timeout_and_says_so() {
    let server = Server::with_people().await;
    let mut bob = program(&server, "bob").await;
    server.clock.advance(std::time::Duration::from_millis(30 * 60_000 - 1));
    assert_eq!(bob.get("/v1/session?touch=false").await.status, StatusCode::OK);
    server.clock.advance(std::time::Duration::from_millis(1));
    let ended = bob.get("/v1/session").await;
    assert_eq!(ended.json()["end_reason"], "idle_timeout");
    assert_eq!(ended.json()["ended_at"], "2026-01-01T00:30:00.000Z");
}

#[tokio::test]
async fn attributes_merge_and_too_large_ones_change_nothing() {
    let server = Server::with_people().await;
    let mut bob = program(&server, "bob").await;
    let path = "/v1/session/attributes";
    let first = json!({ "theme": "dark", "cart": { "items": [1, 2.5, "x", null, true] } });
    assert_eq!(bob.json(Method::PATCH, path, &first).await.json(), first);
    let merged = bob.json(Method::PATCH, path, &json!({ "theme": null, "n": 7 })).await.json();
    assert_eq!(merged, json!({ "cart": first["cart"], "n": 7 }));
    assert_eq!(bob.get("/v1/session").await.json()["session"]["attributes"], merged);

    let large = bob.json(Method::PATCH, path, &json!({ "a": "x".repeat(5_000), "n": 8 })).await;
    assert_eq!(large.gist(), "413 attributes_too_large");
    assert!(large.json()["bytes"].as_u64().unwrap() > 5_000 && large.json()["max_bytes"] == 4_096);
    assert_eq!(bob.get("/v1/session").await.json()["session"]["attributes"], merged, "nothing was changed");
    for body in [json!({ "a b": 1 }), json!({ "": 1 }), json!([1]), json!("x"), json!({ "a".repeat(65): 1 })]
    {
        assert_eq!(bob.json(Method::PATCH, path, &body).await.gist(), "400 malformed_request", "{body}");
    }
}

#[tokio::test]
async fn a_body_is_json_says_so_and_has_only_known_fields() {
    let server = Server::with_people().await;
    let good = json!({ "username": "alice", "password": PASSWORD }).to_string();
    for (content_type, body, gist) in [
        (Some("application/json"), good.clone(), "200"),
        (Some("Application/JSON; charset=utf-8"), good.clone(), "200"),
        (Some("text/plain"), good.clone(), "415 unsupported_media_type"),
        (Some("application/x-www-form-urlencoded"), good.clone(), "415 unsupported_media_type"),
        (Some("multipart/form-data"), good.clone(), "415 unsupported_media_type"),
        (Some("application/jsonp"), good.clone(), "415 unsupported_media_type"),
        (None, good.clone(), "415 unsupported_media_type"),
        (Some("application/json"), String::new(), "400 malformed_request"),
        (Some("application/json"), "{".into(), "400 malformed_request"),
        (Some("application/json"), good.replace("}", ",\"admin\":true}"), "400 malformed_request"),
        (Some("application/json"), good.replace("}", ",\"mode\":\"url\"}"), "400 malformed_request"),
        (Some("application/json"), good.replace("}", ",\"username\":\"bob\"}"), "400 malformed_request"),
        (Some("application/json"), good.replace("\"alice\"", "1"), "400 malformed_request"),
        (Some("application/json"), format!("{good}{good}"), "400 malformed_request"),
        (Some("application/json"), good.replace("alice", &"a".repeat(70_000)), "413 body_too_large"),
    ] {
        let mut client = server.browser();
        let sent: String = body.chars().take(120).collect();
        let answer = client.send(Method::POST, "/v1/sign-in", content_type, Body::from(body)).await;
        assert_eq!(answer.gist(), gist, "{content_type:?} {sent}");
        assert!(!answer.body.contains(PASSWORD), "a secret is not repeated");
    }
    let unknown = sign_in(&mut server.browser(), json!({ "username": "a", "pasword": "x" })).await;
    assert!(unknown.json()["detail"].as_str().unwrap().contains("pasword"), "{}", unknown.body);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_it_has() {
    let server = Server::with_people().await;
    let session = server.plant("alice").await;
    let paths: BTreeSet<&str> = web::routes().iter().map(|route| route.path).collect();
    for path in paths {
        let mut known: BTreeSet<&str> =
            web::routes().iter().filter(|route| route.path == path).map(|route| route.method).collect();
        if known.contains("GET") {
            known.insert("HEAD");
        }
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"]
        {
            if known.contains(method) || method == "CONNECT" {
                continue;
            }
            let answer = server.browser_with(&session).ask(method.parse().unwrap(), path).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allowed: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(allowed, known, "{method} {path}");
        }
    }
    assert_eq!(server.live("alice").await, 1);
}

#[tokio::test]
async fn own_sessions_come_in_pages_and_the_one_that_asks_is_marked() {
    let server = Server::with_people().await;
    for _ in 0..4 {
        server.plant("bob").await;
        server.advance(1);
    }
    let mut bob = program(&server, "bob").await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bob.get(&format!("/v1/sessions?limit=2{cursor}")).await.json();
        seen.extend(page["sessions"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let ids: BTreeSet<&str> = seen.iter().map(|session| session["id"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), ids.len()), (5, 5));
    assert_eq!(seen.iter().filter(|session| session["current"] == true).count(), 1);
    assert!(seen.iter().all(|session| session["principal"]["id"] == "bob"));
    for query in ["limit=0", "limit=201", "limit=x", "cursor=x", "principal=alice"] {
        assert_eq!(
            bob.get(&format!("/v1/sessions?{query}")).await.gist(),
            "400 malformed_request",
            "{query}"
        );
    }
}

#[tokio::test]
async fn ending_many_says_how_many() {
    let server = Server::with_people().await;
    server.plant("bob").await;
    server.plant("bob").await;
    let mut bob = program(&server, "bob").await;
    for query in ["except=all", "except", "force=true", "settled=soon", "settled"] {
        let refused = bob.ask(Method::DELETE, &format!("/v1/sessions?{query}")).await;
        assert_eq!(refused.gist(), "400 malformed_request", "{query}");
    }
    assert_eq!(server.live("bob").await, 3, "a question that was not understood ended nothing");
    assert_eq!(
        bob.ask(Method::DELETE, "/v1/sessions?except=current").await.json(),
        json!({ "revoked": 2, "settled": false })
    );
    assert_eq!(
        bob.ask(Method::DELETE, "/v1/sessions?except=current").await.json(),
        json!({ "revoked": 0, "settled": false })
    );
    let refused = bob.ask(Method::DELETE, "/v1/session?settled=soon").await;
    assert_eq!(refused.gist(), "400 malformed_request");
    let everywhere = bob.ask(Method::DELETE, "/v1/sessions?settled=true").await;
    assert_eq!(everywhere.json(), json!({ "revoked": 1, "settled": true }));
    assert_eq!(bob.get("/v1/session").await.gist(), "401 session_ended");
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_the_old_password() {
    let server = Server::with_people().await;
    let other = server.plant("alice").await;
    let mut alice = server.browser();
    sign_in(&mut alice, json!({ "username": "alice", "password": PASSWORD })).await;
    let before = alice.token.clone();
    let weak = alice
        .json(Method::POST, "/v1/password", &json!({ "current": PASSWORD, "new": "alice-alice-1" }))
        .await;
    assert_eq!(weak.gist(), "422 weak_password");
    let long = "x".repeat(1_025);
    let long = alice.json(Method::POST, "/v1/password", &json!({ "current": PASSWORD, "new": long })).await;
    assert_eq!(long.gist(), "422 weak_password", "too long is not a wrong password");
    let changed =
        alice.json(Method::POST, "/v1/password", &json!({ "current": PASSWORD, "new": BETTER })).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.body);
    assert_ne!(alice.token, before);
    assert_eq!(alice.get("/v1/session").await.status, StatusCode::OK);
    let ended = server.browser_with(&other).get("/v1/session").await;
    assert_eq!(ended.json()["end_reason"], "password_changed");
    let old = sign_in(&mut server.browser(), json!({ "username": "alice", "password": PASSWORD })).await;
    assert_eq!(old.gist(), "401 invalid_credentials");
    assert_eq!(
        sign_in(&mut server.browser(), json!({ "username": "alice", "password": BETTER })).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn several_different_sessions_in_one_request_are_refused_not_guessed_at() {
    let server = Server::with_people().await;
    let (first, second) = (server.plant("alice").await, server.plant("bob").await);
    let cookies = format!("__Host-cloakroom={}; __Host-cloakroom={}", first.token, second.token);
    let mut torn = server.browser().with("cookie", cookies);
    assert_eq!(torn.get("/v1/session").await.gist(), "400 conflicting_credentials");
    assert_eq!(torn.get("/account").await.gist(), "400 conflicting_credentials");
    let mut both = server.browser_with(&first).with("authorization", format!("Bearer {}", second.token));
    assert_eq!(both.get("/v1/session").await.gist(), "400 conflicting_credentials");
    let mut same = server.browser_with(&first).with("authorization", format!("Bearer {}", first.token));
    assert_eq!(same.get("/v1/session").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_reason_for_an_end_reaches_the_program() {
    let server = Server::with_people().await;
    for reason in EndReason::ALL {
        let planted = server.plant("bob").await;
        server.end(planted.id, reason).await;
        let mut bob = server.program();
        bob.token = Some(planted.token);
        let answer = bob.get("/v1/session").await;
        assert_eq!(
            (answer.gist(), answer.json()["end_reason"].clone()),
            ("401 session_ended".to_owned(), json!(reason.as_str()))
        );
    }
}

#[tokio::test]
async fn an_account_that_is_disabled_while_its_password_is_checked_gets_no_session() {
    let server = Server::with_people().await;
    let mut client = server.browser();
    let body = json!({ "username": "bob", "password": PASSWORD });
    let disabled = async {
        // Sign-in has begun, and its hash is being made on another thread.
        tokio::task::yield_now().await;
        server.disable("bob").await;
    };
    let (answer, ()) = futures_util::future::join(sign_in(&mut client, body), disabled).await;
    assert_eq!(answer.gist(), "401 invalid_credentials");
    assert_eq!((server.live("bob").await, client.token), (0, None));
}
