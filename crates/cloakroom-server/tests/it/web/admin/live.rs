//! The live log, as a browser's `EventSource` reads it.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Desk, post, revoke};

/// A stream of server-sent events under way.
struct Stream {
    body: Body,
    read: String,
}

impl Stream {
    async fn open(client: &mut crate::web::client::Client<'_>, path: &str) -> Self {
        let (status, body) = client.open(path).await;
        assert_eq!(status, 200);
        Self { body, read: String::new() }
    }

    /// The fields of the next event, heartbeats left out; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                if !event.starts_with(':') {
                    return Some(event);
                }
                continue;
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await;
            let frame = frame.expect("something within the deadline")?.unwrap();
            self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// The next event of the log with this name, its id checked.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await.expect("the stream goes on");
            let field = |field: &str| {
                event.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().trim().to_owned()
            };
            let object: Value =
                serde_json::from_str(&field("data:")).unwrap_or_else(|e| panic!("{e}: {event}"));
            assert_eq!(object["seq"].to_string(), field("id:"));
            if object["event"] == name {
                return object;
            }
        }
    }
}

#[tokio::test]
async fn whoever_follows_sees_what_happens_as_it_happens_and_what_they_missed() {
    let desk = Desk::set().await;
    let mut auditor = desk.auditor();
    let mut stream = Stream::open(&mut auditor, "/v1/admin/live").await;
    revoke(&mut desk.admin(), json!({ "principal": "dora", "note": "as it happens" })).await;
    let begun = stream.event("authz_admin").await;
    assert_eq!((&begun["detail"]["note"], &begun["actor"]["id"]), (&json!("as it happens"), &json!("alice")));
    let ended = stream.event("session_revoked").await;
    assert_eq!((&ended["principal"], &ended["reason"]), (&json!("dora"), &json!("revoked_by_admin")));
    drop(stream);

    let after = begun["seq"].to_string();
    let mut again = auditor.clone().with("last-event-id", after.clone());
    let mut stream = Stream::open(&mut again, "/v1/admin/live?after=1").await;
    assert_eq!(stream.event("session_revoked").await, ended, "the header wins");
    let mut stream = Stream::open(&mut auditor, &format!("/v1/admin/live?after={after}")).await;
    assert_eq!(stream.event("session_revoked").await, ended);
    let mut stream = Stream::open(&mut auditor, "/v1/admin/live?after=999999").await;
    assert_eq!(
        stream.next().await.as_deref(),
        Some("event: missed\ndata: look anew"),
        "there is no such event"
    );
}

#[tokio::test]
async fn too_much_to_be_told_again_is_said_to_be_missed() {
    let desk = Desk::set().await;
    for _ in 0..201 {
        let draft = cloakroom_audit::Draft::new(cloakroom_audit::names::SHUTDOWN, desk.server.sessions.now());
        desk.server.audit.note(draft);
    }
    let head = desk.server.events("*").await.len();
    assert_eq!(head, 50, "a page of many");
    let mut auditor = desk.auditor();
    let mut stream = Stream::open(&mut auditor, "/v1/admin/live?after=0").await;
    assert_eq!(stream.next().await.as_deref(), Some("event: missed\ndata: look anew"));
    revoke(&mut desk.admin(), json!({ "principal": "dora" })).await;
    assert_eq!(stream.event("session_revoked").await["principal"], "dora", "and it goes on from here");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_says_so() {
    let desk = Desk::set().await;
    let mut auditor = desk.auditor();
    let mut stream = Stream::open(&mut auditor, "/v1/admin/live").await;
    assert_eq!(post(&mut desk.admin(), "users/ada/roles", json!({ "roles": [] })).await.gist(), "200");
    let mut last = String::new();
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert_eq!(last, "event: session-ended\ndata: revoked_by_admin");
    assert_eq!(auditor.get("/v1/admin/live").await.gist(), "401 session_ended");
}

#[tokio::test]
async fn following_does_not_keep_a_session_alive() {
    let desk = Desk::set().await;
    desk.server.advance(10);
    let mut auditor = desk.auditor();
    let _stream = Stream::open(&mut auditor, "/v1/admin/live").await;
    desk.server.advance(6);
    assert_eq!(
        auditor.get("/v1/session").await.gist(),
        "401 session_ended",
        "fifteen minutes without activity"
    );
}

#[tokio::test]
async fn streams_are_few() {
    let desk = Desk::set().await;
    let mut auditor = desk.auditor();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Stream::open(&mut auditor, "/v1/admin/live").await);
    }
    assert_eq!(auditor.get("/v1/admin/live").await.gist(), "429 too_many_streams");
    assert_eq!(desk.admin().get("/v1/admin/live").await.gist(), "200", "others have their own");
    open.pop();
    assert_eq!(auditor.get("/v1/admin/live").await.gist(), "200", "a place is free again at once");
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams() {
    let desk = Desk::set().await;
    let mut auditor = desk.auditor();
    let mut stream = Stream::open(&mut auditor, "/v1/admin/live").await;
    desk.server.app.close_streams();
    while stream.next().await.is_some() {}
    let mut late = Stream::open(&mut auditor, "/v1/admin/live").await;
    assert_eq!(late.next().await, None, "nor does a late one keep it from stopping");
}
