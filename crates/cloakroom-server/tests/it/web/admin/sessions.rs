//! Looking at sessions, and ending one.

use std::collections::BTreeSet;

use cloakroom_audit::names;
use http::Method;
use serde_json::json;

use super::{Desk, ids, revoked};
use crate::web::server::Server;

#[tokio::test]
async fn sessions_are_found_by_what_is_known_of_them() {
    let desk = Desk::set().await;
    let second = desk.server.plant("dora").await;
    let dora = [second.id.to_string(), desk.dora.id.to_string()];
    assert_eq!(revoke_one(&desk, &dora[0]).await, revoked(1));
    let mut admin = desk.admin();
    let living =
        format!("issued_before={}", desk.server.sessions.now().plus(std::time::Duration::from_secs(1)));
    for (query, found) in [
        ("principal=dora".to_owned(), vec![&dora[1]]),
        ("principal=dora&state=ended".into(), vec![&dora[0]]),
        (format!("q={}", dora[1]), vec![&dora[1]]),
        ("q=dor*".into(), vec![&dora[1]]),
        ("q=dora&ip=198.51.100.23".into(), vec![&dora[1]]),
        ("principal=dora&ip=198.51.100.24".into(), vec![]),
        ("principal=dora&device=IPHONE".into(), vec![&dora[1]]),
        ("principal=dora&device=android".into(), vec![]),
        ("principal=dora&issued_from=2999-01-01T00:00:00Z".into(), vec![]),
        (format!("principal=dora&{living}"), vec![&dora[1]]),
        ("principal=nobody".into(), vec![]),
    ] {
        let answer = admin.get(&format!("/v1/admin/sessions?{query}")).await;
        assert_eq!(ids(&answer).iter().collect::<Vec<_>>(), found, "{query}");
        assert_eq!(answer.json()["next_cursor"], json!(null), "{query}");
    }
    let any = admin.get("/v1/admin/sessions?principal=dora&state=any").await;
    assert_eq!(ids(&any).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(dora));
    let own = admin.get("/v1/admin/sessions?principal=alice").await.json();
    assert_eq!(own["sessions"][0]["current"], true, "the session that asks is marked");
    assert_eq!(own["sessions"][0]["attributes"], json!(null), "lists show no attributes");
}

#[tokio::test]
async fn pages_lead_to_every_session_once_while_others_come_and_go() {
    let desk = Desk::set().await;
    let mut expected = BTreeSet::new();
    for _ in 0..7 {
        desk.server.advance(1);
        expected.insert(desk.server.plant("dora").await.id.to_string());
    }
    for order in ["newest_first", "oldest_first"] {
        let mut admin = desk.admin();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let from = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
            let answer =
                admin.get(&format!("/v1/admin/sessions?principal=dora&order={order}&limit=2{from}")).await;
            seen.extend(ids(&answer));
            pages += 1;
            // Whoever signs in meanwhile stands at an end that was passed already, or comes last.
            if order == "newest_first" {
                desk.server.advance(1);
                desk.server.plant("dora").await;
            }
            match answer.json()["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let once: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "none twice");
        assert!(once.is_superset(&expected), "none left out");
        assert!(pages >= 4, "{pages} pages");
    }
}

#[tokio::test]
async fn each_bad_parameter_gets_its_own_sentence() {
    let desk = Desk::set().await;
    let mut admin = desk.admin();
    let id = desk.dora.id;
    let long = "x".repeat(513);
    for (path, sentence) in [
        ("sessions?state=dead".to_owned(), "state is active, ended or any"),
        ("sessions?ip=here".into(), "ip is an IPv4 or IPv6 address"),
        ("sessions?limit=0".into(), "limit is a number from 1 to 200"),
        ("sessions?limit=201".into(), "limit is a number from 1 to 200"),
        ("sessions?order=random".into(), "order is newest_first or oldest_first"),
        ("sessions?cursor=x".into(), "cursor is the next_cursor of the page before"),
        ("sessions?issued_from=yesterday".into(), "issued_from is an instant such as 2026-03-01T09:30:00Z"),
        ("sessions?seen_before=1".into(), "seen_before is an instant such as 2026-03-01T09:30:00Z"),
        (format!("sessions?q={long}"), "q has at most 512 bytes"),
        ("sessions?principal=".into(), "empty"),
        ("sessions?page=2".into(), "the parameters are principal, state, ip, q, device"),
        ("sessions?q=a&q=b".into(), "each at most once"),
        (format!("sessions/{id}?values=maybe"), "values is true or false"),
        ("audit?event=DROP%20TABLE".into(), "event is a name such as session_revoked"),
        ("audit?since=1".into(), "since is an instant such as"),
        ("audit?cursor=-1".into(), "cursor is the next_cursor of the page before"),
        ("audit?session=1".into(), "session is an id, ses_"),
        ("audit?who=me".into(), "the parameters are principal, session, event"),
        ("stats?window=year".into(), "window is hour or day"),
        ("users?limit=x".into(), "limit is a number from 1 to 200"),
        ("principals/dora?state=x".into(), "state is active, ended or any"),
        ("live?after=x".into(), "after and Last-Event-ID are the seq of an event"),
    ] {
        let answer = admin.get(&format!("/v1/admin/{path}")).await;
        assert_eq!(answer.gist(), "400 malformed_request", "{path}: {}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(sentence), "{path}: {detail}");
    }
    let recorded = desk.server.events(names::INPUT_VALIDATION_FAIL).await;
    assert!(!recorded.is_empty(), "no client of ours asks like this");
    assert_eq!(recorded[0].reason.as_deref(), Some("malformed_request"));
}

#[tokio::test]
async fn a_session_is_shown_with_its_history_and_the_look_is_recorded() {
    let desk = Desk::set().await;
    let (mut dora, mut admin) = (desk.dora(), desk.admin());
    let secret = json!({ "iban": "DE02 1203 0000 0000 2020 51" });
    assert_eq!(dora.json(Method::PATCH, "/v1/session/attributes", &secret).await.gist(), "200");
    let path = format!("/v1/admin/sessions/{}", desk.dora.id);
    let look = admin.get(&path).await;
    let shown = look.json();
    assert_eq!(shown["session"]["principal"]["id"], "dora");
    assert_eq!(shown["session"]["device"]["ip"], "198.51.100.23");
    assert_eq!((&shown["session"]["attributes"], &shown["addresses_hidden"]), (&json!(null), &json!(false)));
    assert!(shown["attribute_sizes"]["iban"].as_u64() >= Some(27), "{shown}");
    assert!(!look.body.contains("1203"), "the value stays where it is");
    assert_eq!(shown["history"][0]["event"], "session_created");
    assert_eq!(admin.get(&format!("{path}?values=true")).await.json()["session"]["attributes"], secret);
    let reads = desk.server.events(names::SENSITIVE_READ).await;
    let reads: Vec<_> = reads
        .iter()
        .map(|read| {
            (read.actor_id.as_deref(), read.principal.as_deref(), read.session, &read.detail["values"])
        })
        .collect();
    let read = |values| (Some("alice"), Some("dora"), Some(desk.dora.id), values);
    assert_eq!(reads, [read(&json!(false)), read(&json!(true))]);
    for mut other in [desk.auditor(), desk.support()] {
        assert_eq!(other.get(&format!("{path}?values=true")).await.gist(), "403 forbidden");
        assert_eq!(other.get(&path).await.gist(), "200");
    }
    assert_eq!(admin.get("/v1/admin/sessions/ses_AAAAAAAAAAAAAAAAAAAAAA").await.gist(), "404 not_found");
    assert_eq!(admin.get("/v1/admin/sessions/1").await.gist(), "404 not_found");
}

#[tokio::test]
async fn a_session_that_was_ended_is_refused_at_its_owners_next_request_and_says_why() {
    let desk = Desk::set().await;
    let mut dora = desk.dora();
    assert_eq!(dora.get("/v1/session").await.gist(), "200");
    assert_eq!(revoke_one(&desk, &desk.dora.id.to_string()).await, revoked(1));
    let refused = dora.get("/v1/session").await;
    assert_eq!(refused.gist(), "401 session_ended");
    assert_eq!(refused.json()["end_reason"], "revoked_by_admin");
    assert_eq!(revoke_one(&desk, &desk.dora.id.to_string()).await, revoked(0), "again is safe");
    let look = desk.admin().get(&format!("/v1/admin/sessions/{}", desk.dora.id)).await.json();
    assert_eq!(
        (&look["session"]["state"], &look["session"]["end_reason"]),
        (&json!("ended"), &json!("revoked_by_admin"))
    );
    let history: Vec<_> = look["history"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert!(
        history.contains(&&json!("session_revoked")) && history.contains(&&json!("authz_admin")),
        "{history:?}"
    );
}

#[tokio::test]
async fn what_strangers_wrote_stays_text_in_json() {
    let evil = r#"</script><img src=x onerror=alert(1)>"<!--"#;
    let server = Server::new();
    server.add(evil, &[]).await;
    let desk = Desk::of(server).await;
    let planted = desk.server.plant(evil).await;
    let mut admin = desk.admin();
    let note = format!("note {evil}");
    let body = json!({ "session": planted.id.to_string(), "note": note });
    assert_eq!(super::revoke(&mut admin, body).await.json(), revoked(1));
    let path: String = form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    for path in [
        format!("/v1/admin/principals/{}?state=any", path.replace('+', "%20")),
        format!("/v1/admin/sessions/{}", planted.id),
        "/v1/admin/audit".to_owned(),
        "/v1/admin/users".to_owned(),
    ] {
        let answer = admin.get(&path).await;
        assert_eq!(
            (answer.gist().as_str(), answer.header("content-type")),
            ("200", "application/json"),
            "{path}"
        );
        assert!(answer.json().to_string().contains("onerror"), "{path}: it is there, as it was written");
    }
}

async fn revoke_one(desk: &Desk, id: &str) -> serde_json::Value {
    let answer = desk.admin().ask(Method::DELETE, &format!("/v1/admin/sessions/{id}")).await;
    assert_eq!(answer.gist(), "200", "{}", answer.body);
    answer.json()
}
