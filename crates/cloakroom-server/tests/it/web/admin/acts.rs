//! No act is acknowledged without its events, and none happens without a trace.

use std::sync::Arc;

use cloakroom_audit::{AuditEvent, names};
use cloakroom_conformance::Fault;
use cloakroom_store::Verb;
use http::Method;
use serde_json::{Value, json};

use super::faulty_audit::FaultyAudit;
use super::{Desk, post, revoke, revoked};
use crate::web::server::Server;

#[tokio::test]
async fn an_act_is_recorded_before_it_happens_and_before_it_is_acknowledged() {
    let desk = Desk::set().await;
    let body = json!({ "principal": "dora", "reason": "compromised", "note": "phished; ticket 4711" });
    assert_eq!(revoke(&mut desk.admin(), body).await.json(), revoked(1));
    let all = desk.server.events("*").await;
    let names: Vec<&str> = all.iter().map(|event| event.event.as_str()).collect();
    let ends = names.iter().position(|name| *name == "session_revoked").unwrap();
    assert_eq!(names[ends - 1..=ends + 1], ["authz_admin", "session_revoked", "authz_admin"]);
    let acts = desk.server.events(names::AUTHZ_ADMIN).await;
    let [begun, done] = acts.as_slice() else { panic!("{acts:?}") };
    for act in [begun, done] {
        assert_eq!((act.actor_kind.as_str(), act.actor_id.as_deref()), ("admin", Some("alice")));
        assert_eq!((act.principal.as_deref(), act.reason.as_deref()), (Some("dora"), Some("compromised")));
        assert_eq!(act.ip.as_deref(), Some("203.0.113.9"), "from where the administrator asked");
        assert_eq!(
            detail(act, ["act", "selection", "note"]),
            ["end_sessions", "principal", "phished; ticket 4711"]
        );
    }
    assert_eq!((&begun.detail["phase"], &done.detail["phase"]), (&json!("begun"), &json!("done")));
    assert_eq!((&done.detail["begun"], &done.detail["revoked"]), (&json!(begun.seq), &json!(1)));
}

/// Every act there is, on Dora.
fn every_act() -> Vec<(&'static str, Value)> {
    vec![
        ("revocations", json!({ "principal": "dora" })),
        ("revocations", json!({ "issued_before": "2999-01-01T00:00:00Z" })),
        ("revocations", json!({ "all": true })),
        ("users", json!({ "name": "erin", "password": "seven green umbrellas" })),
        ("users/dora/disable", json!({})),
        ("users/dora/roles", json!({ "roles": ["staff"] })),
        ("users/dora/password", json!({ "generate": true })),
        ("users/dora/enable", json!({})),
    ]
}

#[tokio::test(start_paused = true)]
async fn where_the_log_cannot_be_written_nothing_is_done() {
    for (path, body) in every_act() {
        let log = Arc::new(FaultyAudit::default());
        let desk = Desk::of(Server::recording(log.clone())).await;
        let before = desk.server.accounts.get("dora").await.unwrap();
        log.refuse(Some("begun"));
        let answer = post(&mut desk.admin(), path, body).await;
        assert_eq!(answer.gist(), "503 audit_unavailable", "{path}");
        assert_eq!(answer.json()["done"], false, "{path}");
        assert_eq!(desk.server.live("dora").await, 1, "{path}");
        assert_eq!(desk.server.accounts.get("dora").await.unwrap(), before, "{path}");
        assert_eq!(desk.server.accounts.get("erin").await.unwrap(), None, "{path}");
        let ended = desk.admin().ask(Method::DELETE, &format!("/v1/admin/sessions/{}", desk.dora.id)).await;
        assert_eq!(ended.gist(), "503 audit_unavailable");
        assert_eq!(desk.server.live("dora").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_not_acknowledged_before_that_is_recorded() {
    for (path, body) in every_act() {
        let log = Arc::new(FaultyAudit::default());
        let desk = Desk::of(Server::recording(log.clone())).await;
        log.refuse(Some("done"));
        let answer = post(&mut desk.admin(), path, body).await;
        assert_eq!(answer.gist(), "503 audit_unavailable", "{path}");
        assert_eq!(answer.json()["done"], true, "{path}: and it says that it was");
        assert!(
            !answer.body.contains("\"password\""),
            "{path}: nobody is shown a password that is not recorded"
        );
        log.refuse(None);
        let recorded = phases(&desk).await;
        assert_eq!(recorded[0], "begun", "{path}");
        assert!(recorded.contains(&"done".to_owned()), "{path}: the log has it as soon as it can be written");
    }
}

/// Names and sizes are shown whatever the log does; values leave only once it lasts that they were read.
#[tokio::test(start_paused = true)]
async fn values_are_not_shown_where_that_cannot_be_recorded() {
    let log = Arc::new(FaultyAudit::default());
    let desk = Desk::of(Server::recording(log.clone())).await;
    let secret = json!({ "iban": "DE02 1203" });
    assert_eq!(desk.dora().json(Method::PATCH, "/v1/session/attributes", &secret).await.gist(), "200");
    log.refuse(Some(names::SENSITIVE_READ));
    let path = format!("/v1/admin/sessions/{}", desk.dora.id);
    assert_eq!(desk.admin().get(&path).await.gist(), "200");
    let refused = desk.admin().get(&format!("{path}?values=true")).await;
    assert_eq!(refused.gist(), "503 audit_unavailable");
    assert!(!refused.body.contains("1203"), "{}", refused.body);
    assert_eq!(desk.admin().get("/admin/audit/export").await.gist(), "503 audit_unavailable");
}

#[tokio::test]
async fn an_act_that_fails_is_recorded_with_what_it_did_until_then() {
    let desk = Desk::set().await;
    desk.server.store.script(Verb::End, Fault::FailBefore);
    let answer = post(&mut desk.admin(), "users/dora/disable", json!({})).await;
    assert_eq!(answer.gist(), "503 store_unavailable");
    assert_eq!(answer.json()["account_changed"], true);
    let acts = desk.server.events(names::AUTHZ_ADMIN).await;
    let failed = acts.last().unwrap();
    assert_eq!(detail(failed, ["act", "phase", "error"]), ["disable_account", "failed", "store_unavailable"]);
    assert_eq!(failed.detail["account_changed"], true);
    assert_eq!(desk.server.live("dora").await, 1, "not ended yet");
    let again = post(&mut desk.admin(), "users/dora/disable", json!({})).await;
    assert_eq!((again.gist().as_str(), &again.json()["sessions_ended"]), ("200", &json!(1)), "again is safe");
}

#[tokio::test]
async fn each_selection_ends_what_it_says_and_a_dry_run_ends_nothing() {
    let desk = Desk::set().await;
    let more = [desk.server.plant("dora").await, desk.server.plant("dora").await];
    let id = |index: usize| more[index].id.to_string();
    let mut admin = desk.admin();
    let named = json!({ "sessions": [id(0), id(1), id(1)] });
    for (body, count) in [
        (json!({ "session": id(0) }), 1),
        (named.clone(), 2),
        (json!({ "principal": "dora" }), 3),
        (json!({ "principal": "dora", "except": id(0) }), 2),
        (json!({ "issued_before": "2999-01-01T00:00:00Z" }), 6),
        (json!({ "all": true }), 6),
    ] {
        let mut dry = body.clone();
        dry["dry_run"] = json!(true);
        let expected =
            json!({ "revoked": 0, "settled": false, "expected": { "count": count, "exact": true } });
        assert_eq!(revoke(&mut admin, dry).await.json(), expected, "{body}");
    }
    assert_eq!(desk.server.live("dora").await, 3);
    assert!(desk.server.events(names::AUTHZ_ADMIN).await.is_empty(), "a question is no act");
    let spare = json!({ "principal": "dora", "except": id(0), "settled": true });
    assert_eq!(revoke(&mut admin, spare).await.json(), json!({ "revoked": 2, "settled": true }));
    assert_eq!(revoke(&mut admin, named).await.json(), revoked(1));
    assert_eq!(revoke(&mut admin, json!({ "all": true })).await.json(), revoked(3), "one's own, too");
    assert_eq!(admin.get("/v1/session").await.gist(), "401 session_ended");
}

#[tokio::test]
async fn requests_that_could_mean_two_things_are_refused() {
    let desk = Desk::set().await;
    let id = desk.dora.id.to_string();
    let too_many: Vec<&str> = vec![&id; 201];
    for body in [
        json!({}),
        json!({ "all": false }),
        json!({ "all": true, "principal": "dora" }),
        json!({ "session": id, "sessions": [id] }),
        json!({ "session": id, "except": id }),
        json!({ "session": "dora" }),
        json!({ "sessions": too_many }),
        json!({ "issued_before": "soon" }),
        json!({ "principal": "" }),
        json!({ "principal": "dora", "reason": "bored" }),
        json!({ "principal": "dora", "reason": "idle_timeout" }),
        json!({ "principal": "dora", "note": "two\nlines" }),
        json!({ "principal": "dora", "note": "x".repeat(501) }),
        json!({ "principal": "dora", "force": true }),
        json!([]),
    ] {
        let answer = revoke(&mut desk.admin(), body.clone()).await;
        assert_eq!(answer.gist(), "400 malformed_request", "{body}");
    }
    assert_eq!(desk.server.live("dora").await, 1);
    let unknown = revoke(&mut desk.admin(), json!({ "session": "ses_AAAAAAAAAAAAAAAAAAAAAA" })).await;
    assert_eq!(unknown.gist(), "404 not_found");
    assert!(desk.server.events(names::AUTHZ_ADMIN).await.is_empty());
}

#[tokio::test]
async fn a_proof_of_five_minutes_ago_is_no_proof_for_an_act() {
    let desk = Desk::set().await;
    desk.server.advance(5);
    assert_eq!(revoke(&mut desk.admin(), json!({ "all": true, "dry_run": true })).await.gist(), STALE);
    for (path, body) in every_act() {
        assert_eq!(post(&mut desk.admin(), path, body).await.gist(), STALE, "{path}");
    }
    assert_eq!(desk.admin().get("/v1/admin/sessions").await.gist(), "200", "looking takes no proof");
}

fn detail<const N: usize>(event: &AuditEvent, keys: [&str; N]) -> [String; N] {
    keys.map(|key| event.detail[key].as_str().unwrap_or_default().to_owned())
}

async fn phases(desk: &Desk) -> Vec<String> {
    // While the log could not be written everything waits for its next attempt: by a clock that is the test's.
    let mut turns = 0;
    while desk.server.audit.health().failing_since.is_some() {
        turns += 1;
        assert!(turns < 600, "the log is tried again within a minute");
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    let acts = desk.server.events(names::AUTHZ_ADMIN).await;
    acts.iter().map(|act| detail(act, ["phase"]).concat()).collect()
}

const STALE: &str = "403 reauthentication_required";
