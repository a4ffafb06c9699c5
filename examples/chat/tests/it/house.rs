//! Two nodes of the chat on one SQLite file, with the sessions in it or in their cookies, each with an engine and a handle of its own, and clients with cookies.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use chat::{People, Rooms};
use cloakroom::{Clock as _, OsRandom, Sessions, SessionsBuilder, SystemClock};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tower::ServiceExt as _;

pub(crate) const PASSWORD: &str = "plum tractor 42";

pub(crate) struct House {
    pub(crate) nodes: Vec<Node>,
    _directory: tempfile::TempDir,
}

pub(crate) struct Node {
    router: Router,
    address: SocketAddr,
    pub(crate) origin: String,
}

/// Where the sessions of the chat are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    /// In a SQLite file.
    Store,
    /// In their cookies, with a list of ends.
    Cookies,
}

impl House {
    pub(crate) async fn open(home: Home) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let people = ["alice", "bob", "carol"].map(|name| (name, PASSWORD));
        let people = Arc::new(People::new(&OsRandom, &people).unwrap());
        let rooms = Arc::new(Rooms::default());
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let sessions = sessions(home, directory.path()).build().unwrap();
            let upkeep = sessions.clone();
            drop(tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await }));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let origin = format!("http://localhost:{}", address.port());
            let router =
                chat::app(sessions, Arc::clone(&people), Arc::clone(&rooms), origin.parse().unwrap());
            let service = router.clone();
            drop(tokio::spawn(async move { axum::serve(listener, service).await }));
            nodes.push(Node { router, address, origin });
        }
        Self { nodes, _directory: directory }
    }
}

/// An engine with a handle of its own.
fn sessions(home: Home, directory: &Path) -> SessionsBuilder {
    match home {
        Home::Store => {
            Sessions::builder(SqliteStore::open(SqliteOptions::new(directory.join("chat.db"))).unwrap())
        }
        Home::Cookies => chat::sealed(directory, &OsRandom, SystemClock::default().now()).unwrap(),
    }
}

/// Somebody's browser: the cookie that it was given.
#[derive(Clone)]
pub(crate) struct Browser {
    cookie: String,
}

impl Node {
    pub(crate) async fn sign_in(&self, name: &str) -> Browser {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", name), ("password", PASSWORD)])
            .finish();
        let request = Request::post("/sign-in").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request.header(ORIGIN, &self.origin).body(Body::from(form)).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
        Browser { cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    pub(crate) async fn post(&self, browser: &Browser, path: &str) -> Response {
        let request = Request::post(path).header(COOKIE, &browser.cookie).header(ORIGIN, &self.origin);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The status of a page, and where it leads.
    pub(crate) async fn get(&self, browser: &Browser, path: &str) -> (u16, String) {
        let request = Request::get(path).header(COOKIE, &browser.cookie).header("accept", "text/html");
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        let location = answer.headers().get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    }

    pub(crate) async fn events(&self, browser: &Browser) -> Events {
        let request = Request::get("/here/events").header(COOKIE, &browser.cookie);
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Events(answer.into_body().into_data_stream())
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn talk(&self, browser: &Browser, room: &str) -> Socket {
        self.talk_from(browser, room, &self.origin).await.unwrap()
    }

    /// Opens a socket as a page of `origin` would.
    pub(crate) async fn talk_from(
        &self,
        browser: &Browser,
        room: &str,
        origin: &str,
    ) -> Result<Socket, Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let host = self.origin.trim_start_matches("http://");
        let request = Request::get(format!("ws://{host}/talk/{room}"))
            .header("host", host)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header(ORIGIN, origin)
            .header(COOKIE, &browser.cookie);
        let (socket, _) = client_async(request.body(()).unwrap(), stream).await?;
        Ok(Socket(socket))
    }
}

#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// What is said next.
    pub(crate) async fn hears(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Code and reason of the close frame that comes next.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    async fn next(&mut self) -> Message {
        timeout(DEADLINE, self.0.next()).await.expect("something comes").unwrap().unwrap()
    }
}

pub(crate) struct Events(axum::body::BodyDataStream);

impl Events {
    pub(crate) async fn next(&mut self) -> Option<String> {
        let chunk = timeout(DEADLINE, self.0.next()).await.expect("something comes")?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }
}

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
