//! Sign-in resists guessing, and tells nobody who has an account (ASVS 6.3.1, 6.3.8).

use cloakroom_server::accounts::HashingLimits;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use super::client::{Answer, Client};
use super::server::{PASSWORD, Server};

/// What an answer says, without what differs between any two answers.
fn said(answer: &Answer, typed: &str) -> (u16, Vec<(String, String)>, String) {
    let differs = |name: &str| matches!(name, "x-request-id" | "content-security-policy" | "content-length");
    let headers = answer.headers.iter().filter(|(name, _)| !differs(name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let nonce = answer.header("content-security-policy").split("'nonce-").nth(1).unwrap();
    let nonce = nonce.split('\'').next().unwrap();
    (answer.status.as_u16(), headers, answer.body.replace(nonce, "NONCE").replace(typed, "TYPED"))
}

async fn ask(client: &mut Client<'_>, name: &str, password: &str) -> Answer {
    client.json(Method::POST, "/v1/sign-in", &json!({ "username": name, "password": password })).await
}

#[tokio::test]
async fn nobody_learns_whether_an_account_exists_or_is_disabled() {
    let server = Server::with_people().await;
    server.add("carol", &[]).await;
    server.disable("carol").await;
    let mut answers = Vec::new();
    for (name, password) in
        [("alice", "wrong"), ("nobody", "wrong"), ("carol", PASSWORD), ("alice", &"x".repeat(1_025))]
    {
        let page = server.browser().sign_in(name, password).await;
        let call = ask(&mut server.program(), name, password).await;
        answers.push((name, said(&page, name), said(&call, name)));
    }
    for (name, page, call) in &answers {
        assert_eq!(page, &answers[0].1, "{name}");
        assert_eq!(call, &answers[0].2, "{name}");
    }
}

#[tokio::test]
async fn the_eleventh_guess_waits_however_it_is_made_and_whatever_it_is() {
    let server = Server::with_people().await;
    for name in ["alice", "nobody"] {
        let (mut person, mut program) = (server.browser(), server.program());
        for _ in 0..5 {
            assert_eq!(person.sign_in(name, "wrong").await.gist(), "401 invalid_credentials");
            assert_eq!(ask(&mut program, name, "wrong").await.gist(), "401 invalid_credentials");
        }
        assert_eq!(
            person.sign_in(name, PASSWORD).await.gist(),
            "429 too_many_attempts",
            "even the right one"
        );
        let refused = ask(&mut program, name, PASSWORD).await;
        assert_eq!(refused.gist(), "429 too_many_attempts");
        assert!((1..=91).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    }
    assert_eq!(
        server.browser().at("192.0.2.77").sign_in("alice", PASSWORD).await.status,
        303,
        "from elsewhere"
    );
    server.advance(2);
    assert_eq!(server.browser().sign_in("alice", PASSWORD).await.status, 303, "a tenth of the window later");
}

#[tokio::test]
async fn guesses_inside_a_session_count_too() {
    for (path, body) in [
        ("/v1/reauthenticate", json!({ "password": "wrong" })),
        ("/v1/password", json!({ "current": "wrong", "new": "seven green umbrellas" })),
    ] {
        let server = Server::with_people().await;
        let session = server.plant("alice").await;
        let mut thief = server.browser_with(&session);
        for _ in 0..10 {
            assert_eq!(
                thief.json(Method::POST, path, &body).await.gist(),
                "401 invalid_credentials",
                "{path}"
            );
        }
        assert_eq!(thief.json(Method::POST, path, &body).await.gist(), "429 too_many_attempts", "{path}");
        assert_eq!(server.live("alice").await, 1, "a wrong password signs nobody out");
    }
}

#[tokio::test]
async fn an_owner_at_home_gets_in_whatever_others_do() {
    let server = Server::with_people().await;
    let mut home = server.browser().at("198.51.100.7");
    assert_eq!(home.sign_in("alice", PASSWORD).await.status, 303);
    for guess in 0..120 {
        let mut elsewhere = server.program().at(&format!("192.0.2.{}", guess % 100));
        ask(&mut elsewhere, "alice", "wrong").await;
    }
    let mut new_place = server.program().at("192.0.2.200");
    assert_eq!(ask(&mut new_place, "alice", PASSWORD).await.gist(), "429 too_many_attempts");
    assert_eq!(home.sign_in("alice", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn more_sign_ins_than_can_be_hashed_are_turned_away_and_not_counted_as_guesses() {
    let server = Server::hashing(HashingLimits { parallel: 1, queued: 1 });
    server.add("alice", &[]).await;
    let at_once = (0..8).map(|_| async { ask(&mut server.program(), "alice", PASSWORD).await.gist() });
    let answers = join_all(at_once).await;
    assert_eq!(
        answers.iter().filter(|gist| *gist == "200").count(),
        2,
        "one hashed, one waiting: {answers:?}"
    );
    assert_eq!(answers.iter().filter(|gist| *gist == "503 busy").count(), 6, "{answers:?}");
    for _ in 0..10 {
        assert_eq!(ask(&mut server.program(), "alice", "wrong").await.gist(), "401 invalid_credentials");
    }
}
