//! Numbers that move with what happens.

use serde_json::{Value, json};

use super::{Desk, revoke};
use crate::web::server::PASSWORD;

async fn stats(desk: &Desk, window: &str) -> Value {
    // What was found out is told again for two seconds.
    desk.server.clock.advance(std::time::Duration::from_secs(3));
    let answer = desk.auditor().get(&format!("/v1/admin/stats?window={window}")).await;
    assert_eq!(answer.gist(), "200");
    answer.json()
}

#[tokio::test]
async fn numbers_move_by_what_happens() {
    let desk = Desk::set().await;
    desk.server.events("*").await;
    let before = stats(&desk, "hour").await;
    assert_eq!(before["sessions"], json!({ "signed_in": 4, "anonymous": 0, "ended": 0 }));
    assert_eq!((&before["issued"], &before["ended"]), (&json!(4), &json!({})));
    revoke(&mut desk.admin(), json!({ "principal": "dora", "reason": "compromised" })).await;
    desk.server.browser().sign_in("dora", PASSWORD).await;
    desk.server.events("*").await;
    let after = stats(&desk, "hour").await;
    assert_eq!(after["sessions"], json!({ "signed_in": 4, "anonymous": 0, "ended": 1 }));
    assert_eq!((&after["issued"], &after["ended"]), (&json!(5), &json!({ "compromised": 1 })));
    assert_eq!((&after["store"]["health"], &after["accounts"]), (&json!("ok"), &json!("ok")));
    assert_eq!(after["near_cache"]["because"], "in_process");
    let series = after["series"].as_array().unwrap();
    let revoked = series.iter().find(|line| line["event"] == "session_revoked").unwrap();
    assert_eq!(revoked["reason"], "compromised");
    assert_eq!(revoked["minutes"][0]["count"], 1);
    assert!(revoked["minutes"][0]["at"].as_str() >= after["since"].as_str());
}

#[tokio::test]
async fn an_hour_later_only_the_day_remembers() {
    let desk = Desk::set().await;
    desk.server.events("*").await;
    desk.server.advance(61);
    let admin = desk.server.plant("alice").await;
    let mut admin = desk.server.browser_with(&admin);
    desk.server.events("*").await;
    assert_eq!(admin.get("/v1/admin/stats").await.json()["issued"], 1);
    assert_eq!(admin.get("/v1/admin/stats?window=day").await.json()["issued"], 5);
}

#[tokio::test]
async fn what_is_down_is_said_and_the_rest_is_told_all_the_same() {
    let desk = Desk::set().await;
    desk.server.events("*").await;
    desk.server.store.script(cloakroom_store::Verb::Ping, cloakroom_conformance::Fault::FailBefore);
    let told = stats(&desk, "hour").await;
    assert_eq!((&told["store"]["health"], &told["sessions"]), (&json!("unavailable"), &json!(null)));
    assert_eq!((&told["accounts"], &told["issued"]), (&json!("ok"), &json!(4)));
}
