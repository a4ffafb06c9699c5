//! What people do with the pages, without script.

use cloakroom::{Actor, AuthLevel, Authentication, Device, EndReason, Issue, Method, PrincipalId};
use cloakroom_audit::{Draft, names};
use http::StatusCode;

use super::client::Client;
use super::server::{PASSWORD, Server};

const BETTER: &str = "seven green umbrellas";

/// The gist of following every redirect from `path`.
async fn arrive(client: &mut Client<'_>, path: &str) -> String {
    let mut path = path.to_owned();
    for _ in 0..5 {
        let answer = client.get(&path).await;
        if answer.location().is_empty() {
            return format!("{} {path}", answer.status.as_u16());
        }
        path = answer.location().to_owned();
    }
    panic!("five redirects, and no end: {path}");
}

#[tokio::test]
async fn the_first_administrator_comes_in_through_the_link_and_nobody_after() {
    let server = Server::new();
    let mut person = server.browser();
    assert_eq!(arrive(&mut person, "/").await, "200 /setup");
    assert!(person.get("/setup").await.body.contains("data-test=\"setup-closed\""), "no key, no form");

    let key = server.accounts.begin_setup(server.sessions.now()).await.unwrap().unwrap().expose();
    let link = format!("/setup?key={}", key.as_str());
    let wrong = format!("/setup?key={}", "A".repeat(43));
    assert_eq!(person.get(&wrong).await.status, StatusCode::FORBIDDEN);
    let fields = |password| [("username", "Root"), ("password", password)];
    let weak = person.submit(&link, "/setup", &fields("password1")).await;
    assert_eq!(weak.gist(), "422 weak_password");
    assert!(weak.body.contains("value=\"Root\""), "what was typed is still there");
    assert_eq!(person.submit(&link, "/setup", &fields(PASSWORD)).await.gist(), "303 /sign-in/done");
    assert_eq!(arrive(&mut person, "/sign-in/done").await, "200 /account");
    assert!(person.get("/account").await.body.contains("<span class=\"tag\">admin</span>"));

    let mut late = server.browser();
    assert_eq!(late.get(&link).await.gist(), "303 /sign-in");
    let again = [("key", key.as_str()), ("username", "mallory"), ("password", PASSWORD)];
    assert_eq!(late.form("/setup", &again).await.gist(), "403");
    assert_eq!(server.accounts.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_set_up_link_ends_after_its_day() {
    let server = Server::new();
    let key = server.accounts.begin_setup(server.sessions.now()).await.unwrap().unwrap().expose();
    let link = format!("/setup?key={}", key.as_str());
    server.advance(24 * 60 - 1);
    assert_eq!(server.browser().get(&link).await.status, StatusCode::OK);
    server.advance(1);
    assert_eq!(server.browser().get(&link).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_browsers_one_ends_the_other_changes_the_password_and_signs_out() {
    let server = Server::with_people().await;
    let (mut desk, mut phone) = (server.browser(), server.browser());
    assert_eq!(desk.sign_in("bob", "not the password").await.gist(), "401 invalid_credentials");
    for client in [&mut desk, &mut phone] {
        assert_eq!(client.sign_in("Bob", PASSWORD).await.gist(), "303 /sign-in/done?return_to=%2Faccount");
        assert_eq!(arrive(client, "/sign-in/done?return_to=%2Faccount").await, "200 /account");
    }

    let account = desk.get("/account").await.body;
    assert_eq!(account.matches("data-session=\"ses_").count(), 2);
    assert_eq!(account.matches("data-current=\"true\"").count(), 1);
    assert_eq!(account.matches("data-test=\"end-session\"").count(), 1, "the other one can be ended");
    assert!(account.contains("Firefox on Linux") && account.contains("203.0.113.9"));

    let ids: Vec<&str> =
        account.split("data-session=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let end = format!("/account/sessions/{}/end", ids[1]);
    assert_eq!(desk.submit("/account", &end, &[]).await.gist(), "303 /account?notice=session_ended");
    assert_eq!(phone.get("/account").await.gist(), "303 /sign-in?return_to=%2Faccount&ended=revoked_by_user");
    let told = phone.get("/sign-in?return_to=%2Faccount&ended=revoked_by_user").await;
    assert!(told.body.contains("ended from another of your devices"), "{}", told.body);

    phone.sign_in("bob", PASSWORD).await;
    let before = desk.token.clone();
    let wrong = desk.submit("/account", "/account/password", &[("current", "wrong"), ("new", BETTER)]).await;
    assert_eq!(wrong.gist(), "422 invalid_credentials");
    let weak =
        desk.submit("/account", "/account/password", &[("current", PASSWORD), ("new", "12345678")]).await;
    assert_eq!(weak.gist(), "422 weak_password");
    let changed =
        desk.submit("/account", "/account/password", &[("current", PASSWORD), ("new", BETTER)]).await;
    assert_eq!(changed.gist(), "303 /account?notice=password_changed");
    assert_ne!(desk.token, before, "another token after a change of the password");
    assert_eq!(
        phone.get("/account").await.gist(),
        "303 /sign-in?return_to=%2Faccount&ended=password_changed"
    );
    assert_eq!(phone.sign_in("bob", PASSWORD).await.gist(), "401 invalid_credentials");

    let kept = desk.clone();
    assert_eq!(desk.submit("/account", "/sign-out", &[]).await.gist(), "303 /sign-in?notice=signed_out");
    assert_eq!(desk.token, None, "the cookie is gone");
    assert!(
        kept.clone().get("/account").await.location().starts_with("/sign-in?"),
        "a kept cookie is worthless"
    );
    assert_eq!(server.live("bob").await, 0);
}

#[tokio::test]
async fn a_proof_that_is_too_old_is_asked_for_again_and_leads_back_to_the_action() {
    let server = Server::with_people().await;
    let (session, other) = (server.plant("alice").await, server.plant("alice").await);
    server.advance(6);
    let mut alice = server.browser_with(&session);
    let end = format!("/account/sessions/{}/end", other.id);
    let detour = alice.submit("/account", &end, &[]).await;
    assert!(detour.location().starts_with("/reauthenticate?return_to=%2Faccount%2Fsessions%2Fses_"));
    let wrong = alice.submit(detour.location(), "/reauthenticate", &[("password", "wrong")]).await;
    assert_eq!(wrong.gist(), "401 invalid_credentials");
    assert_eq!(alice.get("/account").await.status, StatusCode::OK, "a wrong password signs nobody out");
    let proved = alice.submit(detour.location(), "/reauthenticate", &[("password", PASSWORD)]).await;
    assert_eq!(proved.gist(), format!("303 {end}"));
    assert_ne!(alice.token.as_deref(), Some(&*session.token), "another token after a proof");
    let stale = server.browser_with(&session).get("/account").await;
    assert!(stale.location().starts_with("/sign-in"), "the old one is dead");
    assert_eq!(alice.submit(&end, &end, &[]).await.gist(), "303 /account?notice=session_ended");
    assert_eq!(server.live("alice").await, 1);
}

#[tokio::test]
async fn ending_all_others_leaves_this_one() {
    let server = Server::with_people().await;
    let sessions = [server.plant("alice").await, server.plant("alice").await, server.plant("alice").await];
    let bobs = server.plant("bob").await;
    let mut alice = server.browser_with(&sessions[0]);
    let asked = alice.get("/account/end-others").await;
    assert!(asked.body.contains("2 other sessions"), "{}", asked.body);
    let ended = alice.submit("/account/end-others", "/account/end-others", &[]).await;
    assert_eq!(ended.gist(), "303 /account?notice=others_ended");
    assert_eq!((server.live("alice").await, server.live("bob").await), (1, 1));
    assert_eq!(alice.get("/account").await.status, StatusCode::OK);
    assert_eq!(server.browser_with(&bobs).get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_that_drops_the_cookie_is_told_what_to_do() {
    let server = Server::with_people().await;
    let mut person = server.browser();
    let done = person.sign_in("alice", PASSWORD).await;
    person.token = None;
    let told = person.get(done.location()).await;
    assert_eq!(told.status, StatusCode::BAD_REQUEST);
    assert!(
        told.body.contains("data-test=\"cookie-refused\"")
            && told.body.contains("http://localhost:8080/sign-in")
    );
}

#[tokio::test]
async fn people_come_back_to_where_they_were_and_nowhere_else() {
    let server = Server::configured("[trust]\nreturn_hosts = [\"shop.example\"]");
    server.add("alice", &[]).await;
    for (wanted, reached) in [
        ("/account/end-others?a=b", "/account/end-others?a=b"),
        ("https://shop.example/cart", "https://shop.example/cart"),
        ("https://evil.example/", "/account"),
        ("https://shop.example.evil.example/", "/account"),
        ("//evil.example", "/account"),
        ("/\\evil.example", "/account"),
        ("https:evil.example", "/account"),
        ("https://shop.example@evil.example/", "/account"),
        ("/a\r\nset-cookie: x=y", "/account"),
        ("javascript:alert(1)", "/account"),
        ("", "/account"),
    ] {
        let fields = [("username", "alice"), ("password", PASSWORD), ("return_to", wanted)];
        let mut person = server.browser();
        let signed_in = person.form("/sign-in", &fields).await;
        assert_eq!(person.get(signed_in.location()).await.location(), reached, "{wanted:?}");
        assert_eq!(
            person.get(&format!("/sign-in?{}", encoded("return_to", wanted))).await.location(),
            reached,
            "{wanted:?}"
        );
        let shown = server.browser().get(&format!("/sign-in?{}", encoded("return_to", wanted))).await;
        assert!(!shown.body.contains("evil.example"), "{wanted:?}");
    }
}

#[tokio::test]
async fn people_are_told_why_they_have_to_sign_in_again() {
    for server in Server::both().await {
        for reason in EndReason::ALL {
            let session = server.plant("bob").await;
            server.end(session.id, reason).await;
            let mut bob = server.browser_with(&session);
            let turned_away = bob.get("/account").await;
            assert_eq!(turned_away.gist(), format!("303 /sign-in?return_to=%2Faccount&ended={reason}"));
            let shown = bob.get(turned_away.location()).await;
            let is_news =
                !matches!(reason, EndReason::SignedOut | EndReason::Replaced | EndReason::AccountDisabled);
            assert_eq!(shown.body.contains("data-notice="), is_news, "{reason}: {}", shown.body);
        }
        let idle = server.plant("bob").await;
        server.advance(30);
        let turned_away = server.browser_with(&idle).get("/account").await;
        assert_eq!(turned_away.gist(), "303 /sign-in?return_to=%2Faccount&ended=idle_timeout");
    }
}

#[tokio::test]
async fn a_page_cannot_be_made_to_say_what_its_address_says() {
    let server = Server::new();
    for address in [
        "/sign-in?notice=%3Cscript%3Ealert(1)%3C/script%3E",
        "/sign-in?ended=%3Cb%3E",
        "/sign-in?return_to=%22%3E%3Cb%3E",
    ] {
        let page = server.browser().get(address).await.body;
        assert!(
            !page.contains("<b>") && !page.contains("alert(1)") && !page.contains("data-notice"),
            "{address}"
        );
    }
}

#[tokio::test]
async fn what_devices_and_names_say_of_themselves_is_shown_as_text() {
    let server = Server::new();
    let name = "<img src=x onerror=alert(1)>\"'&";
    server.add(name, &[]).await;
    let account = server.accounts.get(name).await.unwrap().unwrap();
    let proof = Authentication::new(AuthLevel::One, Method::password(), server.sessions.now());
    let device =
        Device::new().with_label("<script>alert(2)</script>").with_user_agent("\"><svg onload=alert(3)>");
    let issue = Issue::signed_in(account.principal(), proof).device(device);
    let issued = server.sessions.issue(issue).await.unwrap().expect_issued();
    let mut person = server.browser();
    person.token = Some(issued.token.expose().as_str().to_owned());
    for path in [
        "/account",
        "/sign-out",
        "/reauthenticate",
        &format!("/account/sessions/{}/end", issued.session.id()),
    ] {
        let page = person.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for markup in ["<img", "<script>alert", "<svg onload", "onerror=alert(1)>\""] {
            assert!(!page.body.contains(markup), "{markup} in {path}");
        }
    }
    let mut stranger = server.browser();
    let refused = stranger.sign_in("\"><b>x", "wrong").await;
    assert!(!refused.body.contains("<b>x"), "what was typed comes back as text");
}

#[tokio::test]
async fn a_form_without_the_sessions_own_token_changes_nothing() {
    for server in Server::both().await {
        no_form_without_its_token(&server).await;
    }
}

async fn no_form_without_its_token(server: &Server) {
    let (session, other) = (server.plant("alice").await, server.plant("alice").await);
    let mut alice = server.browser_with(&session);
    let bobs = server.plant("bob").await;
    let bobs_page = server.browser_with(&bobs).get("/account").await.body;
    let bobs_token = super::client::between(&bobs_page, "name=\"csrf_token\" value=\"", "\"");
    let end = format!("/account/sessions/{}/end", other.id);
    for path in ["/sign-out", "/reauthenticate", "/account/password", "/account/end-others", &end] {
        for token in [None, Some(""), Some("x"), Some(&*bobs_token)] {
            let mut fields = vec![("password", PASSWORD), ("current", PASSWORD), ("new", BETTER)];
            fields.extend(token.map(|token| ("csrf_token", token)));
            assert_eq!(alice.form(path, &fields).await.gist(), "403 cross_site", "{path} {token:?}");
        }
    }
    assert!(server.is_live(&session.token).await && server.is_live(&other.token).await);
}

#[tokio::test]
async fn sign_out_is_on_every_page_of_somebody_who_is_signed_in() {
    let server = Server::with_people().await;
    let (session, other) = (server.plant("alice").await, server.plant("alice").await);
    let mut alice = server.browser_with(&session);
    let end = format!("/account/sessions/{}/end", other.id);
    for path in ["/account", "/account/end-others", "/reauthenticate", "/sign-out", &end] {
        let page = alice.get(path).await.body;
        assert!(
            page.contains("method=\"post\" action=\"/sign-out\"") && page.contains("data-test=\"sign-out\""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_remembered_session_outlives_the_browser_and_an_administrators_is_shorter() {
    for server in Server::both().await {
        remembered_for_as_long_as_allowed(&server).await;
    }
}

async fn remembered_for_as_long_as_allowed(server: &Server) {
    for (name, days, idle_minutes) in [("bob", 30, 14 * 24 * 60), ("alice", 0, 15)] {
        let mut person = server.browser();
        let fields = [("username", name), ("password", PASSWORD), ("remember", "true")];
        let line = person.form("/sign-in", &fields).await.header("set-cookie").to_owned();
        let age: u64 = line.split("Max-Age=").nth(1).unwrap().parse().unwrap();
        assert_eq!(age / 86_400, days, "{name}: {line}");
        server.advance(idle_minutes - 1);
        assert_eq!(person.get("/account").await.status, StatusCode::OK, "{name}");
        server.advance(idle_minutes);
        assert_eq!(person.get("/account").await.status, StatusCode::SEE_OTHER, "{name}");
    }
}

#[tokio::test]
async fn one_session_too_many_is_refused_where_the_policy_refuses() {
    let server = Server::configured("[session]\nper_principal_max = 1\non_limit = \"refuse\"");
    server.add("bob", &[]).await;
    let (mut first, mut second) = (server.browser(), server.browser());
    assert_eq!(first.sign_in("bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(second.sign_in("bob", PASSWORD).await.gist(), "409 session_limit");
    assert_eq!(
        first.sign_in("bob", PASSWORD).await.status,
        StatusCode::SEE_OTHER,
        "in the place of one's own"
    );
    assert_eq!(server.live("bob").await, 1);
}

fn encoded(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

#[tokio::test]
async fn the_account_page_tells_its_owner_alone_what_happened_lately() {
    let server = Server::with_people().await;
    let session = server.plant("bob").await;
    let bob = PrincipalId::new("bob").unwrap();
    let hostile = Device::new().with_user_agent("<script>alert(1)</script>").with_label("<b>");
    let now = server.sessions.now();
    let failed = Draft::new(names::SIGN_IN_FAIL, now).about(Some(bob.clone())).from_device(Some(hostile));
    server.audit.write(failed).await.unwrap();
    // What bob did to somebody else, and what happened to somebody else, is not bob's news.
    let alice = PrincipalId::new("alice").unwrap();
    let of_alice = Draft::new(names::PASSWORD_CHANGE, now).about(Some(alice)).by(Actor::Admin(bob));
    server.audit.write(of_alice).await.unwrap();
    let other = server.plant("bob").await;
    server.end(other.id, EndReason::RevokedByAdmin).await;
    server.audit.write(Draft::new("nothing_for_people", now)).await.unwrap();

    let page = server.browser_with(&session).get("/account").await.body;
    let told = page.split("data-test=\"events\"").nth(1).unwrap().split("</ol>").next().unwrap();
    assert_eq!(told.matches("<li").count(), 2, "{told}");
    assert!(told.contains("A sign-in failed: wrong password"), "{told}");
    assert!(told.contains("A session was ended by an administrator"), "{told}");
    assert!(!page.contains("<script>alert"), "a user agent is text");
}
