//! The client: many connections, each with a session of its own, and no more cleverness than HTTP/1.1 needs.

use std::io::BufRead as _;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::child::say;
use crate::error::{Doing as _, Error, Outcome};
use crate::requests::case::Case;
use crate::requests::server::Verbs;
use crate::stopwatch::Stopwatch;

/// A client to run.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LoadTask {
    /// The server's port
    #[arg(long)]
    port: u16,
    /// How many connections, each with a session of its own
    #[arg(long)]
    connections: usize,
}

/// Requests to make: for so long, or so many on each connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) case: Case,
    pub(super) bare: bool,
    pub(super) milliseconds: Option<u64>,
    pub(super) requests: Option<usize>,
}

/// What was done in a turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) requests: usize,
    pub(super) verbs: Option<Verbs>,
}

/// The role of a client: signs in, then makes requests as told, until its input ends.
pub(crate) fn load(task: &LoadTask) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    runtime.block_on(async {
        let connections = (0..task.connections).map(|_| Connection::open(task.port));
        let mut connections = try_join_all(connections).await?;
        for line in std::io::stdin().lock().lines() {
            let turn: Turn = serde_json::from_str(&line.doing("hearing")?).doing("reading a turn")?;
            let watch = Stopwatch::start();
            let counts = try_join_all(connections.iter_mut().map(|one| one.work(&turn, watch))).await?;
            let verbs = match turn.case {
                Case::Verbs => connections.first().and_then(|one| serde_json::from_slice(&one.body).ok()),
                _ => None,
            };
            say(&Done { requests: counts.iter().sum(), verbs })?;
        }
        Ok(())
    })
}

/// A connection that is kept, and the session that was signed in on it.
struct Connection {
    stream: TcpStream,
    cookie: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.doing("connecting")?;
        stream.set_nodelay(true).doing("connecting")?;
        let mut connection = Self { stream, cookie: String::new(), head: Vec::new(), body: Vec::new() };
        connection.ask(&format!("POST /sign-in HTTP/1.1\r\n{FROM_HERE}\r\n")).await?;
        if connection.cookie.is_empty() {
            return Err(Error::new("signing in", "there came no cookie"));
        }
        Ok(connection)
    }

    async fn work(&mut self, turn: &Turn, watch: Stopwatch) -> Outcome<usize> {
        let until = turn.milliseconds.map(Duration::from_millis);
        let enough = turn.requests.unwrap_or(usize::MAX);
        let mut done = 0;
        let mut request = self.request(turn);
        while done < enough && until.is_none_or(|until| watch.elapsed() < until) {
            if self.ask(&request).await? {
                request = self.request(turn);
            }
            done += 1;
        }
        Ok(done)
    }

    fn request(&self, turn: &Turn) -> String {
        let method = if turn.case.is_unsafe() { "POST" } else { "GET" };
        let cookie = if turn.case.has_cookie() { self.cookie.as_str() } else { "" };
        format!("{method} {} HTTP/1.1\r\n{FROM_HERE}{cookie}\r\n", turn.case.path(turn.bare))
    }

    /// Makes a request and reads the whole answer; says whether the cookie changed.
    async fn ask(&mut self, request: &str) -> Outcome<bool> {
        self.stream.write_all(request.as_bytes()).await.doing("sending a request")?;
        self.head.clear();
        self.body.clear();
        let end = loop {
            if let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let read = self.stream.read_buf(&mut self.head).await.doing("reading an answer")?;
            if read == 0 {
                return Err(Error::new("reading an answer", "the connection ended"));
            }
        };
        self.body.extend(self.head.drain(end..));
        let head = String::from_utf8_lossy(&self.head);
        if !head.starts_with("HTTP/1.1 200") {
            return Err(Error::new(request.lines().next().unwrap_or_default(), head));
        }
        let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
        let cookie = header(&head, "set-cookie").and_then(|text| text.split(';').next());
        let cookie = cookie.map(|pair| format!("Cookie: {pair}\r\n"));
        let length = length.doing("looking for the length of an answer")?;
        while self.body.len() < length {
            self.stream.read_buf(&mut self.body).await.doing("reading an answer")?;
        }
        let changed = cookie.is_some();
        self.cookie = cookie.unwrap_or_else(|| std::mem::take(&mut self.cookie));
        Ok(changed)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What every request says, as a browser on the server's own page would.
const FROM_HERE: &str = "Host: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n\
    Accept: text/html\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n";
