//! Sessions that travel sealed in their cookies: what people, staff and programs see of it, with a list of ends and
//! without one.

use std::time::Duration;

use cloakroom::{Activity, Actor, EndReason, PrincipalId, Revocation, Selector, SessionToken, Validation};
use cloakroom_store::Scope;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Client;
use super::server::{PASSWORD, Server};

const BETTER: &str = "seven green umbrellas";

/// Signs in as `name` with a browser.
async fn signed_in<'s>(server: &'s Server, name: &str) -> Client<'s> {
    let mut client = server.browser();
    assert_eq!(client.sign_in(name, PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert!(client.token.as_deref().unwrap().starts_with("cs1_"));
    client
}

#[tokio::test]
async fn two_browsers_one_ends_the_other_changes_the_password_and_signs_out() {
    let server = Server::sealed().await;
    let (mut desk, mut phone) = (signed_in(&server, "bob").await, signed_in(&server, "bob").await);
    let account = desk.get("/account").await.body;
    assert_eq!(account.matches("data-session=\"ses_").count(), 1, "the present one alone");
    assert!(account.contains("This server cannot list your other sessions."), "{account}");
    let asked = desk.get("/account/end-others").await.body;
    assert!(asked.contains("Every other session is signed out at once."));
    let ended = desk.submit("/account", "/account/end-others", &[]).await;
    assert_eq!(ended.gist(), "303 /account?notice=others_ended");
    assert_eq!(phone.get("/account").await.gist(), "303 /sign-in?return_to=%2Faccount&ended=revoked_by_user");

    let mut phone = signed_in(&server, "bob").await;
    let before = desk.clone();
    let fields = [("current", PASSWORD), ("new", BETTER)];
    let changed = desk.submit("/account", "/account/password", &fields).await;
    assert_eq!(changed.gist(), "303 /account?notice=password_changed");
    assert_ne!(desk.token, before.token);
    assert!(before.clone().get("/account").await.location().starts_with("/sign-in"), "the old token is dead");
    assert_eq!(
        phone.get("/account").await.gist(),
        "303 /sign-in?return_to=%2Faccount&ended=password_changed"
    );
    assert_eq!(phone.sign_in("bob", PASSWORD).await.gist(), "401 invalid_credentials");
    assert_eq!(
        phone.sign_in("bob", BETTER).await.status,
        StatusCode::SEE_OTHER,
        "at once, in the same millisecond"
    );
    assert_eq!(phone.get("/account").await.status, StatusCode::OK);

    let kept = desk.clone();
    assert_eq!(desk.submit("/account", "/sign-out", &[]).await.gist(), "303 /sign-in?notice=signed_out");
    assert_eq!(desk.token, None);
    assert!(
        kept.clone().get("/account").await.location().starts_with("/sign-in"),
        "a kept cookie is worthless"
    );
    assert_eq!(phone.get("/account").await.status, StatusCode::OK, "and nobody else's");
}

#[tokio::test]
async fn the_api_says_what_nobody_can_know_and_ends_what_is_ones_own() {
    let server = Server::sealed().await;
    let (mine, other) = (server.plant("bob").await, server.plant("bob").await);
    let mut bob = server.browser_with(&mine);
    assert_eq!(bob.get("/v1/sessions").await.gist(), "501 unsupported_by_store");
    for path in [format!("/v1/sessions/{}", other.id), "/v1/sessions/ses_AAAAAAAAAAAAAAAAAAAAAA".to_owned()] {
        assert_eq!(bob.ask(Method::DELETE, &path).await.gist(), "501 unsupported_by_store");
    }
    assert!(server.is_live(&other.token).await, "a name that is not shown to be one's own ends nothing");
    let ended = bob.ask(Method::DELETE, "/v1/sessions?except=current").await;
    assert_eq!((ended.status, ended.json()), (StatusCode::OK, json!({ "revoked": null, "settled": false })));
    assert!(!server.is_live(&other.token).await && server.is_live(&mine.token).await);
    let own = bob.ask(Method::DELETE, &format!("/v1/sessions/{}", mine.id)).await;
    assert_eq!(own.json()["revoked"], json!(1));
    assert!(!server.is_live(&mine.token).await);
}

#[tokio::test]
async fn a_program_without_cookies_finds_its_next_token_in_the_answer() {
    let server = Server::sealed().await;
    let mut program = server.program();
    let request = json!({ "username": "bob", "password": PASSWORD, "mode": "bearer" });
    let signed_in = program.json(Method::POST, "/v1/sign-in", &request).await;
    let first = signed_in.json()["token"].as_str().unwrap().to_owned();
    program.token = Some(first.clone());
    assert_eq!(program.get("/v1/session").await.header("x-cloakroom-token"), "", "nothing is new");
    server.advance(1);
    let touched = program.get("/v1/session").await;
    let second = touched.header("x-cloakroom-token").to_owned();
    assert!(second.starts_with("cs1_") && second != first, "{touched:?}");
    server.advance(29);
    assert_eq!(
        program.get("/v1/session").await.gist(),
        "401 session_ended",
        "the first one is not sealed anew"
    );
    program.token = Some(second);
    let attributes = json!({ "theme": "dark" });
    let changed = program.json(Method::PATCH, "/v1/session/attributes", &attributes).await;
    assert_eq!((changed.status, changed.json()), (StatusCode::OK, attributes.clone()));
    program.token = Some(changed.header("x-cloakroom-token").to_owned());
    assert_eq!(program.get("/v1/session").await.json()["session"]["attributes"], attributes);
}

#[tokio::test]
async fn what_would_outgrow_a_cookie_is_refused_and_the_session_stays() {
    let server = Server::sealed().await;
    let mut bob = signed_in(&server, "bob").await;
    let before = bob.token.clone();
    let large = json!({ "cart": "x".repeat(4_000) });
    let refused = bob.json(Method::PATCH, "/v1/session/attributes", &large).await;
    assert_eq!(refused.gist(), "413 attributes_too_large");
    assert!(refused.json()["largest"].as_str().unwrap().contains("cart"), "{refused:?}");
    assert_eq!(bob.token, before);
    assert_eq!(bob.get("/v1/session").await.json()["session"]["attributes"], json!({}));
}

#[tokio::test]
async fn staff_ends_by_name_and_by_person_what_nobody_can_list() {
    let server = Server::sealed().await;
    let mut alice = signed_in(&server, "alice").await;
    let (one, two) = (server.plant("bob").await, server.plant("bob").await);
    let page = alice.get("/admin/sessions").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("data-test=\"unseen\"") && page.body.contains("cannot list sessions"));
    let by_id = alice.get(&format!("/admin/sessions?q={}", one.id)).await;
    assert_eq!(by_id.gist(), format!("303 /admin/sessions/{}", one.id));
    let session = alice.get(by_id.location()).await.body;
    assert!(session.contains("Not looked up") && session.contains("data-test=\"end-session\""), "{session}");
    let end = format!("/admin/sessions/{}/end", one.id);
    let asked = alice.get(&end).await.body;
    assert!(asked.contains("Whether it is still active is not known."), "{asked}");
    assert_eq!(alice.submit(&end, &end, &[]).await.status, StatusCode::SEE_OTHER);
    assert!(!server.is_live(&one.token).await && server.is_live(&two.token).await);

    let person = alice.get("/admin/people/bob").await.body;
    assert!(
        person.contains("data-test=\"end-person\"") && person.contains("cannot list sessions"),
        "{person}"
    );
    let end = "/admin/people/bob/end";
    assert!(alice.get(end).await.body.contains("Every session of theirs ends."));
    let done = alice.submit(end, end, &[]).await;
    assert_eq!(done.gist(), "303 /admin/people/bob?notice=ended%3Aall");
    assert!(alice.get(done.location()).await.body.contains("how many sessions that was is not known"));
    assert!(!server.is_live(&two.token).await);
    let acts = server.events("authz_admin").await;
    let last = acts.iter().rev().find(|event| event.detail["phase"] == "done").unwrap();
    assert_eq!(last.detail["revoked"], json!("not_counted"));

    let bob = server.plant("bob").await;
    let all = json!({ "all": true, "dry_run": true });
    let expected = alice.json(Method::POST, "/v1/admin/revocations", &all).await.json();
    assert_eq!(expected["expected"], json!({ "count": null, "exact": false }));
    let all = alice.json(Method::POST, "/v1/admin/revocations", &json!({ "all": true })).await;
    assert_eq!(all.json(), json!({ "revoked": null, "settled": false }));
    assert!(!server.is_live(&bob.token).await);
    assert_eq!(alice.get("/admin").await.status, StatusCode::SEE_OTHER, "her own too");
}

#[tokio::test]
async fn a_change_of_an_account_ends_its_sessions() {
    let server = Server::sealed().await;
    let mut alice = signed_in(&server, "alice").await;
    for (path, body) in [
        ("/v1/admin/users/bob/password", json!({ "password": BETTER })),
        ("/v1/admin/users/bob/roles", json!({ "roles": ["clerk"] })),
        ("/v1/admin/users/bob/disable", json!({})),
    ] {
        let planted = server.plant("bob").await;
        let route = server_route(path);
        let changed = alice.json(route, path, &body).await;
        assert_eq!(changed.status, StatusCode::OK, "{path}: {changed:?}");
        let answer = changed.json();
        assert_eq!(
            (&answer["sessions_ended"], answer.get("sessions_live_on")),
            (&Value::Null, None),
            "{path}"
        );
        assert!(!server.is_live(&planted.token).await, "{path}");
    }
    assert_eq!(alice.get("/v1/session").await.status, StatusCode::OK);
}

/// The method of a change of an account.
fn server_route(path: &str) -> Method {
    let templates = cloakroom_server::web::routes();
    let template = path.replace("/bob/", "/{name}/");
    let route = templates.iter().find(|route| route.path == template && route.method != "GET");
    route.unwrap_or_else(|| panic!("{template}")).method.parse().unwrap()
}

#[tokio::test]
async fn while_the_list_is_out_of_reach_nobody_is_signed_in_or_out_or_let_in() {
    let server = Server::sealed().await;
    let mut bob = signed_in(&server, "bob").await;
    server.list.go_down();
    let fields = [("current", PASSWORD), ("new", BETTER)];
    assert_eq!(bob.get("/account").await.status, StatusCode::OK, "within the lease");
    let form = bob.get("/account").await.hidden_fields("/account/password");
    let mut all: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
    all.extend(fields);
    assert_eq!(bob.form("/account/password", &all).await.gist(), "503 store_unavailable");
    server.clock.advance(Duration::from_secs(2));
    let kept = bob.token.clone();
    for path in ["/account", "/v1/session"] {
        assert_eq!(bob.get(path).await.gist(), "503 store_unavailable", "{path}");
        assert_eq!(bob.token, kept, "no cookie changes");
    }
    server.list.heal();
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(bob.get("/account").await.status, StatusCode::OK);
    assert_eq!(
        server.browser().sign_in("bob", PASSWORD).await.status,
        StatusCode::SEE_OTHER,
        "it did not change"
    );
}

#[tokio::test]
async fn without_a_list_nothing_claims_to_have_ended_what_goes_on() {
    let server = Server::sealed_alone().await;
    let (mut bob, other) = (signed_in(&server, "bob").await, server.plant("bob").await);
    let page = bob.get("/account").await.body;
    assert!(page.contains("can neither list nor end your other sessions"), "{page}");
    assert!(
        !page.contains("data-test=\"end-others\"") && page.contains("does not sign you out anywhere"),
        "{page}"
    );
    assert_eq!(bob.get("/account/end-others").await.gist(), "501 unsupported_by_store");
    let ended = bob.ask(Method::DELETE, "/v1/sessions?except=current").await;
    assert_eq!(ended.gist(), "501 unsupported_by_store");
    let fields = [("current", PASSWORD), ("new", BETTER)];
    let changed = bob.submit("/account", "/account/password", &fields).await;
    assert_eq!(changed.gist(), "303 /account?notice=password_changed_alone");
    assert!(bob.get(changed.location()).await.body.contains("Your other sessions could not be ended"));
    assert!(server.is_live(&other.token).await);
    let again = json!({ "current": BETTER, "new": PASSWORD });
    let changed = bob.json(Method::POST, "/v1/password", &again).await;
    assert_eq!((changed.status, &changed.json()["sessions_live_on"]), (StatusCode::OK, &json!(true)));

    let kept = bob.token.clone().unwrap();
    let out = bob.submit("/account", "/sign-out", &[]).await;
    assert_eq!(out.gist(), "303 /sign-in?notice=signed_out_here");
    assert_eq!(bob.token, None);
    assert!(bob.get(out.location()).await.body.contains("the copy works until its time is over"));
    assert!(server.is_live(&kept).await, "which is so");
    let mut program = server.browser_with(&other);
    let out = program.ask(Method::DELETE, "/v1/session").await;
    assert_eq!((out.status, &out.json()["sessions_live_on"]), (StatusCode::OK, &json!(true)));
}

#[tokio::test]
async fn without_a_list_staff_is_told_that_sessions_go_on() {
    let server = Server::sealed_alone().await;
    let (mut alice, bob) = (signed_in(&server, "alice").await, server.plant("bob").await);
    let page = alice.get("/admin/sessions").await.body;
    assert!(page.contains("can neither list nor end sessions") && !page.contains("data-test=\"end-many\""));
    assert!(!alice.get("/admin/people/bob").await.body.contains("data-test=\"end-person\""));
    assert_eq!(alice.get("/admin/sessions/end").await.gist(), "303 /admin/sessions", "nothing is offered");
    assert_eq!(alice.get("/admin/sessions/end?all=true").await.gist(), "501 unsupported_by_store");
    let one = json!({ "session": bob.id.to_string() });
    let refused = alice.json(Method::POST, "/v1/admin/revocations", &one).await;
    assert_eq!(refused.gist(), "501 unsupported_by_store");
    let asked = alice.get("/admin/people/bob/disable").await.body;
    assert!(asked.contains("sessions under way cannot be ended"), "{asked}");
    let done = alice.submit("/admin/people/bob/disable", "/admin/people/bob/disable", &[]).await;
    assert_eq!(done.gist(), "303 /admin/people/bob?notice=disabled%3Alive_on");
    assert!(alice.get(done.location()).await.body.contains("Its sessions could not be ended"));
    assert!(server.is_live(&bob.token).await);
    let acts = server.events("authz_admin").await;
    assert_eq!(acts.last().unwrap().detail["revoked"], json!("live_on"));
    let health = alice.get("/admin").await.body;
    assert!(health.contains("sessions end by time alone"), "{health}");
}

#[tokio::test]
async fn why_a_session_ended_is_told_from_the_list() {
    let server = Server::sealed().await;
    let planted = server.plant("bob").await;
    server.end(planted.id, EndReason::Compromised).await;
    let refused = server.browser_with(&planted).get("/v1/session").await;
    assert_eq!(
        (refused.gist().as_str(), &refused.json()["end_reason"]),
        ("401 session_ended", &json!("compromised"))
    );
}

#[tokio::test]
async fn whoever_ends_everything_of_theirs_in_a_loop_is_told_to_wait_and_the_list_does_not_grow() {
    let server = Server::sealed().await;
    let mine = server.plant("bob").await;
    let mut bob = server.browser_with(&mine);
    let mut told = Vec::new();
    for _ in 0..25 {
        told.push(bob.ask(Method::DELETE, "/v1/sessions?except=current").await.status);
    }
    let ended = told.iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!((ended, told.last()), (20, Some(&StatusCode::TOO_MANY_REQUESTS)));
    assert_eq!(server.list.entries().await.len(), 20);
    let refused = bob.submit("/account", "/account/end-others", &[]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "by the page as by the API");
    server.advance(1);
    let ended = bob.ask(Method::DELETE, "/v1/sessions?except=current").await;
    assert_eq!(ended.status, StatusCode::OK);
}

/// What somebody does who has bob's password and wants to use up whatever there is of room for his ends: ends all of his, and signs
/// in and out, so often each.
async fn crowd(server: &Server, times: usize) {
    let bob = || Actor::User(Some(PrincipalId::new("bob").unwrap()));
    let all = Selector::Principal { principal: PrincipalId::new("bob").unwrap(), except: None };
    for _ in 0..times {
        let _ = server.sessions.revoke(&all, Revocation::new(EndReason::RevokedByUser, bob())).await;
    }
    for _ in 0..times {
        let planted = server.plant("bob").await;
        let token = SessionToken::parse(planted.token.as_bytes()).unwrap();
        let found = server.sessions.validate(&token, Activity::Ignored).await.unwrap();
        let Validation::Active(session) = found else { continue };
        let because = Revocation::new(EndReason::SignedOut, bob()).of(&session);
        let _ = server.sessions.revoke(&Selector::One(planted.id), because).await;
    }
}

#[tokio::test]
async fn whoever_has_a_persons_password_cannot_keep_them_from_changing_it_nor_from_signing_out() {
    let server = Server::sealed().await;
    crowd(&server, 5_000).await;
    let mut bob = signed_in(&server, "bob").await;
    let other = server.plant("bob").await;
    let change = json!({ "current": PASSWORD, "new": BETTER });
    let changed = bob.json(Method::POST, "/v1/password", &change).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{changed:?}");
    assert!(!server.is_live(&other.token).await, "the others are over");
    assert_eq!(server.browser().sign_in("bob", PASSWORD).await.gist(), "401 invalid_credentials");
    let other = server.plant("bob").await;
    let refused = bob.ask(Method::DELETE, "/v1/sessions?except=current").await;
    assert_eq!((refused.gist().as_str(), refused.header("retry-after")), ("429 too_many_ends", "61"));
    assert!(server.is_live(&other.token).await);
    let kept = bob.token.clone().unwrap();
    assert_eq!(bob.ask(Method::DELETE, "/v1/session").await.status, StatusCode::NO_CONTENT);
    assert!(!server.is_live(&kept).await);
    assert!(server.is_live(&other.token).await, "a sign-out ends what it is asked to end");
    server.advance(1);
    let mut bob = server.browser();
    assert_eq!(bob.sign_in("bob", BETTER).await.status, StatusCode::SEE_OTHER);
    let ended = bob.ask(Method::DELETE, "/v1/sessions?except=current").await;
    assert_eq!(ended.status, StatusCode::OK, "there is room for one in a minute, whatever there was");
    assert!(!server.is_live(&other.token).await);
}

#[tokio::test]
async fn a_session_that_ends_by_a_replayed_token_is_remembered_for_as_long_as_it_could_have_lived() {
    let server = Server::sealed().await;
    let mut bob = signed_in(&server, "bob").await;
    let mut thief = bob.clone();
    assert_eq!(bob.ask(Method::POST, "/v1/session/rotate").await.status, StatusCode::OK);
    server.advance(1);
    let until =
        bob.get("/v1/session").await.json()["session"]["absolute_expires_at"].as_str().unwrap().to_owned();
    assert_eq!(thief.get("/v1/session").await.gist(), "401 session_unknown");
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let entries = server.list.entries().await;
            if let Some(end) = entries.into_iter().find(|entry| matches!(entry.scope, Scope::Session(_))) {
                return end;
            }
            tokio::task::yield_now().await;
        }
    });
    let ended = ended.await.expect("detection ends it");
    assert_eq!((ended.reason, ended.until.to_string()), (EndReason::Compromised, until));
    let told = server.events("session_revoked").await;
    assert_eq!(told[0].principal.as_deref(), Some("bob"), "the token says whose it was");
}

#[tokio::test]
async fn a_changed_password_is_told_once() {
    let server = Server::sealed().await;
    let mut bob = signed_in(&server, "bob").await;
    let fields = [("current", PASSWORD), ("new", BETTER)];
    assert_eq!(bob.submit("/account", "/account/password", &fields).await.status, StatusCode::SEE_OTHER);
    let told = server.events("session_revoked").await;
    assert_eq!(told.iter().filter(|event| event.reason.as_deref() == Some("password_changed")).count(), 1);
}

#[tokio::test]
async fn a_session_that_is_asked_for_by_what_is_no_id_is_said_not_to_be_there() {
    let server = Server::sealed().await;
    let mut staff = signed_in(&server, "alice").await;
    let page = staff.get("/admin/sessions?q=foo").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("No session has this id."), "{}", page.body);
    assert!(!staff.get("/admin/sessions").await.body.contains("No session has this id."));
}
