//! Ten thousand streams in one process, over a store that other processes share, in real time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use cloakroom::{
    AuthLevel, Authentication, EndReason, Issue, Issued, Method, Revocation, Selector, SessionWatch,
    Sessions, Store,
};
use cloakroom_axum::{Rejection, Session, SessionLayer, SessionSocket};
use cloakroom_conformance::CountingStore;
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use cloakroom_store::Verb;
use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Sent;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::site::{NAME, principal};

async fn echo(session: Session, upgrade: WebSocketUpgrade) -> Result<Response, Rejection> {
    let watch = session.watch().await?;
    Ok(upgrade.on_upgrade(async move |socket| {
        let mut socket = SessionSocket::new(socket, watch);
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(_) = message
                && socket.send(message).await.is_err()
            {
                return;
            }
        }
    }))
}

async fn serve(sessions: Sessions) -> SocketAddr {
    let app = axum::Router::new().route("/talk", any(echo)).layer(SessionLayer::new(sessions));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    address
}

async fn open(address: SocketAddr, issued: &Issued) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = http::Request::get(format!("ws://{address}/talk"))
        .header("host", address.to_string())
        .header("origin", format!("http://{address}"))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("cookie", format!("{NAME}={}", issued.token.expose().as_str()));
    client_async(request.body(()).unwrap(), stream).await.unwrap().0
}

async fn sign_in(sessions: &Sessions, name: &str) -> Issued {
    let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
    sessions.issue(Issue::signed_in(principal(name), proof)).await.unwrap().expect_issued()
}

/// Sessions of this many people, as many at once as a store likes.
async fn people(sessions: &Sessions, count: usize) -> Vec<Issued> {
    let names: Vec<String> = (0..count).map(|number| format!("user{number}")).collect();
    let mut issued = Vec::with_capacity(count);
    for names in names.chunks(500) {
        issued.extend(join_all(names.iter().map(|name| sign_in(sessions, name))).await);
    }
    issued
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_and_hundreds_of_sockets_hang_on_one_feed_and_end_when_they_have_to() {
    let directory = tempfile::tempdir().unwrap();
    // Thousands of commits, on a disk that may be busy with everything else.
    let options = SqliteOptions::new(directory.path().join("sessions.db"));
    let options = options.with_answer_timeout(Duration::from_secs(60));
    let file = || SqliteStore::open(options.clone()).unwrap();
    let calls = Arc::new(CountingStore::new(Arc::new(file())));
    let store: Arc<dyn Store> = Arc::<CountingStore>::clone(&calls);
    let here = Sessions::builder_shared(store).build().unwrap();
    let elsewhere = Sessions::builder(file()).build().unwrap();
    let upkeep = here.clone();
    drop(tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await }));

    let people = people(&elsewhere, STREAMS).await;
    let mut watches: Vec<SessionWatch> =
        people.iter().map(|issued| here.watch_session(&issued.session)).collect();
    let address = serve(here.clone()).await;
    let mut sockets = Vec::new();
    for issued in people.iter().take(SOCKETS) {
        let mut socket = open(address, issued).await;
        socket.send(Sent::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Sent::text("hello"));
        sockets.push(socket);
    }

    // One person in ten is signed out, one by one, on the other node.
    let admin = Revocation::by_system(EndReason::RevokedByAdmin);
    for issued in people.iter().step_by(TENTH) {
        elsewhere.revoke(&Selector::One(issued.session.id()), admin.clone()).await.unwrap();
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        if number.is_multiple_of(TENTH) {
            let Sent::Close(Some(frame)) = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap()
            else {
                panic!("no close frame");
            };
            assert_eq!(
                (u16::from(frame.code), frame.reason.as_str()),
                (1008, "session_ended: revoked_by_admin")
            );
        } else {
            socket.send(Sent::text("still here")).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Sent::text("still here"));
        }
    }
    for watch in watches.iter_mut().step_by(TENTH) {
        let end = timeout(DEADLINE, watch.ended()).await.unwrap();
        assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    }
    let ended = watches.iter().filter(|watch| watch.end().is_some()).count();
    assert_eq!(ended, STREAMS / TENTH, "theirs and nobody else's");
    assert_eq!(calls.count(Verb::Watch), 1, "one feed for all of them");
}

const STREAMS: usize = 10_000;
const SOCKETS: usize = 300;
const TENTH: usize = 10;
const DEADLINE: Duration = Duration::from_secs(30);
