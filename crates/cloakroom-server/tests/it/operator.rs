//! What the operator does at the command line is in the audit log before it is said to be done.

use std::sync::Arc;

use cloakroom::{
    Activity, AuthLevel, Authentication, EndReason, Issue, ManualClock, Method, Principal, PrincipalId,
    Revocation, Selector, Sessions, Store, Validation,
};
use cloakroom_audit::names;
use cloakroom_memory::MemoryStore;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};

use super::cli::{Desk, issue};

/// The events of this name, as they are exported.
fn events(desk: &Desk, name: &str) -> Vec<Value> {
    let run = desk.run(&["audit", "export", "--event", name]);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_act_of_the_operator_is_recorded_with_what_it_did() {
    let desk = Desk::new();
    let sessions = desk.sessions();
    desk.add("alice");
    issue(&sessions, "alice").await;
    let one = issue(&sessions, "bob").await.session.id().to_string();
    issue(&sessions, "bob").await;
    let password = |args: &[&str]| desk.run_with_input(args, "seven green umbrellas");
    for args in [
        &["users", "disable", "alice"][..],
        &["users", "enable", "Alice"],
        &["users", "set-roles", "alice", "--role", "auditor"],
        &["users", "set-password", "alice", "--password-stdin"],
        &["sessions", "revoke", &one, "--reason", "compromised"],
        &["sessions", "revoke", "--principal", "bob", "--except", &one],
        &["sessions", "revoke", "--issued-before", "2026-01-01T00:00:00Z"],
        &["sessions", "revoke", "--all"],
    ] {
        let run = password(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
    }
    let acts = events(&desk, names::AUTHZ_ADMIN);
    let told: Vec<Value> = acts
        .iter()
        .map(|act| {
            let detail = &act["detail"];
            json!([detail["act"], detail["phase"], act["principal"], act["reason"], detail["revoked"]])
        })
        .collect();
    let none = Value::Null;
    let expected = [
        ("add_account", json!("alice"), none.clone(), none.clone()),
        ("disable_account", json!("alice"), json!("account_disabled"), json!(1)),
        ("enable_account", json!("alice"), none.clone(), none.clone()),
        ("set_roles", json!("alice"), json!("revoked_by_admin"), json!(0)),
        ("set_password", json!("alice"), json!("password_changed"), json!(0)),
        ("end_sessions", none.clone(), json!("compromised"), json!(1)),
        ("end_sessions", json!("bob"), json!("revoked_by_admin"), json!(1)),
        ("end_sessions", none.clone(), json!("revoked_by_admin"), json!(0)),
        ("end_sessions", none.clone(), json!("revoked_by_admin"), json!(0)),
    ];
    let expected = expected.into_iter().flat_map(|(act, principal, reason, revoked)| {
        [json!([act, "begun", principal, reason, none]), json!([act, "done", principal, reason, revoked])]
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
    assert!(acts.iter().all(|act| act["actor"] == json!({ "kind": "operator", "id": null })));
    let ended = events(&desk, "session_revoked");
    let ended: Vec<_> =
        ended.iter().map(|end| (&end["principal"], &end["reason"], &end["actor"]["kind"])).collect();
    let (operator, bob) = (json!("operator"), json!("bob"));
    assert_eq!(
        ended,
        [
            (&json!("alice"), &json!("account_disabled"), &operator),
            (&bob, &json!("compromised"), &operator),
            (&bob, &json!("revoked_by_admin"), &operator),
        ]
    );
    let changes: Vec<_> = events(&desk, "user_*").iter().map(|event| event["event"].clone()).collect();
    assert_eq!(changes, [names::USER_CREATED, names::USER_UPDATED, names::USER_UPDATED]);
    assert_eq!(desk.run(&["audit", "verify"]).code, Some(0), "commands append to one chain");
}

#[tokio::test]
async fn where_the_log_cannot_be_opened_a_command_does_nothing() {
    let desk = Desk::new();
    let sessions = desk.sessions();
    desk.add("alice");
    issue(&sessions, "alice").await;
    std::fs::write(desk.path("cloakroom-data/audit.key"), "no key").unwrap();
    for args in [&["users", "disable", "alice"][..], &["sessions", "revoke", "--all"]] {
        let run = desk.run(args);
        assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
        assert!(run.stderr.contains("help: what is not recorded is not done"), "{run:?}");
    }
    assert_eq!(desk.run(&["users", "list", "--json"]).json()["users"][0]["enabled"], true);
    assert_eq!(desk.run(&["sessions", "list", "--json"]).json()["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sessions_are_listed_by_state_and_text() {
    let desk = Desk::new();
    let sessions = desk.sessions();
    issue(&sessions, "alice").await;
    let bob = issue(&sessions, "bob").await.session.id().to_string();
    desk.run(&["sessions", "revoke", &bob]).says("1 session ended.\n");
    let principals = |args: &[&str]| {
        let listed = desk.run(&[&["sessions", "list", "--json"], args].concat()).json();
        let sessions = listed["sessions"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            sessions.map(|session| session["principal"]["id"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(principals(&[]), ["alice"]);
    assert_eq!(principals(&["--state", "ended"]), ["bob"]);
    assert_eq!(principals(&["--state", "any"]), ["alice", "bob"]);
    assert_eq!(principals(&["--ended"]), ["alice", "bob"]);
    assert_eq!(principals(&["--text", "ali*"]), ["alice"]);
    assert_eq!(principals(&["--text", &bob, "--state", "any"]), ["bob"]);
    assert!(principals(&["--ip", "203.0.113.77"]).is_empty());
    assert_eq!(desk.run(&["sessions", "list", "--ended", "--state", "any"]).code, Some(2));
}

#[tokio::test]
async fn whose_time_was_up_before_is_not_counted_as_put_out() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let file = SqliteStore::open(SqliteOptions::new(dir.path().join("sessions.db"))).unwrap();
    let stores: [(&str, Arc<dyn Store>); 2] =
        [("memory", Arc::new(MemoryStore::default())), ("sqlite", Arc::new(file))];
    for (name, store) in stores {
        let sessions = Sessions::builder_shared(store).clock(clock.clone()).build().unwrap();
        let alice = PrincipalId::new("alice").unwrap();
        let sign_in = async || {
            let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
            let wish = Issue::signed_in(Principal::new(alice.clone()), proof);
            sessions.issue(wish).await.unwrap().expect_issued()
        };
        let idle = [sign_in().await, sign_in().await, sign_in().await];
        clock.advance(sessions.policy().timeouts().idle);
        sign_in().await;
        let all = Selector::Principal { principal: alice.clone(), except: None };
        let because = Revocation::by_system(EndReason::RevokedByAdmin);
        let revoked = sessions.revoke(&all, because).await.unwrap();
        assert_eq!(revoked.count(), 1, "{name}");
        for one in idle {
            let found = sessions.validate(&one.token, Activity::Ignored).await.unwrap();
            let Validation::Ended(ended) = found else { panic!("{name}: {found:?}") };
            assert_eq!(ended.reason, EndReason::IdleTimeout, "{name}");
        }
    }
}
