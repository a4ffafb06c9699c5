//! The load: many connections, each with sessions of its own, and every answer checked. What reads without reading, or
//! writes without writing, is not measured but reported.

use std::io::BufRead as _;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::affinity::stay_on;
use crate::child::say;
use crate::client::{Connection, Jar};
use crate::error::{Doing as _, Error, Outcome};
use crate::stopwatch::Stopwatch;

use crate::peers::case::Case;

/// A load to put on a server.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LoadTask {
    /// The server's port
    #[arg(long)]
    port: u16,
    /// How many connections
    #[arg(long)]
    connections: usize,
    /// Sessions that each connection signs in, to read one after the other
    #[arg(long, default_value_t = 1)]
    sessions_each: usize,
    /// The server has no sessions: its answers are as long as others', and mean nothing
    #[arg(long)]
    bare: bool,
    /// The processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

/// Requests to make: for so long, or so many on each connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) case: Case,
    pub(super) length: Length,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Length {
    Milliseconds(u64),
    RequestsEach(usize),
}

/// What was done in a turn, or why it could not be: then the connections are of no more use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    Requests { count: usize, seconds: f64 },
    Failed(String),
}

/// The role of a load: signs in, says so, then makes requests as told, until its input ends.
pub(crate) fn run(task: &LoadTask) -> Outcome {
    task.cpu.map_or(Ok(()), stay_on)?;
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    runtime.block_on(async {
        let users = (0..task.connections).map(|number| User::enter(task, number));
        let mut users = match try_join_all(users).await {
            Ok(users) => users,
            Err(error) => return say(&Done::Failed(error.to_string())),
        };
        say(&Done::Requests { count: task.connections * task.sessions_each, seconds: 0.0 })?;
        for line in std::io::stdin().lock().lines() {
            let turn: Turn = serde_json::from_str(&line.doing("hearing")?).doing("reading a turn")?;
            let watch = Stopwatch::start();
            let counts = try_join_all(users.iter_mut().map(|user| user.work(turn, watch))).await;
            let seconds = watch.elapsed().as_secs_f64();
            match counts {
                Ok(counts) => say(&Done::Requests { count: counts.iter().sum(), seconds })?,
                Err(error) => return say(&Done::Failed(error.to_string())),
            }
        }
        Ok(())
    })
}

/// A connection, and the sessions that were signed in on it.
struct User {
    connection: Connection,
    bare: bool,
    sessions: Vec<Known>,
    next: usize,
    /// Who signs in next.
    stranger: usize,
}

/// A session, as far as its client knows.
struct Known {
    name: String,
    jar: Jar,
    writes: u64,
    /// The request last made with it, to be made again.
    request: (Case, Vec<u8>),
}

impl User {
    async fn enter(task: &LoadTask, number: usize) -> Outcome<Self> {
        let mut user = Self {
            connection: Connection::open(task.port).await?,
            bare: task.bare,
            sessions: Vec::new(),
            next: 0,
            stranger: (number + 1) * STRANGERS,
        };
        for session in 0..task.sessions_each {
            let name = name(number * task.sessions_each + session);
            let mut jar = Jar::default();
            let request = request(Case::SignIn, &name, &jar);
            let answer = user.connection.ask(&request).await?;
            jar.take(answer.cookies());
            if task.bare {
                jar.take([PRETENDED].into_iter());
            } else if jar.is_empty() {
                return Err(Error::new("signing in", "there came no cookie"));
            }
            user.sessions.push(Known { name, jar, writes: 0, request: (Case::SignIn, Vec::new()) });
        }
        Ok(user)
    }

    async fn work(&mut self, turn: Turn, watch: Stopwatch) -> Outcome<usize> {
        let (until, enough) = match turn.length {
            Length::Milliseconds(milliseconds) => (Some(Duration::from_millis(milliseconds)), usize::MAX),
            Length::RequestsEach(requests) => (None, requests),
        };
        let mut done = 0;
        while done < enough && until.is_none_or(|until| watch.elapsed() < until) {
            match turn.case {
                Case::SignIn => self.sign_in().await?,
                case => self.use_session(case).await?,
            }
            done += 1;
        }
        Ok(done)
    }

    async fn sign_in(&mut self) -> Outcome {
        self.stranger += 1;
        let name = name(self.stranger);
        let answer = self.connection.ask(&request(Case::SignIn, &name, &Jar::default())).await?;
        if self.bare {
            return Ok(());
        }
        if answer.cookies().next().is_none() {
            return Err(Error::new("signing in", "there came no cookie"));
        }
        check(Case::SignIn, answer.body, greeting(&name).as_bytes())
    }

    /// Makes one request with a session: always the first one, or one after the other.
    async fn use_session(&mut self, case: Case) -> Outcome {
        let index = if case.goes_round() { self.next } else { 0 };
        self.next = (index + 1) % self.sessions.len().max(1);
        let session = self.sessions.get_mut(index).doing("taking a session")?;
        if session.request.0 != case || session.request.1.is_empty() {
            session.request = (case, request(case, "", &session.jar));
        }
        let answer = self.connection.ask(&session.request.1).await?;
        if self.bare {
            return Ok(());
        }
        // Some give a session to whoever comes without one. That is another client's.
        let changed = case.has_cookie() && session.jar.take(answer.cookies());
        let expected = match case {
            Case::NoCookie | Case::Unused | Case::SignIn => HELLO.to_owned(),
            Case::WarmRead | Case::ColdRead => greeting(&session.name),
            Case::Write | Case::WriteAgain | Case::Rotate | Case::RotateAgain => {
                session.writes += 1;
                session.writes.to_string()
            }
        };
        check(case, answer.body, expected.as_bytes())?;
        if changed {
            session.request.1.clear();
        } else if case.rotates() {
            return Err(Error::new("exchanging a token", "the cookie is the same as before"));
        }
        Ok(())
    }
}

fn check(case: Case, body: &[u8], expected: &[u8]) -> Outcome {
    if body == expected {
        return Ok(());
    }
    let [body, expected] = [body, expected].map(String::from_utf8_lossy);
    Err(Error::new(format!("checking the answer to a {case}"), format!("it is {body:?}, not {expected:?}")))
}

fn request(case: Case, stranger: &str, jar: &Jar) -> Vec<u8> {
    let cookies = if case.has_cookie() { jar.line() } else { String::new() };
    format!("{} HTTP/1.1\r\n{FROM_HERE}{cookies}\r\n", case.request_line(stranger)).into_bytes()
}

fn name(number: usize) -> String {
    format!("user-{number:07}")
}

fn greeting(name: &str) -> String {
    format!("hello, {name}")
}

/// The answer that has nothing to do with sessions.
const HELLO: &str = "hello, user-0000000";
/// What is presented to a server without sessions, as long as Cloakroom's cookie.
const PRETENDED: &str = "__Host-cloakroom=cr1_0123456789abcdef0123456789abcdef0123456789abcd";
/// Names that each connection has for those who sign in.
const STRANGERS: usize = 100_000;
/// What every request says, as a browser on the server's own page would.
const FROM_HERE: &str = "Host: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n\
    Accept: text/html\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n";

#[cfg(test)]
mod tests;
