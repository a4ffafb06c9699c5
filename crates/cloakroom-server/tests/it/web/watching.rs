//! What the console shows of everything: overview, live, audit, settings.

use std::collections::BTreeSet;

use cloakroom::{Actor, Device, EndReason, PrincipalId};
use cloakroom_audit::{Draft, names};
use cloakroom_conformance::Fault;
use cloakroom_store::Verb;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::client::{Answer, Client, between};
use super::server::{PASSWORD, Planted, Server};

/// Leaves every quoted place and element, where anything took it for markup.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// Alice, an administrator; Ada, an auditor; Sam, who does support.
struct Desk {
    server: Server,
    alice: Planted,
    ada: Planted,
    sam: Planted,
}

impl Desk {
    async fn set() -> Self {
        Self::configured("").await
    }

    async fn configured(text: &str) -> Self {
        let server = Server::configured(text);
        for (name, role) in [("alice", "admin"), ("ada", "auditor"), ("sam", "support")] {
            server.add(name, &[role]).await;
        }
        server.add("dora", &[]).await;
        let (alice, ada, sam) =
            (server.plant("alice").await, server.plant("ada").await, server.plant("sam").await);
        Self { server, alice, ada, sam }
    }

    fn alice(&self) -> Client<'_> {
        self.server.browser_with(&self.alice)
    }

    /// Records so many events of a kind that nothing else here causes.
    async fn record(&self, count: usize) {
        for _ in 0..count {
            let draft = Draft::new(names::USER_UPDATED, self.server.sessions.now());
            self.server.audit.write(draft).await.unwrap();
        }
    }

    /// Records an event in which everything that a stranger can choose is hostile.
    async fn record_hostile(&self) {
        let somebody = PrincipalId::new(HOSTILE).unwrap();
        let device = Device::new().with_ip("198.51.100.66".parse().unwrap()).with_user_agent(HOSTILE);
        let draft = Draft::new(names::AUTHZ_ADMIN, self.server.sessions.now())
            .by(Actor::Admin(somebody.clone()))
            .about(Some(somebody))
            .from_device(Some(device))
            .with("act", HOSTILE)
            .with("note", HOSTILE);
        self.server.audit.write(draft).await.unwrap();
    }
}

/// The number on the overview that is called so.
fn figure(page: &Answer, name: &str) -> String {
    let tile = between(&page.body, &format!("data-figure=\"{name}\""), "</div>");
    between(&tile, "<dd class=\"value\">", "</dd>")
}

/// The numbers of the events on a page, in its order.
fn events(page: &Answer) -> Vec<u64> {
    page.body
        .split("data-seq=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
        .collect()
}

/// Where the link marked so leads.
fn link(page: &Answer, mark: &str) -> Option<String> {
    let (before, _) = page.body.split_once(&format!("data-test=\"{mark}\""))?;
    let (_, href) = before.rsplit_once("href=\"")?;
    Some(href.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&"))
}

fn assert_is_text(page: &Answer) {
    for markup in ["<script>alert", "<img src=x", "\"'>"] {
        assert!(!page.body.contains(markup), "{markup} in {}", page.body);
    }
    assert!(page.body.contains("alert(1)"), "it is shown: {}", page.body);
}

#[tokio::test]
async fn the_overview_counts_what_happened() {
    let desk = Desk::set().await;
    let (first, _second) = (desk.server.plant("dora").await, desk.server.plant("dora").await);
    desk.server.end(first.id, EndReason::SignedOut).await;
    for _ in 0..3 {
        desk.server.browser().sign_in("dora", "a wrong guess of hers").await;
    }
    desk.server.browser().sign_in("dora", PASSWORD).await;
    desk.server.events(names::STARTUP).await;
    let page = desk.alice().get("/admin").await;
    assert_eq!(page.status, StatusCode::OK);
    for (name, value) in [
        ("signed-in", "5"),
        ("anonymous", "0"),
        ("issued", "6"),
        ("ended", "1"),
        ("failed", "3"),
        ("unknown", "0"),
        ("signals", "0"),
    ] {
        assert_eq!(figure(&page, name), value, "{name}");
    }
    for chart in ["active", "issued", "ended", "sign-ins"] {
        let figure = between(&page.body, &format!("data-test=\"chart-{chart}\""), "</figure>");
        assert!(figure.contains("<svg role=\"img\"") && figure.contains("<details>"), "{chart}: {figure}");
    }
    let sign_ins = between(&page.body, "data-test=\"chart-sign-ins\"", "</figure>");
    assert!(sign_ins.contains("1 succeeded, 3 failed"), "{sign_ins}");
    let numbers = between(&sign_ins, "<tbody>", "</tbody>");
    assert!(numbers.contains("<td class=\"num\">1</td><td class=\"num\">3</td>"), "{numbers}");
    for check in ["store", "near-cache", "accounts", "audit"] {
        assert!(page.body.contains(&format!("data-test=\"check-{check}\"")), "{check}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_said_to_be_and_the_rest_is_told_all_the_same() {
    let desk = Desk::set().await;
    desk.server.events(names::STARTUP).await;
    desk.server.store.script(Verb::Ping, Fault::FailBefore);
    let page = desk.alice().get("/admin").await;
    let store = between(&page.body, "data-test=\"check-store\"", "</section>");
    assert!(store.contains(">Does not answer<"), "{store}");
    assert_eq!((&*figure(&page, "issued"), page.status), ("3", StatusCode::OK));
    assert!(figure(&page, "signed-in").contains("Not known"), "{}", figure(&page, "signed-in"));

    desk.server.advance(1);
    let page = desk.alice().get("/admin?part=standing").await;
    let store = between(&page.body, "data-test=\"check-store\"", "</section>");
    assert!(store.contains(">Answers<"), "{store}");
}

#[tokio::test]
async fn a_page_that_asks_by_itself_keeps_no_session_alive() {
    let desk = Desk::set().await;
    let (mut sits_there, mut looks_away) = (desk.alice(), desk.server.browser_with(&desk.ada));
    desk.server.advance(10);
    assert_eq!(sits_there.get("/admin").await.status, StatusCode::OK);
    for part in ["/admin?part=standing", "/admin/live?part=rows&after=0"] {
        let fragment = looks_away.get(part).await;
        assert_eq!(fragment.status, StatusCode::OK, "{part}");
        assert!(
            !fragment.body.contains("<html") && !fragment.body.contains("<script"),
            "{part}: a part of a page"
        );
    }
    desk.server.advance(6);
    assert_eq!(sits_there.get("/admin").await.status, StatusCode::OK);
    let put_out = looks_away.get("/admin?part=standing").await;
    assert_ne!(put_out.status, StatusCode::OK, "sixteen minutes of silence are too many");
}

#[tokio::test]
async fn support_is_asked_for_one_person_instead() {
    let desk = Desk::set().await;
    let mut sam = desk.server.browser_with(&desk.sam);
    for start in ["/admin", "/admin?part=standing"] {
        let page = sam.get(start).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.body.contains("data-test=\"find-person\"") && !page.body.contains("data-figure"),
            "{start}"
        );
        assert!(!page.body.contains("/admin/audit"), "no way to what is refused");
    }
    for refused in
        ["/admin/live", "/admin/live?part=rows", "/admin/audit", "/admin/audit/export", "/admin/settings"]
    {
        let page = sam.get(refused).await;
        assert_eq!(page.gist(), "403 forbidden", "{refused}");
        assert!(page.header("content-type").starts_with("text/html"), "a page: {refused}");
    }
    let refused = desk.server.events(names::AUTHZ_FAIL).await;
    assert_eq!(refused.len(), 1, "one event for each right, repeats are summed up: {refused:?}");
}

#[tokio::test]
async fn what_strangers_wrote_is_text_wherever_the_log_is_shown() {
    let desk = Desk::set().await;
    desk.record_hostile().await;
    for path in ["/admin/audit", "/admin/live", "/admin/live?part=rows&after=0"] {
        assert_is_text(&desk.alice().get(path).await);
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("principal", HOSTILE), ("session", HOSTILE), ("actor", HOSTILE)])
        .finish();
    let refused = desk.alice().get(&format!("/admin/audit?{query}")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_is_text(&refused);
}

#[tokio::test]
async fn pages_of_the_log_hold_each_event_once_while_new_ones_come() {
    let desk = Desk::set().await;
    desk.record(120).await;
    let mut alice = desk.alice();
    let mut address = Some("/admin/audit?event=user_updated".to_owned());
    let mut seen = Vec::new();
    while let Some(path) = address {
        let page = alice.get(&path).await;
        seen.extend(events(&page));
        desk.record(7).await;
        address = link(&page, "pager-next");
    }
    assert_eq!(seen.len(), 120, "those that were there when the first page was shown");
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "the newest first, none twice: {seen:?}");
}

#[tokio::test]
async fn a_filter_shows_what_it_names_and_says_what_it_cannot_read() {
    let desk = Desk::set().await;
    let theirs = desk.server.plant("dora").await;
    desk.server.end(theirs.id, EndReason::RevokedByUser).await;
    desk.record(2).await;
    let mut alice = desk.alice();
    for (query, count) in [
        ("event=user_updated", 2),
        ("event=user_*", 2),
        ("principal=dora", 2),
        (&*format!("session={}", theirs.id), 2),
        ("principal=dora&event=session_revoked", 1),
        ("actor=nobody", 0),
        ("since=2999-01-01T00:00", 0),
        ("until=1971-01-01", 0),
    ] {
        let page = alice.get(&format!("/admin/audit?{query}")).await;
        assert_eq!((page.status, events(&page).len()), (StatusCode::OK, count), "{query}");
        assert_eq!(page.body.contains("data-test=\"empty\""), count == 0, "{query}");
    }
    for query in ["session=ses_x", "event=%3Cb%3E", "since=yesterday", "until=x", "from=yesterday"] {
        let page = alice.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(page.gist(), "422 filter", "{query}");
    }
}

#[tokio::test]
async fn what_is_taken_away_is_what_the_filter_shows_and_the_log_knows_of_it_first() {
    let desk = Desk::set().await;
    desk.record(1_203).await;
    desk.record_hostile().await;
    let mut ada = desk.server.browser_with(&desk.ada);
    let lines = ada.get("/admin/audit/export?event=user_updated").await;
    assert_eq!(lines.header("content-disposition"), "attachment; filename=\"audit.jsonl\"");
    let seqs: Vec<u64> = lines
        .body
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs.len(), 1_203, "more than any page holds");
    assert_eq!(seqs.iter().collect::<BTreeSet<_>>().len(), seqs.len());

    let table = ada.get("/admin/audit/export?format=csv").await;
    assert!(table.header("content-type").starts_with("text/csv"));
    let taken: Vec<_> = desk.server.events(names::SENSITIVE_READ).await;
    let filters: Vec<_> = taken.iter().map(|event| event.detail["filter"].clone()).collect();
    assert_eq!(filters, ["?event=user_updated", ""]);
    assert!(taken.iter().all(|event| event.actor_id.as_deref() == Some("ada")));
    assert!(table.body.contains("sensitive_read"), "the whole log holds that it was taken");
    for refused in ["event=%3C", "from=2026-01-01"] {
        let answer = ada.get(&format!("/admin/audit/export?{refused}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{refused}");
    }
    assert_eq!(desk.server.events(names::SENSITIVE_READ).await.len(), 2, "nothing left, nothing recorded");
}

/// Whoever takes the log away and is signed out meanwhile gets no more of it; nor do many at once read all of it.
#[tokio::test]
async fn what_is_taken_away_stops_with_the_session() {
    let desk = Desk::set().await;
    desk.record(1_203).await;
    let mut ada = desk.server.browser_with(&desk.ada);
    let (status, mut first) = ada.open("/admin/audit/export").await;
    let (_, _second) = ada.open("/admin/audit/export").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ada.get("/admin/audit/export").await.gist(), "429 too_many_exports");
    let mut taken = 0;
    while taken == 0 {
        let frame = first.frame().await.expect("it begins").unwrap();
        taken = frame.data_ref().unwrap().iter().filter(|byte| **byte == b'\n').count();
    }
    desk.server.end(desk.ada.id, EndReason::RevokedByAdmin).await;
    let cut_off = loop {
        match first.frame().await {
            Some(Ok(_)) => assert!(taken < 1_203, "it went on to its end"),
            other => break other,
        }
    };
    assert!(cut_off.is_some_and(|frame| frame.is_err()), "what is not all of it does not end as if it were");
}

#[tokio::test]
async fn the_live_page_is_told_what_came_since_and_what_was_left_out() {
    let desk = Desk::set().await;
    desk.record(1).await;
    let mut alice = desk.alice();
    let page = alice.get("/admin/live").await;
    let after: u64 = between(&page.body, "data-after=\"", "\"").parse().unwrap();
    assert_eq!(events(&page).first(), Some(&after), "nothing lies between the page and what it asks for");
    desk.record(3).await;
    let rows = alice.get(&format!("/admin/live?part=rows&after={after}")).await;
    assert_eq!(events(&rows), [after + 3, after + 2, after + 1]);
    assert!(rows.body.contains("data-skipped=\"0\""), "{}", rows.body);
    let none = alice.get("/admin/live?part=rows&event=session_signal&after=0").await;
    assert_eq!(events(&none), [0_u64; 0], "the filter holds here too");
    assert_eq!(between(&none.body, "data-after=\"", "\""), (after + 3).to_string(), "and is not asked again");

    desk.record(150).await;
    let rows = alice.get(&format!("/admin/live?part=rows&after={}", after + 3)).await;
    assert_eq!(events(&rows).len(), 100);
    assert!(rows.body.contains("data-skipped=\"50\""));
}

#[tokio::test]
async fn settings_say_what_is_in_force_and_keep_secrets_to_themselves() {
    let text = "store = \"postgres://cloakroom:hunter2@db.example/sessions\"\n\
                public_url = \"https://id.example\"\n\
                [trust]\nproxies = [\"10.0.0.0/8\"]\n\
                [session]\nidle_timeout = \"7m\"\nper_principal_max = 3";
    let desk = Desk::configured(text).await;
    let mut alice = desk.alice().at("10.0.0.7").with("x-forwarded-proto", "https");
    let page = alice.get("/admin/settings").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(!page.body.contains("hunter2"), "{}", page.body);
    let policy = between(&page.body, "data-test=\"policy\"", "</section>");
    assert!(policy.contains("A session ends after 7m of silence"), "{policy}");
    assert!(policy.contains("One person may have 3 sessions; one more ends the oldest."), "{policy}");
    let configuration = between(&page.body, "data-test=\"configuration\"", "</main>");
    let key = between(&configuration, "<dt><code>per_principal_max</code></dt>", "</div>");
    assert!(key.contains("<code>3</code>") && key.contains("cloakroom.toml"), "{key}");
    assert!(page.body.contains(env!("CARGO_PKG_VERSION")));
}
