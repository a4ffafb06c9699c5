//! Support: one person at a time, no addresses, nobody of the staff.

use cloakroom_audit::names;
use http::{Method, StatusCode};
use serde_json::json;

use super::{Desk, post, revoke, revoked};
use crate::web::server::Server;

const DORAS_ADDRESS: &str = "198.51.100.23";

#[tokio::test]
async fn support_sees_one_person_without_addresses_and_ends_their_sessions() {
    let desk = Desk::set().await;
    let mut support = desk.support();
    let ended =
        revoke(&mut desk.admin(), json!({ "session": desk.server.plant("dora").await.id.to_string() })).await;
    assert_eq!(ended.json(), revoked(1));
    for path in ["principals/Dora?state=any".to_owned(), format!("sessions/{}", desk.dora.id)] {
        let answer = support.get(&format!("/v1/admin/{path}")).await;
        assert_eq!(answer.gist(), "200", "{path}");
        assert_eq!(answer.json()["addresses_hidden"], true, "{path}");
        for address in [DORAS_ADDRESS, "203.0.113.9"] {
            assert!(!answer.body.contains(address), "{path}: {}", answer.body);
        }
        assert!(answer.body.contains("Safari on iPhone"), "{path}: the device's name helps");
        let to_admin = desk.admin().get(&format!("/v1/admin/{path}")).await;
        assert!(to_admin.body.contains(DORAS_ADDRESS), "{path}");
    }
    let one =
        revoke(&mut support, json!({ "session": desk.dora.id.to_string(), "note": "lost phone" })).await;
    assert_eq!(one.json(), revoked(1));
    desk.server.plant("dora").await;
    assert_eq!(revoke(&mut support, json!({ "principal": "dora" })).await.json(), revoked(1));
    assert_eq!(desk.server.live("dora").await, 0);
    let reads = desk.server.events(names::SENSITIVE_READ).await;
    let by_sam = reads.iter().filter(|read| read.actor_id.as_deref() == Some("sam"));
    assert_eq!(
        by_sam.map(|read| read.principal.as_deref()).collect::<Vec<_>>(),
        [Some("dora"), Some("dora")]
    );
    assert_eq!(support.get("/v1/admin/principals/nobody").await.gist(), "404 not_found");
}

#[tokio::test]
async fn support_does_not_look_at_everybody_one_by_one() {
    let desk = Desk::set().await;
    let mut support = desk.support();
    let mut looks = 0;
    let refused = loop {
        let answer = support.get(&format!("/v1/admin/principals/nobody{looks}")).await;
        if answer.status != StatusCode::NOT_FOUND {
            break answer;
        }
        looks += 1;
    };
    assert_eq!((looks, refused.gist().as_str()), (300, "429 too_many_looks"));
    let one = format!("/v1/admin/sessions/{}", desk.dora.id);
    assert_eq!(support.get(&one).await.gist(), "429 too_many_looks", "nor at sessions");
    assert_eq!(desk.auditor().get(&one).await.gist(), "200", "whoever sees lists is not held up");
    desk.server.advance(1);
    assert_eq!(support.get(&one).await.gist(), "200");
}

#[tokio::test]
async fn addresses_are_shown_to_support_where_that_is_configured() {
    let desk = Desk::of(Server::configured("[console]\nsupport_sees_addresses = true")).await;
    let answer = desk.support().get("/v1/admin/principals/dora").await;
    assert_eq!(answer.json()["addresses_hidden"], false);
    assert_eq!(answer.json()["sessions"][0]["device"]["ip"], DORAS_ADDRESS);
}

#[tokio::test]
async fn support_can_neither_look_at_staff_nor_sign_them_out() {
    let desk = Desk::set().await;
    desk.server.add("ruth", &["support"]).await;
    desk.server.plant("ruth").await;
    // Staff without an account here: their session alone says what they are.
    let guest = desk.server.plant_with_roles("guest", &["admin"]).await;
    let mut support = desk.support();
    let refused = "403 protected_principal";
    for (name, id) in [("alice", desk.admin.id), ("ada", desk.auditor.id), ("guest", guest.id)] {
        assert_eq!(support.get(&format!("/v1/admin/principals/{name}")).await.gist(), refused, "{name}");
        assert_eq!(support.get(&format!("/v1/admin/sessions/{id}")).await.gist(), refused, "{name}");
        let end = support.ask(Method::DELETE, &format!("/v1/admin/sessions/{id}")).await;
        assert_eq!(end.gist(), refused, "{name}");
        for body in [json!({ "session": id.to_string() }), json!({ "principal": name })] {
            assert_eq!(revoke(&mut support, body.clone()).await.gist(), refused, "{body}");
            let mut dry = body;
            dry["dry_run"] = json!(true);
            assert_eq!(revoke(&mut support, dry).await.gist(), refused, "not even counted");
        }
        assert_eq!(desk.server.live(name).await, 1);
    }
    assert_eq!(revoke(&mut support, json!({ "principal": "RUTH" })).await.gist(), refused, "nor one another");
    assert_eq!(support.get("/v1/admin/principals/sam").await.gist(), "200", "but themselves");
    assert!(desk.server.events(names::AUTHZ_ADMIN).await.is_empty(), "nothing began");
    let tries = desk.server.events(names::AUTHZ_FAIL).await;
    let first = tries.first().expect("a try is remembered");
    assert_eq!(first.principal.as_deref(), Some("alice"));
    assert_eq!(first.reason.as_deref(), Some("protected_principal"));
    assert_eq!(first.actor_id.as_deref(), Some("sam"));
}

#[tokio::test]
async fn a_role_that_does_not_suffice_is_refused_and_remembered() {
    let desk = Desk::set().await;
    let mut support = desk.support();
    let many = [
        json!({ "sessions": [desk.dora.id.to_string()] }),
        json!({ "all": true }),
        json!({ "issued_before": "2999-01-01T00:00:00Z" }),
    ];
    for body in many {
        assert_eq!(revoke(&mut support, body.clone()).await.gist(), "403 forbidden", "{body}");
    }
    for path in ["sessions", "sessions?principal=dora", "audit", "stats", "users", "users/dora", "live"] {
        assert_eq!(support.get(&format!("/v1/admin/{path}")).await.gist(), "403 forbidden", "{path}");
    }
    let mut auditor = desk.auditor();
    assert_eq!(revoke(&mut auditor, json!({ "principal": "dora" })).await.gist(), "403 forbidden");
    assert_eq!(post(&mut auditor, "users/dora/disable", json!({})).await.gist(), "403 forbidden");
    assert_eq!(desk.dora().get("/v1/admin/stats").await.gist(), "403 forbidden");
    let told = desk.server.events(names::AUTHZ_FAIL).await;
    // What one of them asks for within seconds is summed up behind the first.
    for (kind, id, right) in
        [("admin", "sam", "end_of_many"), ("admin", "ada", "end_of_one"), ("user", "dora", "see_all")]
    {
        let event = told.iter().find(|event| event.principal.as_deref() == Some(id));
        let event = event.unwrap_or_else(|| panic!("{id} in {told:?}"));
        let by = (event.actor_kind.as_str(), event.actor_id.as_deref(), &event.detail["right"]);
        assert_eq!(by, (kind, Some(id), &json!(right)));
        assert_eq!((event.reason.as_deref(), event.ip.as_deref()), (Some("forbidden"), Some("203.0.113.9")));
    }
}
