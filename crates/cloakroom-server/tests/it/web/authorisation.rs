//! Every endpoint × {nobody, another user, the right user (an administrator), the same with a stale proof, the same from
//! another site's page, an auditor, support}.
//!
//! The table must have a row for every route of the server, and no other: a new route fails here until somebody has
//! decided who may use it (ASVS 8.2.1, 8.2.2, 7.5.1, 3.5.1).

use std::collections::BTreeSet;

use cloakroom_server::web::{self, Access, Duty};
use http::Method;

use super::client::{Answer, Client, Kind, between};
use super::server::{PASSWORD, Planted, Server};

/// What a route answers to whom.
struct Row {
    method: &'static str,
    path: &'static str,
    body: Body,
    answers: Answers,
}

/// The gist of an answer (`303 /sign-in`, `403 cross_site`) to each caller.
struct Answers {
    nobody: &'static str,
    other: &'static str,
    owner: &'static str,
    stale: &'static str,
    foreign: &'static str,
    /// Where they are not answered as another user is.
    auditor: Option<&'static str>,
    support: Option<&'static str>,
}

impl Answers {
    fn auditor(&self) -> &'static str {
        self.auditor.unwrap_or(self.other)
    }

    fn support(&self) -> &'static str {
        self.support.unwrap_or(self.other)
    }
}

/// What is sent. A form of somebody who has a session has the CSRF token from their own page.
#[derive(Clone, Copy)]
enum Body {
    Nothing,
    Form(&'static [(&'static str, &'static str)]),
    Json(&'static str),
}

const fn row(method: &'static str, path: &'static str, body: Body, answers: Answers) -> Row {
    Row { method, path, body, answers }
}

/// The same to everybody.
const fn all(answer: &'static str) -> Answers {
    Answers {
        nobody: answer,
        other: answer,
        owner: answer,
        stale: answer,
        foreign: answer,
        auditor: None,
        support: None,
    }
}

/// One answer to nobody, another to whoever has a session. What only looks may come from anywhere.
const fn look(nobody: &'static str, signed_in: &'static str) -> Answers {
    Answers { nobody, ..all(signed_in) }
}

/// A change that whoever has a session may make, from our own pages.
const fn change(nobody: &'static str, signed_in: &'static str) -> Answers {
    Answers { nobody, foreign: "403 cross_site", ..all(signed_in) }
}

/// A change that asks for a fresh proof too.
const fn fresh(nobody: &'static str, signed_in: &'static str, stale: &'static str) -> Answers {
    Answers { stale, ..change(nobody, signed_in) }
}

/// What whoever sees everything may look at.
const fn sees_all(nobody: &'static str, staff: &'static str) -> Answers {
    Answers { other: FORBIDDEN, auditor: Some(staff), ..look(nobody, staff) }
}

/// What support may look at, too.
const fn sees_one(nobody: &'static str, staff: &'static str) -> Answers {
    Answers { support: Some(staff), ..sees_all(nobody, staff) }
}

/// What only administrators may do.
const fn manages(nobody: &'static str, admin: &'static str, stale: &'static str) -> Answers {
    Answers { other: FORBIDDEN, ..fresh(nobody, admin, stale) }
}

/// What support may do, too.
const fn ends_one(nobody: &'static str, staff: &'static str, stale: &'static str) -> Answers {
    Answers { support: Some(staff), ..manages(nobody, staff, stale) }
}

/// What only administrators are asked to confirm.
const fn asks(nobody: &'static str, admin: &'static str, stale: &'static str) -> Answers {
    Answers { other: FORBIDDEN, stale, ..look(nobody, admin) }
}

/// What support is asked to confirm, too.
const fn asks_one(nobody: &'static str, staff: &'static str, stale: &'static str) -> Answers {
    Answers { support: Some(staff), ..asks(nobody, staff, stale) }
}

const FORBIDDEN: &str = "403 forbidden";
const MISSING: &str = "401 session_missing";
const STALE: &str = "403 reauthentication_required";
const SIGN_IN: Body = Body::Form(&[("username", "alice"), ("password", PASSWORD)]);
const PROOF: Body = Body::Form(&[("password", PASSWORD)]);
const PASSWORDS: Body = Body::Form(&[("current", PASSWORD), ("new", "seven green umbrellas")]);
const SETUP: Body = Body::Form(&[
    ("key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("username", "mallory"),
    ("password", PASSWORD),
]);

/// `{id}` is the other session of the right user; another user's session answers as one that does not exist. For staff it
/// is Dora's session, and `{name}` is Dora.
const TABLE: &[Row] = &[
    row("GET", "/", Body::Nothing, look("303 /sign-in", "303 /account")),
    row("GET", "/sign-in", Body::Nothing, look("200", "303 /account")),
    row(
        "POST",
        "/sign-in",
        SIGN_IN,
        Answers { foreign: "403 cross_site", ..all("303 /sign-in/done?return_to=%2Faccount") },
    ),
    row("GET", "/sign-in/done", Body::Nothing, look("400", "303 /account")),
    row("GET", "/setup", Body::Nothing, all("303 /sign-in")),
    row("POST", "/setup", SETUP, Answers { foreign: "403 cross_site", ..all("403") }),
    row("GET", "/sign-out", Body::Nothing, look("303 /sign-in?return_to=%2Fsign-out", "200")),
    row("POST", "/sign-out", Body::Form(&[]), change("303 /sign-in", "303 /sign-in?notice=signed_out")),
    row("GET", "/reauthenticate", Body::Nothing, look("303 /sign-in?return_to=%2Freauthenticate", "200")),
    row("POST", "/reauthenticate", PROOF, change("303 /sign-in", "303 /account")),
    row("GET", "/account", Body::Nothing, look("303 /sign-in?return_to=%2Faccount", "200")),
    row(
        "POST",
        "/account/password",
        PASSWORDS,
        fresh(
            "303 /sign-in",
            "303 /account?notice=password_changed",
            "303 /reauthenticate?return_to=%2Faccount",
        ),
    ),
    row(
        "GET",
        "/account/sessions/{id}/end",
        Body::Nothing,
        Answers {
            other: "303 /account?notice=session_gone",
            ..look("303 /sign-in?return_to=%2Faccount%2Fsessions%2F{id}%2Fend", "200")
        },
    ),
    row(
        "POST",
        "/account/sessions/{id}/end",
        Body::Form(&[]),
        Answers {
            other: "303 /account?notice=session_gone",
            ..fresh(
                "303 /sign-in",
                "303 /account?notice=session_ended",
                "303 /reauthenticate?return_to=%2Faccount%2Fsessions%2F{id}%2Fend",
            )
        },
    ),
    row(
        "GET",
        "/account/end-others",
        Body::Nothing,
        look("303 /sign-in?return_to=%2Faccount%2Fend-others", "200"),
    ),
    row(
        "POST",
        "/account/end-others",
        Body::Form(&[]),
        Answers {
            other: "303 /account?notice=no_others",
            ..fresh(
                "303 /sign-in",
                "303 /account?notice=others_ended",
                "303 /reauthenticate?return_to=%2Faccount%2Fend-others",
            )
        },
    ),
    row("GET", "/admin", Body::Nothing, sees_one("303 /sign-in?return_to=%2Fadmin", "200")),
    row("GET", "/admin/live", Body::Nothing, sees_all("303 /sign-in?return_to=%2Fadmin%2Flive", "200")),
    row("GET", "/admin/audit", Body::Nothing, sees_all("303 /sign-in?return_to=%2Fadmin%2Faudit", "200")),
    row(
        "GET",
        "/admin/audit/export",
        Body::Nothing,
        sees_all("303 /sign-in?return_to=%2Fadmin%2Faudit%2Fexport", "200"),
    ),
    row(
        "GET",
        "/admin/settings",
        Body::Nothing,
        sees_all("303 /sign-in?return_to=%2Fadmin%2Fsettings", "200"),
    ),
    row("GET", "/assets/{file}", Body::Nothing, all("200")),
    row(
        "POST",
        "/v1/sign-in",
        Body::Json(r#"{"username":"alice","password":"plum tractor 42 lamp"}"#),
        Answers { foreign: "403 cross_site", ..all("200") },
    ),
    row("GET", "/v1/session", Body::Nothing, look(MISSING, "200")),
    row("DELETE", "/v1/session", Body::Nothing, change(MISSING, "204")),
    row("PATCH", "/v1/session/attributes", Body::Json(r#"{"theme":"dark"}"#), change(MISSING, "200")),
    row("POST", "/v1/session/rotate", Body::Nothing, change(MISSING, "200")),
    row(
        "POST",
        "/v1/reauthenticate",
        Body::Json(r#"{"password":"plum tractor 42 lamp"}"#),
        change(MISSING, "200"),
    ),
    row(
        "POST",
        "/v1/password",
        Body::Json(r#"{"current":"plum tractor 42 lamp","new":"seven green umbrellas"}"#),
        fresh(MISSING, "204", STALE),
    ),
    row("GET", "/v1/sessions", Body::Nothing, look(MISSING, "200")),
    row("DELETE", "/v1/sessions", Body::Nothing, fresh(MISSING, "200", STALE)),
    row(
        "DELETE",
        "/v1/sessions/{id}",
        Body::Nothing,
        Answers { other: "404 not_found", ..fresh(MISSING, "200", STALE) },
    ),
    row("GET", "/v1/admin/sessions", Body::Nothing, sees_all(MISSING, "200")),
    row("GET", "/v1/admin/sessions/{id}", Body::Nothing, sees_one(MISSING, "200")),
    row("DELETE", "/v1/admin/sessions/{id}", Body::Nothing, ends_one(MISSING, "200", STALE)),
    row(
        "POST",
        "/v1/admin/revocations",
        Body::Json(r#"{"principal":"dora","reason":"compromised"}"#),
        ends_one(MISSING, "200", STALE),
    ),
    row("GET", "/v1/admin/principals/{principal}", Body::Nothing, sees_one(MISSING, "200")),
    row("GET", "/v1/admin/audit", Body::Nothing, sees_all(MISSING, "200")),
    row("GET", "/v1/admin/live", Body::Nothing, sees_all(MISSING, "200")),
    row("GET", "/v1/admin/stats", Body::Nothing, sees_all(MISSING, "200")),
    row("GET", "/v1/admin/users", Body::Nothing, sees_all(MISSING, "200")),
    row(
        "POST",
        "/v1/admin/users",
        Body::Json(r#"{"name":"erin","password":"seven green umbrellas"}"#),
        manages(MISSING, "201", STALE),
    ),
    row("GET", "/v1/admin/users/{name}", Body::Nothing, sees_all(MISSING, "200")),
    row("POST", "/v1/admin/users/{name}/disable", Body::Json("{}"), manages(MISSING, "200", STALE)),
    row("POST", "/v1/admin/users/{name}/enable", Body::Json("{}"), manages(MISSING, "200", STALE)),
    row(
        "POST",
        "/v1/admin/users/{name}/roles",
        Body::Json(r#"{"roles":["admin"]}"#),
        manages(MISSING, "200", STALE),
    ),
    row(
        "POST",
        "/v1/admin/users/{name}/password",
        Body::Json(r#"{"password":"seven green umbrellas"}"#),
        manages(MISSING, "200", STALE),
    ),
    row(
        "GET",
        "/admin/sessions",
        Body::Nothing,
        sees_all("303 /sign-in?return_to=%2Fadmin%2Fsessions", "200"),
    ),
    row(
        "GET",
        "/admin/sessions/end",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Fsessions%2Fend",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fsessions%2Fend",
        ),
    ),
    row(
        "POST",
        "/admin/sessions/end",
        Body::Form(&[("before", "1970-01-01T00:00")]),
        manages(
            "303 /sign-in",
            "303 /admin/sessions?notice=none_left",
            "303 /reauthenticate?return_to=%2Fadmin%2Fsessions%2Fend%3Fbefore%3D1970-01-01T00%253A00",
        ),
    ),
    row(
        "GET",
        "/admin/sessions/{id}",
        Body::Nothing,
        sees_one("303 /sign-in?return_to=%2Fadmin%2Fsessions%2F{id}", "200"),
    ),
    row(
        "GET",
        "/admin/sessions/{id}/end",
        Body::Nothing,
        asks_one(
            "303 /sign-in?return_to=%2Fadmin%2Fsessions%2F{id}%2Fend",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fsessions%2F{id}%2Fend",
        ),
    ),
    row(
        "POST",
        "/admin/sessions/{id}/end",
        Body::Form(&[]),
        ends_one(
            "303 /sign-in",
            "303 /admin/sessions/{id}?notice=ended%3A1",
            "303 /reauthenticate?return_to=%2Fadmin%2Fsessions%2F{id}%2Fend",
        ),
    ),
    row("GET", "/admin/people", Body::Nothing, sees_one("303 /sign-in?return_to=%2Fadmin%2Fpeople", "200")),
    row(
        "GET",
        "/admin/people/{name}",
        Body::Nothing,
        sees_one("303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}", "200"),
    ),
    row(
        "GET",
        "/admin/people/{name}/end",
        Body::Nothing,
        asks_one(
            "303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}%2Fend",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fend",
        ),
    ),
    row(
        "POST",
        "/admin/people/{name}/end",
        Body::Form(&[]),
        ends_one(
            "303 /sign-in",
            "303 /admin/people/{name}?notice=ended%3A1",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fend",
        ),
    ),
    row(
        "GET",
        "/admin/people/{name}/disable",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}%2Fdisable",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fdisable",
        ),
    ),
    row(
        "POST",
        "/admin/people/{name}/disable",
        Body::Form(&[]),
        manages(
            "303 /sign-in",
            "303 /admin/people/{name}?notice=disabled%3A1",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fdisable",
        ),
    ),
    row(
        "GET",
        "/admin/people/{name}/enable",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}%2Fenable",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fenable",
        ),
    ),
    row(
        "POST",
        "/admin/people/{name}/enable",
        Body::Form(&[]),
        manages(
            "303 /sign-in",
            "303 /admin/people/{name}?notice=enabled",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fenable",
        ),
    ),
    row(
        "GET",
        "/admin/people/{name}/roles",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}%2Froles",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Froles",
        ),
    ),
    row(
        "POST",
        "/admin/people/{name}/roles",
        Body::Form(&[("others", "staff")]),
        manages(
            "303 /sign-in",
            "303 /admin/people/{name}?notice=roles%3A1",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Froles",
        ),
    ),
    row(
        "GET",
        "/admin/people/{name}/password",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Fpeople%2F{name}%2Fpassword",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fpassword",
        ),
    ),
    row(
        "POST",
        "/admin/people/{name}/password",
        Body::Form(&[("secret", "chosen"), ("password", "seven green umbrellas")]),
        manages(
            "303 /sign-in",
            "303 /admin/people/{name}?notice=password%3A1",
            "303 /reauthenticate?return_to=%2Fadmin%2Fpeople%2F{name}%2Fpassword",
        ),
    ),
    row(
        "GET",
        "/admin/accounts",
        Body::Nothing,
        sees_all("303 /sign-in?return_to=%2Fadmin%2Faccounts", "200"),
    ),
    row(
        "GET",
        "/admin/accounts/new",
        Body::Nothing,
        asks(
            "303 /sign-in?return_to=%2Fadmin%2Faccounts%2Fnew",
            "200",
            "303 /reauthenticate?return_to=%2Fadmin%2Faccounts%2Fnew",
        ),
    ),
    row(
        "POST",
        "/admin/accounts/new",
        Body::Form(&[("name", "carol"), ("secret", "chosen"), ("password", "seven green umbrellas")]),
        manages(
            "303 /sign-in",
            "303 /admin/people/carol?notice=added",
            "303 /reauthenticate?return_to=%2Fadmin%2Faccounts%2Fnew",
        ),
    ),
    row("GET", "/sign-out/swept.svg", Body::Nothing, all("200")),
    row("GET", "/livez", Body::Nothing, all("200")),
    row("GET", "/readyz", Body::Nothing, all("200")),
    row("GET", "/metrics", Body::Nothing, all("404 not_found")),
    row("GET", "/openapi.json", Body::Nothing, all("200")),
];

#[test]
fn every_route_has_its_row_and_every_row_its_route() {
    let routes: BTreeSet<_> = web::routes().iter().map(|route| (route.method, route.path)).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(rows, routes);
    assert_eq!(rows.len(), TABLE.len(), "no row twice");
}

#[test]
fn who_may_use_a_route_is_what_the_route_says() {
    for route in web::routes() {
        let row = TABLE.iter().find(|row| (row.method, row.path) == (route.method, route.path)).unwrap();
        let answers = &row.answers;
        let turned_away = |answer: &str| answer == MISSING || answer.starts_with("303 /sign-in");
        let asks_proof = |answer: &str| answer == STALE || answer.starts_with("303 /reauthenticate?");
        let about = format!("{} {}", route.method, route.path);
        match route.access {
            Access::Anyone => assert!(!asks_proof(answers.stale), "{about}"),
            Access::SignedIn => assert!(turned_away(answers.nobody) && !asks_proof(answers.stale), "{about}"),
            Access::Fresh => assert!(turned_away(answers.nobody) && asks_proof(answers.stale), "{about}"),
            Access::Staff(right) => {
                assert!(turned_away(answers.nobody) && answers.other == FORBIDDEN, "{about}");
                assert_eq!(asks_proof(answers.stale), right.changes(), "{about}");
                for (duty, answer) in [(Duty::Auditor, answers.auditor()), (Duty::Support, answers.support())]
                {
                    assert_eq!(answer == FORBIDDEN, !duty.has(right), "{about} for {duty:?}");
                    assert!(answer == FORBIDDEN || answer == answers.owner, "{about} for {duty:?}");
                }
            }
            Access::Local => assert_eq!(answers.nobody, "404 not_found", "{about}"),
        }
        let changes = row.method != "GET";
        assert!(
            !changes || answers.foreign == "403 cross_site",
            "{about}: no change from another site's page"
        );
    }
}

#[tokio::test]
async fn each_caller_gets_what_the_table_says() {
    check_table(Kept::InAStore).await;
}

#[tokio::test]
async fn each_caller_gets_what_the_table_says_where_sessions_are_sealed() {
    check_table(Kept::InCookies).await;
}

/// Where sessions are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    InAStore,
    InCookies,
}

/// What differs where sessions are sealed in their cookies: nobody can be shown a session that is not the one that asks, and
/// nobody who may not end everybody's ends one by its id, since nobody can tell whose it is.
fn where_sealed(row: &Row, caller: Caller, expected: &str) -> Option<&'static str> {
    const UNSUPPORTED: &str = "501 unsupported_by_store";
    let (is_page_of_one, is_through) = (
        row.path == "/account/sessions/{id}/end",
        !expected.starts_with('4') && !expected.contains("/sign-in"),
    );
    let is_through = is_through && !expected.contains("/reauthenticate");
    match (row.method, row.path) {
        ("GET", "/v1/sessions" | "/v1/admin/sessions") if expected == "200" => Some(UNSUPPORTED),
        (_, _) if is_page_of_one && is_through => Some(UNSUPPORTED),
        ("DELETE", "/v1/sessions/{id}") if matches!(expected, "200" | "404 not_found") => Some(UNSUPPORTED),
        ("DELETE", "/v1/admin/sessions/{id}") | (_, "/admin/sessions/{id}/end")
            if caller == Caller::Support && is_through =>
        {
            Some(UNSUPPORTED)
        }
        ("POST", "/account/end-others") if expected.ends_with("no_others") => {
            Some("303 /account?notice=others_ended")
        }
        ("POST", "/admin/sessions/end") if expected.ends_with("none_left") => {
            Some("303 /admin/sessions?notice=ended%3Aall")
        }
        ("POST", "/admin/people/{name}/end") if expected.ends_with("ended%3A1") => {
            Some("303 /admin/people/dora?notice=ended%3Aall")
        }
        ("POST", "/admin/people/{name}/disable") if expected.ends_with("disabled%3A1") => {
            Some("303 /admin/people/dora?notice=disabled%3Aall")
        }
        ("POST", "/admin/people/{name}/password") if expected.ends_with("password%3A1") => {
            Some("303 /admin/people/dora?notice=password%3Aall")
        }
        ("POST", "/admin/people/{name}/roles") if expected.ends_with("roles%3A1") => {
            Some("303 /admin/people/dora?notice=roles%3Aall")
        }
        _ => None,
    }
}

async fn check_table(kept: Kept) {
    let mut wrong = Vec::new();
    for row in TABLE {
        let mut scene = Scene::set(kept).await;
        // Whoever changes most comes last.
        for (caller, expected) in [
            (Caller::Nobody, row.answers.nobody),
            (Caller::Foreign, row.answers.foreign),
            (Caller::Stale, row.answers.stale),
            (Caller::Other, row.answers.other),
            (Caller::Auditor, row.answers.auditor()),
            (Caller::Support, row.answers.support()),
            (Caller::Owner, row.answers.owner),
        ] {
            scene.renew_dora().await;
            let before = scene.live().await;
            let expected = match kept {
                Kept::InAStore => expected,
                Kept::InCookies => where_sealed(row, caller, expected).unwrap_or(expected),
            };
            let expected = scene.filled_in(row.path, expected);
            let answer = scene.ask(row, caller).await;
            if answer.gist() != expected {
                wrong.push(format!(
                    "{} {} for {caller:?}: {}, not {expected}",
                    row.method,
                    row.path,
                    answer.gist()
                ));
            }
            let after = scene.live().await;
            let is_staffs = row.path.starts_with("/admin") || row.path.starts_with("/v1/admin/");
            let may_change = match caller {
                Caller::Nobody | Caller::Foreign => row.path.ends_with("sign-in"),
                _ if expected == FORBIDDEN => false,
                Caller::Stale => !is_staffs,
                _ => true,
            };
            let about = format!("{} {} for {caller:?} changed sessions", row.method, row.path);
            assert!(may_change || before == after, "{about}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn metrics_are_for_this_machine_only() {
    let server = Server::new();
    assert_eq!(server.program().at("127.0.0.1").get("/metrics").await.gist(), "200");
    assert_eq!(server.program().at("::1").get("/metrics").await.gist(), "200");
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1")] {
        let mut proxied = server.program().at("127.0.0.1").with(name, value);
        assert_eq!(proxied.get("/metrics").await.gist(), "404 not_found", "through a proxy on this machine");
        let mut elsewhere = server.program().at("203.0.113.9").with(name, value);
        assert_eq!(elsewhere.get("/metrics").await.gist(), "404 not_found");
    }
}

#[tokio::test]
async fn a_session_that_is_somebody_elses_answers_as_one_that_never_was() {
    let scene = Scene::set(Kept::InAStore).await;
    let mut bob = scene.server.browser_with(&scene.other);
    let theirs = bob.ask(Method::DELETE, &format!("/v1/sessions/{}", scene.target.id)).await;
    let nobodys = bob.ask(Method::DELETE, "/v1/sessions/ses_AAAAAAAAAAAAAAAAAAAAAA").await;
    let no_id = bob.ask(Method::DELETE, "/v1/sessions/1").await;
    assert_eq!((&theirs.status, &theirs.body), (&nobodys.status, &nobodys.body));
    assert_eq!((&theirs.status, &theirs.body), (&no_id.status, &no_id.body));
    assert_eq!(scene.server.live("alice").await, 3);
    let listed = bob.get("/v1/sessions").await.json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "only one's own: {listed}");
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    Nobody,
    Other,
    Owner,
    Stale,
    Foreign,
    Auditor,
    Support,
}

/// Alice, an administrator, with three sessions (one of them with a proof of six minutes ago, one that others want to
/// end), Bob, an auditor, somebody from support, and Dora, whom they all have to do with.
struct Scene {
    server: Server,
    owner: Planted,
    stale: Planted,
    target: Planted,
    other: Planted,
    auditor: Planted,
    support: Planted,
    dora: Planted,
}

impl Scene {
    async fn set(kept: Kept) -> Self {
        let server = match kept {
            Kept::InAStore => Server::with_people().await,
            Kept::InCookies => Server::sealed().await,
        };
        for (name, roles) in [("ada", &["auditor"][..]), ("sam", &["support"]), ("dora", &[])] {
            server.add(name, roles).await;
        }
        let stale = server.plant("alice").await;
        server.advance(6);
        let (owner, target) = (server.plant("alice").await, server.plant("alice").await);
        let (other, auditor) = (server.plant("bob").await, server.plant("ada").await);
        let (support, dora) = (server.plant("sam").await, server.plant("dora").await);
        Self { server, owner, stale, target, other, auditor, support, dora }
    }

    /// How many sessions each has whose sessions somebody might end; sealed ones are those known here.
    async fn live(&self) -> [usize; 3] {
        if self.server.sessions.is_sealed() {
            let mut live = [0; 3];
            for (count, planted) in
                [(0, &self.owner), (0, &self.stale), (0, &self.target), (1, &self.other), (2, &self.dora)]
            {
                live[count] += usize::from(self.server.is_live(&planted.token).await);
            }
            return live;
        }
        [self.server.live("alice").await, self.server.live("bob").await, self.server.live("dora").await]
    }

    async fn ask(&self, row: &Row, caller: Caller) -> Answer {
        let mut client = match caller {
            Caller::Nobody => self.server.browser(),
            Caller::Other => self.server.browser_with(&self.other),
            Caller::Owner => self.server.browser_with(&self.owner),
            Caller::Stale => self.server.browser_with(&self.stale),
            Caller::Foreign => self.server.browser_with(&self.owner).on_a_foreign_page(),
            Caller::Auditor => self.server.browser_with(&self.auditor),
            Caller::Support => self.server.browser_with(&self.support),
        };
        let method: Method = row.method.parse().unwrap();
        let path = self.path(row.path).await;
        match row.body {
            Body::Nothing => client.ask(method, &path).await,
            Body::Json(text) => client.json(method, &path, &serde_json::from_str(text).unwrap()).await,
            Body::Form(fields) => {
                let csrf = csrf_token(&mut client).await;
                let mut fields = fields.to_vec();
                fields.extend(csrf.as_deref().map(|token| ("csrf_token", token)));
                client.form(&path, &fields).await
            }
        }
    }

    /// Whoever asks before may have ended Dora's session.
    async fn renew_dora(&mut self) {
        if self.live().await[2] == 0 {
            self.server.accounts.enable("dora").await.unwrap();
            self.dora = self.server.plant("dora").await;
        }
    }

    /// `text` of the row of `path`: a session of whoever asks; for staff somebody else's, and somebody else.
    fn filled_in(&self, path: &str, text: &str) -> String {
        let is_staffs = path.starts_with("/admin") || path.starts_with("/v1/admin/");
        let session = if is_staffs { &self.dora } else { &self.target };
        let text = text.replace("{id}", &session.id.to_string());
        text.replace("{principal}", "dora").replace("{name}", "dora")
    }

    async fn path(&self, path: &str) -> String {
        let path = self.filled_in(path, path);
        if !path.contains("{file}") {
            return path;
        }
        let page = self.server.browser().get("/sign-in").await;
        path.replace("{file}", &between(&page.body, "/assets/", "\""))
    }
}

/// The CSRF token of whoever has a session and is on our page; another site cannot read it.
async fn csrf_token(client: &mut Client<'_>) -> Option<String> {
    if client.kind == Kind::ForeignPage || client.token.is_none() {
        return None;
    }
    let page = client.get("/account").await;
    Some(between(&page.body, "name=\"csrf_token\" value=\"", "\""))
}
