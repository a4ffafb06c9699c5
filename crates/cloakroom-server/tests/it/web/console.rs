//! The console's pages about sessions and people: what they say, and that looking changes nothing.

use cloakroom::{
    AuthLevel, Authentication, Device, EndReason, Issue, Method as Proof, Principal, PrincipalId, SessionId,
};
use cloakroom_core::AttributeKey;
use http::StatusCode;

use super::client::{Answer, Client, between};
use super::server::{PASSWORD, Planted, Server};

/// Leaves every quoted place and element, where anything took it for markup.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// Alice, an administrator, with a fresh session; and dora, who has three.
struct Desk {
    server: Server,
    alice: Planted,
    dora: Vec<Planted>,
}

impl Desk {
    async fn set() -> Self {
        let server = Server::with_people().await;
        server.add("dora", &[]).await;
        let mut dora = Vec::new();
        for _ in 0..3 {
            dora.push(server.plant("dora").await);
        }
        let alice = server.plant("alice").await;
        Self { server, alice, dora }
    }

    fn alice(&self) -> Client<'_> {
        self.server.browser_with(&self.alice)
    }

    /// A session of somebody who has no account, with this much to be shown.
    async fn stranger(&self, id: &str, device: Device) -> SessionId {
        let principal = Principal::new(PrincipalId::new(id).unwrap());
        let proof = Authentication::new(AuthLevel::One, Proof::password(), self.server.sessions.now());
        let issue = Issue::signed_in(principal, proof).device(device);
        self.server.sessions.issue(issue).await.unwrap().expect_issued().session.id()
    }
}

/// The sessions that a page lists, in its order.
fn listed(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let rows = answer.body.split("<tr role=\"row\" data-session=\"").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
}

/// The text of the element marked so.
fn told(answer: &Answer, mark: &str) -> String {
    let inner = between(&answer.body, &format!("data-test=\"{mark}\">"), "</p>");
    inner.split('<').next().unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_strangers_write_is_text_on_every_page_that_shows_it() {
    let desk = Desk::set().await;
    let device = Device::new().with_user_agent(HOSTILE).with_label(HOSTILE);
    let id = desk.stranger(HOSTILE, device).await;
    let mut alice = desk.alice();
    let person = alice.get("/admin/people?id=%22%27%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3Dalert%282%29%3E").await;
    let person = person.location().to_owned();
    let note = [("note", HOSTILE)];
    let ended =
        alice.submit(&format!("/admin/sessions/{id}/end"), &format!("/admin/sessions/{id}/end"), &note).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER, "{}", ended.body);
    let query = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>();
    let other = desk.stranger(HOSTILE, Device::new().with_user_agent(HOSTILE).with_label(HOSTILE)).await;
    for (path, least) in [
        (format!("/admin/sessions?state=any&q={query}"), 4),
        (format!("/admin/sessions?q={query}&ip={query}&sort={query}&cursor={query}"), 3),
        (format!("/admin/sessions/{id}"), 2),
        (format!("/admin/sessions/{other}"), 3),
        (format!("/admin/sessions/{other}/end?note={query}&reason={query}"), 2),
        (format!("/admin/sessions/end?s={other}&note={query}"), 2),
        (format!("/admin/sessions/end?before={query}"), 1),
        (person.clone(), 3),
        (format!("{person}/end"), 1),
        (format!("/admin/people?id={query}x"), 1),
        (format!("/admin/accounts?q={query}"), 1),
    ] {
        let shown = alice.get(&path).await;
        assert!(
            shown.status == StatusCode::OK || shown.status == StatusCode::NOT_FOUND,
            "{path}: {}",
            shown.status
        );
        for raw in ["<script>alert", "<img src=x", "onerror=alert(2)>\""] {
            assert!(!shown.body.contains(raw), "{path} has {raw}: {}", shown.body);
        }
        let escaped = shown.body.matches("&#60;script&#62;alert(1)&#60;/script&#62;").count();
        assert!(escaped >= least, "{path} shows it {escaped} times, not {least}: {}", shown.body);
    }
}

#[tokio::test]
async fn a_confirmation_says_what_will_end_and_looking_at_it_ends_nothing() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let [first, second, third] = [0, 1, 2].map(|place| desk.dora[place].id);
    desk.server.end(third, EndReason::SignedOut).await;
    for (path, words) in [
        (format!("/admin/sessions/{first}/end"), "1 session ends."),
        (format!("/admin/sessions/end?s={first}&s={second}&s={third}&s={first}"), "2 sessions end."),
        ("/admin/people/dora/end".to_owned(), "2 sessions end."),
        (format!("/admin/people/dora/end?except={first}"), "1 session ends."),
        ("/admin/sessions/end?all=true".to_owned(), "3 sessions end: everybody"),
        (format!("/admin/sessions/{third}/end"), "There is nothing to end"),
        ("/admin/sessions/end?before=1960-01-01T00:00".to_owned(), "There is nothing to end"),
    ] {
        let asked = alice.get(&path).await;
        let consequence = told(&asked, "consequence");
        assert!(consequence.starts_with(words), "{path}: {consequence}");
    }
    assert_eq!((desk.server.live("dora").await, desk.server.live("alice").await), (2, 1));
    let own = alice.get("/admin/sessions/end?all=true").await;
    assert!(own.body.contains("data-test=\"own-too\""), "one's own session is among them");
}

#[tokio::test]
async fn an_act_says_what_it_did_where_it_was_asked_for() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let [first, second, third] = [0, 1, 2].map(|place| desk.dora[place].id);
    let page = format!("/admin/sessions/end?s={first}&s={second}&back=%2Fadmin%2Fsessions%3Fq%3Ddora");
    let ended = alice.submit(&page, "/admin/sessions/end", &[("reason", "compromised"), ("note", "")]).await;
    assert_eq!(ended.gist(), "303 /admin/sessions?q=dora&notice=ended%3A2");
    let list = alice.get(ended.location()).await;
    assert_eq!(listed(&list), [third.to_string()]);
    assert!(list.body.contains("2 sessions were ended."), "{}", list.body);

    let nothing = alice.get(&format!("/admin/people/dora/end?except={third}")).await;
    assert!(!nothing.body.contains("action=\"/admin/people/dora/end\""), "there is nothing to confirm");
    assert_eq!(desk.server.live("dora").await, 1, "the one that was spared");
    let foreign = format!("/admin/sessions/{third}/end?back=https%3A%2F%2Fevil.example%2F");
    let ended = alice.submit(&foreign, &format!("/admin/sessions/{third}/end"), &[]).await;
    assert_eq!(ended.gist(), format!("303 /admin/sessions/{third}?notice=ended%3A1"), "never elsewhere");
}

#[tokio::test]
async fn a_reason_or_a_note_that_cannot_be_used_is_said_and_nothing_is_done() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let path = format!("/admin/sessions/{}/end", desk.dora[0].id);
    let long = "x".repeat(501);
    for fields in [[("reason", "signed_out"), ("note", "")], [("reason", ""), ("note", &long)]] {
        let refused = alice.submit(&path, &path, &fields).await;
        assert_eq!(refused.gist(), "400 malformed_request");
    }
    let mut thief = desk.server.browser_with(&desk.alice);
    assert_eq!(thief.form(&path, &[("note", "no token")]).await.gist(), "403 cross_site");
    assert_eq!(desk.server.live("dora").await, 3);
}

#[tokio::test]
async fn an_old_proof_leads_to_a_new_one_and_back_to_the_same_confirmation() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let csrf = between(&alice.get("/account").await.body, "name=\"csrf_token\" value=\"", "\"");
    desk.server.advance(6);
    let ids: Vec<String> = desk.dora.iter().map(|planted| planted.id.to_string()).collect();
    let fields: Vec<_> = ids.iter().map(|id| ("s", id.as_str())).collect();
    let written = [("csrf_token", &*csrf), ("reason", "compromised"), ("note", "a paste & more")];
    let sent = alice.form("/admin/sessions/end", &[&fields[..], &written].concat()).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(desk.server.live("dora").await, 3, "nothing is done by the detour");

    let detour = sent.location().to_owned();
    let proved = alice.submit(&detour, "/reauthenticate", &[("password", PASSWORD)]).await;
    let back = proved.location().to_owned();
    assert!(back.starts_with("/admin/sessions/end?"), "{back}");
    let asked = alice.get(&back).await;
    assert!(told(&asked, "consequence").starts_with("3 sessions end."), "{}", asked.body);
    assert!(asked.body.contains("value=\"compromised\" selected"), "{}", asked.body);
    assert!(asked.body.contains("value=\"a paste &#38; more\""), "{}", asked.body);
    alice.submit(&back, "/admin/sessions/end", &[]).await;
    assert_eq!(desk.server.live("dora").await, 0);
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_and_columns_sort_only_a_whole_result() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let mut ids = Vec::new();
    for number in 0..120_u8 {
        desk.server.clock.advance(std::time::Duration::from_secs(1));
        let device = Device::new().with_ip([198, 51, 100, number].into());
        ids.push(desk.stranger("crowd", device).await.to_string());
    }
    ids.reverse();
    let first = alice.get("/admin/sessions?q=crowd").await;
    assert_eq!(listed(&first), ids[..50]);
    let next = between(&first.body, "rel=\"next\"", ">");
    assert!(next.contains("pager-next"));
    let address = first.body.split("href=\"").find(|it| it.contains("rel=\"next\"")).unwrap();
    let address = address.split('"').next().unwrap().replace("&#38;", "&");
    // The list changes meanwhile at both ends.
    desk.stranger("crowd", Device::new()).await;
    desk.server.end(ids[10].parse().unwrap(), EndReason::SignedOut).await;
    assert_eq!(listed(&alice.get(&address).await), ids[50..100]);

    let oldest = alice.get("/admin/sessions?principal=crowd&sort=oldest").await;
    assert_eq!(listed(&oldest)[0], ids[119]);
    let sorted = alice.get("/admin/sessions?principal=crowd&sort=address").await;
    let by_address: Vec<String> = ids.iter().rev().filter(|id| **id != ids[10]).cloned().collect();
    assert_eq!(listed(&sorted)[..119], by_address);
    for number in 0..100_u8 {
        desk.stranger("crowd", Device::new().with_ip([203, 0, 113, number].into())).await;
    }
    let refused = alice.get("/admin/sessions?principal=crowd&sort=address").await;
    assert!(told(&refused, "problem").starts_with("There are more than 200 sessions"), "{}", refused.body);
    assert_ne!(listed(&refused)[0], by_address[0], "by age, and so it says");
}

#[tokio::test]
async fn what_changes_while_one_types_comes_alone() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let part = alice.get("/admin/sessions?q=dora&part=results").await;
    assert_eq!(listed(&part).len(), 3);
    assert!(!part.body.contains("<html") && part.body.trim_start().starts_with("<div id=\"results\""));
}

#[tokio::test]
async fn names_and_sizes_of_attributes_are_shown_and_never_a_value() {
    let desk = Desk::set().await;
    let mut dora = desk.server.browser_with(&desk.dora[0]);
    let body = serde_json::json!({ "cart.items": "two umbrellas", "theme": "moonlight" });
    let patched = dora.json(http::Method::PATCH, "/v1/session/attributes", &body).await;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.body);
    let shown = desk.alice().get(&format!("/admin/sessions/{}", desk.dora[0].id)).await;
    assert!(
        shown.body.contains("<code>cart.items</code>") && shown.body.contains(" bytes</dd>"),
        "{}",
        shown.body
    );
    assert!(!shown.body.contains("umbrellas") && !shown.body.contains("moonlight"), "{}", shown.body);
    assert!(AttributeKey::new("<b>").is_err(), "no name of an attribute can be markup");
}

#[tokio::test]
async fn every_principal_has_a_page_whatever_its_name() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    for name in [".", "..", "~", "a/b", "50% ?#&", "zoë", "..\\..", "new"] {
        desk.stranger(name, Device::new()).await;
        let query: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let found = alice.get(&format!("/admin/people?id={query}")).await;
        let path = found.location().to_owned();
        assert!(path.starts_with("/admin/people/") && !path.contains("/."), "{name}: {path}");
        let page = alice.get(&path).await;
        assert_eq!(listed(&page).len(), 1, "{name}");
        let ended = alice.submit(&format!("{path}/end"), &format!("{path}/end"), &[]).await;
        assert_eq!(ended.gist(), format!("303 {path}?notice=ended%3A1"), "{name}");
    }
}

#[tokio::test]
async fn a_password_that_is_made_here_is_shown_once_and_works() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let fields = [("name", "edith"), ("role_auditor", "true"), ("others", "a, b c"), ("secret", "made")];
    let made = alice.submit("/admin/accounts/new", "/admin/accounts/new", &fields).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let secret = between(&made.body, "data-test=\"secret\">", "<");
    let account = desk.server.accounts.get("edith").await.unwrap().unwrap();
    assert_eq!(account.roles.joined(), "a,auditor,b,c");
    let signed_in = desk.server.browser().sign_in("edith", &secret).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER);
    for path in ["/admin/people/edith", "/admin/accounts", "/admin/accounts/new"] {
        assert!(!alice.get(path).await.body.contains(&secret), "{path}");
    }
    let weak = [("name", "ed"), ("secret", "chosen"), ("password", "short")];
    let refused = alice.submit("/admin/accounts/new", "/admin/accounts/new", &weak).await;
    assert_eq!(refused.code().as_deref(), Some("weak_password"), "{}", refused.body);
    assert!(refused.body.contains("value=\"ed\""), "what was filled in stays");
    assert!(!refused.body.contains("short\""), "but never the password");
}

#[tokio::test]
async fn nobody_changes_their_own_account_in_the_console() {
    let desk = Desk::set().await;
    let mut alice = desk.alice();
    let own = alice.get("/admin/people/alice").await;
    assert!(!own.body.contains("data-test=\"disable\""), "{}", own.body);
    for act in ["disable", "roles", "password"] {
        let path = format!("/admin/people/alice/{act}");
        let refused = alice.submit(&path, &path, &[]).await;
        assert_eq!(refused.gist(), "409 own_account", "{act}");
    }
    assert!(desk.server.accounts.get("alice").await.unwrap().unwrap().is_enabled());
}
