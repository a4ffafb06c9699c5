//! WebSockets that end with their session. Time is virtual, and connections are in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::Listener;
use cloakroom::{EndReason, Policy, PrincipalId, Revocation, Selector, Timeouts};
use cloakroom_axum::{Rejection, Session, SessionSocket};
use cloakroom_store::ErrorKind;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message as Sent};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::site::{Browser, Kind, NAME, Site};

type Client = WebSocketStream<DuplexStream>;

/// What handlers were given.
type Heard = Arc<Mutex<Vec<String>>>;

/// A site of one socket, which `talk` does the talking on.
struct House {
    site: Site,
    heard: Heard,
    connect: mpsc::UnboundedSender<DuplexStream>,
}

/// Connections in memory.
struct Door(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Door {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Answers each text with itself, until the socket is closed; then writes down why.
async fn echo(mut socket: SessionSocket, heard: Heard) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = &message {
            heard.lock().unwrap().push(text.to_string());
            if socket.send(message).await.is_err() {
                break;
            }
        }
    }
    let end = socket.end().map_or("none", |end| end.as_str());
    heard.lock().unwrap().push(format!("end: {end}"));
}

/// Never reads; writes as fast as it can.
async fn flood(mut socket: SessionSocket, heard: Heard) {
    let error = loop {
        if let Err(error) = socket.send(Message::Text("x".repeat(1_000).into())).await {
            break error;
        }
    };
    heard.lock().unwrap().push(format!("error: {error}"));
}

/// Reads in one task and writes in another.
async fn both(socket: SessionSocket, heard: Heard) {
    let (mut writer, mut reader) = socket.split();
    let writing = tokio::spawn(async move {
        while writer.send(Message::Text("tick".into())).await.is_ok() {
            tokio::time::sleep(SECOND).await;
        }
    });
    while let Some(Ok(_)) = reader.next().await {}
    heard.lock().unwrap().push("reader ended".to_owned());
    writing.await.unwrap();
    heard.lock().unwrap().push("writer ended".to_owned());
}

impl House {
    fn new<F>(talk: impl Fn(SessionSocket, Heard) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let heard = Heard::default();
        let told = Arc::clone(&heard);
        let policy = Policy::default().with_timeouts(Timeouts { idle: IDLE, absolute: 10 * IDLE });
        let talk = async move |session: Session, upgrade: WebSocketUpgrade| {
            let watch = session.watch().await?;
            let (talk, told) = (talk.clone(), Arc::clone(&told));
            Ok::<Response, Rejection>(
                upgrade.on_upgrade(async move |socket| talk(SessionSocket::new(socket, watch), told).await),
            )
        };
        let site = Site::under(Kind::Stored, policy).with_sign_in().route("/talk", any(talk));
        let (connect, door) = mpsc::unbounded_channel();
        let app = site.router();
        drop(tokio::spawn(async move { axum::serve(Door(door), app).await }));
        Self { site, heard, connect }
    }

    async fn signed_in(&self, name: &str) -> Browser<'_> {
        let mut browser = self.site.browser();
        browser.post(&format!("/sign-in?{name}")).await;
        browser
    }

    /// Opens a socket as a browser does, with these fields besides.
    async fn open(&self, browser: &Browser<'_>, fields: &[(&str, &str)]) -> Result<Client, Error> {
        let (ours, theirs) = tokio::io::duplex(4_096);
        self.connect.send(theirs).unwrap();
        let mut request = http::Request::get("ws://localhost/talk")
            .header("host", "localhost")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(cookie) = &browser.cookie {
            request = request.header("cookie", format!("{NAME}={cookie}"));
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        client_async(request.body(()).unwrap(), ours).await.map(|(client, _)| client)
    }

    async fn connected(&self, browser: &Browser<'_>) -> Client {
        self.open(browser, &[("origin", "http://localhost")]).await.unwrap()
    }

    async fn end_all_of(&self, name: &str) {
        let principal = PrincipalId::new(name).unwrap();
        let everywhere = Selector::Principal { principal, except: None };
        let revocation = Revocation::by_system(EndReason::RevokedByAdmin);
        self.site.sessions.revoke(&everywhere, revocation).await.unwrap();
    }

    /// Lets time pass by both clocks.
    async fn pass(&self, time: Duration) {
        self.site.clock.advance(time);
        tokio::time::sleep(2 * SECOND).await;
    }

    async fn heard(&self, count: usize) -> Vec<String> {
        timeout(MINUTE, async {
            while self.heard.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the handler says something");
        self.heard.lock().unwrap().clone()
    }
}

/// Code and reason of the close frame that comes next, after whatever else.
async fn closed(client: &mut Client) -> (u16, String) {
    loop {
        match timeout(2 * MINUTE, client.next()).await.expect("something comes") {
            Some(Ok(Sent::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("no close frame, but {other:?}"),
        }
    }
}

fn status(opened: Result<Client, Error>) -> u16 {
    match opened {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_closed_with_its_session_and_the_reason_is_said() {
    let house = House::new(echo);
    let mut client = house.connected(&house.signed_in("alice").await).await;
    client.send("hello".into()).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), "hello".into());
    house.end_all_of("alice").await;
    // Sent before the client could know.
    client.send("after the end".into()).await.unwrap();
    assert_eq!(closed(&mut client).await, (1008, "session_ended: revoked_by_admin".to_owned()));
    assert_eq!(
        house.heard(2).await,
        ["hello", "end: revoked_by_admin"],
        "what came after the end is not heard"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_ends_nothing() {
    let house = House::new(echo);
    let browser = house.signed_in("alice").await;
    let mut client = house.connected(&browser).await;
    client.close(None).await.unwrap();
    assert_eq!(house.heard(1).await, ["end: none"]);
    assert!(browser.is_alive().await);
}

#[tokio::test(start_paused = true)]
async fn an_open_socket_is_no_activity_and_neither_are_pings() {
    let house = House::new(|socket, heard| echo(socket.counting_as_activity(), heard));
    let mut client = house.connected(&house.signed_in("alice").await).await;
    house.pass(IDLE / 2).await;
    client.send(Sent::Ping("still here".into())).await.unwrap();
    house.pass(IDLE / 2).await;
    assert_eq!(closed(&mut client).await, (1008, "session_ended: idle_timeout".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_a_user_says_is_activity_where_the_application_says_so() {
    for counts in [true, false] {
        let house = House::new(move |socket, heard| {
            echo(if counts { socket.counting_as_activity() } else { socket }, heard)
        });
        let browser = house.signed_in("alice").await;
        let mut client = house.connected(&browser).await;
        for _ in 0..4 {
            house.pass(IDLE / 2).await;
            // It may be closed already: that is what is asked below.
            let _ = client.send("hello".into()).await;
            tokio::time::sleep(SECOND).await;
        }
        assert_eq!(browser.is_alive().await, counts);
        if !counts {
            assert_eq!(closed(&mut client).await.1, "session_ended: idle_timeout");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_closes_with_another_code_and_only_after_the_patience() {
    let house = House::new(echo);
    let mut client = house.connected(&house.signed_in("alice").await).await;
    house.site.faults.go_down(ErrorKind::Unavailable);
    assert!(timeout(55 * SECOND, client.next()).await.is_err(), "an outage is no sign-out");
    assert_eq!(closed(&mut client).await, (1013, "store_unavailable".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_only_writes_to_a_client_that_does_not_read_is_freed_all_the_same() {
    let house = House::new(flood);
    let client = house.connected(&house.signed_in("alice").await).await;
    tokio::time::sleep(MINUTE).await;
    assert!(house.heard.lock().unwrap().is_empty(), "it waits for the client");
    house.end_all_of("alice").await;
    assert_eq!(house.heard(1).await, ["error: the socket's session is over: revoked_by_admin"]);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_only_writes_says_why_it_stops_to_a_client_that_reads() {
    let house = House::new(flood);
    let mut client = house.connected(&house.signed_in("alice").await).await;
    for _ in 0..100 {
        assert!(client.next().await.unwrap().unwrap().is_text());
    }
    house.end_all_of("alice").await;
    assert_eq!(closed(&mut client).await, (1008, "session_ended: revoked_by_admin".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_socket_in_two_halves_ends_in_both() {
    let house = House::new(both);
    let mut client = house.connected(&house.signed_in("alice").await).await;
    for _ in 0..3 {
        assert_eq!(client.next().await.unwrap().unwrap(), "tick".into());
    }
    house.end_all_of("alice").await;
    assert_eq!(closed(&mut client).await, (1008, "session_ended: revoked_by_admin".to_owned()));
    assert_eq!(house.heard(2).await, ["reader ended", "writer ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_a_session_is_refused_not_connected() {
    let house = House::new(echo);
    let own = [("origin", "http://localhost")];
    assert_eq!(status(house.open(&house.site.browser(), &own).await), 401);
    let browser = house.signed_in("alice").await;
    house.end_all_of("alice").await;
    assert_eq!(status(house.open(&browser, &own).await), 401);
}

#[tokio::test(start_paused = true)]
async fn no_page_of_another_site_opens_a_socket_with_a_users_cookie() {
    let house = House::new(echo);
    let browser = house.signed_in("alice").await;
    for fields in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "https://localhost.evil.example")],
        &[("origin", "http://localhost:81")],
        &[("origin", "null")],
        &[("origin", "http://localhost"), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://localhost"), ("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "none")],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://localhost"), ("origin", "https://evil.example")],
        &[],
    ] {
        assert_eq!(status(house.open(&browser, fields).await), 403, "{fields:?}");
    }
    for fields in [
        &[("origin", "http://localhost")][..],
        &[("origin", "http://localhost"), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://localhost"), ("sec-fetch-site", "none")],
    ] {
        assert!(house.open(&browser, fields).await.is_ok(), "{fields:?}");
    }
}

const IDLE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
