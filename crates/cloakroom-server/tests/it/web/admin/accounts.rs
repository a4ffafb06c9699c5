//! Accounts through the API: the stories, and how nobody locks everybody out.

use cloakroom_audit::names;
use http::Method;
use serde_json::json;

use super::{Desk, post};
use crate::web::client::Answer;
use crate::web::server::PASSWORD;

#[tokio::test]
async fn an_account_is_added_used_disabled_and_enabled() {
    let desk = Desk::set().await;
    let mut admin = desk.admin();
    let added =
        post(&mut admin, "users", json!({ "name": "Erin", "roles": ["staff"], "generate": true })).await;
    assert_eq!(added.gist(), "201", "{}", added.body);
    let password = added.json()["password"].as_str().unwrap().to_owned();
    assert_eq!(password.len(), 23, "twenty letters in four groups: {password}");
    assert_eq!(added.json()["user"]["name"], "Erin");

    let mut erin = desk.server.browser();
    assert_eq!(erin.sign_in("erin", &password).await.gist(), "303 /sign-in/done?return_to=%2Faccount");
    let disabled = post(&mut admin, "users/erin/disable", json!({ "note": "left the company" })).await;
    assert_eq!((disabled.gist().as_str(), &disabled.json()["sessions_ended"]), ("200", &json!(1)));
    assert_eq!(disabled.json()["user"]["enabled"], false);
    let refused = erin.get("/v1/session").await;
    assert_eq!(
        (refused.gist().as_str(), &refused.json()["end_reason"]),
        ("401 session_ended", &json!("account_disabled"))
    );
    assert_eq!(erin.sign_in("erin", &password).await.code().as_deref(), Some("invalid_credentials"));
    assert_eq!(post(&mut admin, "users/ERIN/enable", json!({})).await.json()["user"]["enabled"], true);
    assert_eq!(erin.sign_in("erin", &password).await.gist(), "303 /sign-in/done?return_to=%2Faccount");

    let events = desk.server.events("user_*").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.event.as_str(), event.principal.as_deref(), event.reason.as_deref()))
        .collect();
    let erin = Some("Erin");
    assert_eq!(
        told,
        [
            (names::USER_CREATED, erin, None),
            (names::USER_UPDATED, erin, Some("disabled")),
            (names::USER_UPDATED, erin, Some("enabled")),
        ]
    );
    let log = admin.get("/v1/admin/audit?limit=200").await;
    assert!(!log.body.contains(&password), "a password is shown once, and not by the log");
}

#[tokio::test]
async fn roles_hold_from_the_next_sign_in_and_end_the_sessions_with_the_old_ones() {
    let desk = Desk::set().await;
    let mut admin = desk.admin();
    let changed = post(&mut admin, "users/dora/roles", json!({ "roles": ["support", "billing"] })).await;
    assert_eq!((changed.gist().as_str(), &changed.json()["sessions_ended"]), ("200", &json!(1)));
    assert_eq!(changed.json()["user"]["roles"], json!(["billing", "support"]));
    let dora = desk.server.plant("dora").await;
    assert_eq!(
        desk.server.browser_with(&dora).get("/v1/admin/principals/ada").await.gist(),
        "403 protected_principal"
    );
    let event = desk.server.events(names::AUTHZ_CHANGE).await.pop().unwrap();
    assert_eq!(
        (event.principal.as_deref(), &event.detail["roles"]),
        (Some("dora"), &json!("billing,support"))
    );
}

#[tokio::test]
async fn a_password_that_was_set_ends_the_sessions_of_the_old_one() {
    let desk = Desk::set().await;
    let mut admin = desk.admin();
    let body = json!({ "password": "seven green umbrellas", "settled": true });
    let changed = post(&mut admin, "users/dora/password", body).await;
    assert_eq!((changed.gist().as_str(), &changed.json()["sessions_ended"]), ("200", &json!(1)));
    assert!(changed.json().get("password").is_none(), "whoever chose it knows it");
    assert_eq!(desk.dora().get("/v1/session").await.json()["end_reason"], "password_changed");
    let mut dora = desk.server.browser();
    assert_eq!(dora.sign_in("dora", PASSWORD).await.code().as_deref(), Some("invalid_credentials"));
    assert!(dora.sign_in("dora", "seven green umbrellas").await.gist().starts_with("303 /sign-in/done"));
    assert_eq!(desk.server.events(names::PASSWORD_CHANGE).await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_a_sentence() {
    let desk = Desk::set().await;
    let mut admin = desk.admin();
    for (path, body, gist) in [
        ("users", json!({ "name": "DORA", "generate": true }), "409 name_taken"),
        ("users", json!({ "name": " erin", "generate": true }), "400 malformed_request"),
        ("users", json!({ "name": "erin", "password": "password" }), "422 weak_password"),
        ("users", json!({ "name": "erin", "password": "x".repeat(1_025) }), "422 weak_password"),
        ("users", json!({ "name": "erin" }), "400 malformed_request"),
        (
            "users",
            json!({ "name": "erin", "generate": true, "password": "seven green umbrellas" }),
            "400 malformed_request",
        ),
        ("users", json!({ "name": "erin", "generate": true, "roles": ["a b"] }), "400 malformed_request"),
        ("users", json!({ "name": "erin", "generate": true, "admin": true }), "400 malformed_request"),
        ("users/dora/roles", json!({}), "400 malformed_request"),
        ("users/dora/password", json!({ "password": "password" }), "422 weak_password"),
        ("users/dora/disable", json!({ "note": "a\u{202e}b" }), "400 malformed_request"),
        ("users/nobody/disable", json!({}), "404 not_found"),
        ("users/nobody/enable", json!({}), "404 not_found"),
        ("users/nobody/roles", json!({ "roles": [] }), "404 not_found"),
        ("users/nobody/password", json!({ "generate": true }), "404 not_found"),
    ] {
        let answer = post(&mut admin, path, body.clone()).await;
        assert_eq!(answer.gist(), gist, "{path} {body}");
    }
    assert!(desk.server.events(names::AUTHZ_ADMIN).await.is_empty());
    let form = admin.ask(Method::POST, "/v1/admin/users/dora/disable").await;
    assert_eq!(form.gist(), "415 unsupported_media_type");
}

#[tokio::test]
async fn accounts_are_listed_by_name_page_by_page() {
    let desk = Desk::set().await;
    let mut auditor = desk.auditor();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = auditor.get(&format!("/v1/admin/users?limit=2{cursor}")).await.json();
        let names =
            page["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned());
        seen.extend(names);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["ada", "alice", "dora", "sam"]);
    let found = auditor.get("/v1/admin/users?q=OR").await.json();
    assert_eq!((&found["users"][0]["name"], found["users"].as_array().unwrap().len()), (&json!("dora"), 1));
    assert_eq!(auditor.get("/v1/admin/users/Dora").await.json()["user"]["name"], "dora");
    assert_eq!(auditor.get("/v1/admin/users/nobody").await.gist(), "404 not_found");
}

#[tokio::test]
async fn nobody_changes_their_own_account_with_a_session_alone() {
    let desk = Desk::set().await;
    desk.server.add("root", &["admin"]).await;
    for (path, body) in [
        ("users/alice/disable", json!({})),
        ("users/ALICE/roles", json!({ "roles": ["admin"] })),
        ("users/alice/password", json!({ "generate": true })),
        ("users/alice/enable", json!({})),
    ] {
        assert_eq!(post(&mut desk.admin(), path, body).await.gist(), "409 own_account", "{path}");
    }
    assert_eq!(desk.admin().get("/v1/session").await.gist(), "200");
}

#[tokio::test]
async fn the_last_administrator_stays_whoever_asks() {
    let desk = Desk::set().await;
    // An administrator by a session that a service issued: there is no account of theirs.
    let root = desk.server.plant_with_roles("root", &["admin"]).await;
    let mut root = desk.server.browser_with(&root);
    for (path, body) in
        [("users/alice/disable", json!({})), ("users/alice/roles", json!({ "roles": ["auditor"] }))]
    {
        assert_eq!(post(&mut root, path, body).await.gist(), "409 last_administrator", "{path}");
    }
    assert_eq!(desk.admin().get("/v1/session").await.gist(), "200", "nothing was done");
    desk.server.add("zoe", &["admin"]).await;
    assert_eq!(post(&mut root, "users/alice/disable", json!({})).await.gist(), "200");
    assert_eq!(post(&mut root, "users/zoe/disable", json!({})).await.gist(), "409 last_administrator");
}

#[tokio::test]
async fn two_administrators_who_remove_each_other_at_once_leave_one() {
    for round in 0..6 {
        let desk = Desk::set().await;
        desk.server.add("zoe", &["admin"]).await;
        let zoe = desk.server.plant("zoe").await;
        let (mut one, mut other) = (desk.admin(), desk.server.browser_with(&zoe));
        let act = if round % 2 == 0 { "disable" } else { "roles" };
        let body = if round % 2 == 0 { json!({}) } else { json!({ "roles": [] }) };
        let (zoes, alices) = (format!("users/zoe/{act}"), format!("users/alice/{act}"));
        let (one, other) = tokio::join!(post(&mut one, &zoes, body.clone()), post(&mut other, &alices, body));
        let done = [&one, &other].into_iter().filter(|answer| answer.gist() == "200").count();
        assert_eq!(done, 1, "{} and {}", one.gist(), other.gist());
        let mut left = 0;
        for name in ["alice", "zoe"] {
            let account = desk.server.accounts.get(name).await.unwrap().unwrap();
            left += usize::from(account.is_enabled() && account.principal().has_role("admin"));
        }
        assert_eq!(left, 1);
    }
}

#[tokio::test]
async fn what_is_left_of_a_disabled_administrators_session_manages_nothing() {
    let desk = Desk::set().await;
    desk.server.add("zoe", &["admin"]).await;
    // Disabled, and the session not ended yet.
    desk.server.disable("alice").await;
    let answers = [
        post(&mut desk.admin(), "users", json!({ "name": "mole", "roles": ["admin"], "generate": true }))
            .await,
        post(&mut desk.admin(), "users/zoe/disable", json!({})).await,
    ];
    assert_eq!(answers.map(|answer: Answer| answer.gist()), ["403 forbidden", "403 forbidden"]);
    assert_eq!(desk.server.accounts.get("mole").await.unwrap(), None);
}
