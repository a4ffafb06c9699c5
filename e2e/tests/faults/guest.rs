//! Somebody who uses sessions without a pause, and remembers what the server acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Failure, Outcome};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

/// What the server acknowledged of one session, as its client knows it.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    /// The session's public name.
    pub(crate) id: String,
    /// The token that was handed out last.
    pub(crate) token: String,
    /// Tokens that it took the place of.
    pub(crate) exchanged: Vec<String>,
    /// The count that was written last.
    pub(crate) count: u64,
    /// Whether the end of the session was acknowledged.
    pub(crate) ended: bool,
}

/// A client that keeps servers busy until they die: one server, or several of which each request takes the next that listens.
#[derive(Debug)]
pub(crate) struct Guest {
    client: Client,
    bases: Vec<String>,
    next: AtomicUsize,
    pub(crate) password: &'static str,
    /// Whether the first session is kept to the end.
    stays: bool,
}

/// What an answer says of a request.
pub(crate) enum Answer {
    /// The server said so, and this is the body.
    Acknowledged(Value),
    /// The line went dead: it happened, or it did not.
    InDoubt,
}

impl Guest {
    pub(crate) fn of(bases: Vec<String>, password: &'static str) -> Outcome<Self> {
        // A connection that nothing comes over for a while may be closed just as something comes.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { client, bases, next: AtomicUsize::new(0), password, stays: false })
    }

    /// The same, but one who signs in once and stays.
    pub(crate) fn who_stays(self) -> Self {
        Self { stays: true, ..self }
    }

    /// Signs in, writes, exchanges tokens and signs out, over and over, asking `go_on` after each acknowledgement, until
    /// that says no or the server does not answer. What is in doubt is forgotten; all else comes back.
    pub(crate) async fn live(&self, mut go_on: impl FnMut() -> bool) -> Outcome<Vec<Acknowledged>> {
        let mut book = Vec::new();
        for visit in 0_u32.. {
            let Some(mut session) = self.sign_in().await? else { break };
            let Some(mut goes_on) = self.stay(&mut session, &mut go_on).await? else { break };
            if goes_on && visit % 2 == 0 {
                match self
                    .ask(Method::DELETE, "/v1/session", Some(&session.token), None, StatusCode::NO_CONTENT)
                    .await?
                {
                    Answer::Acknowledged(_) => session.ended = true,
                    Answer::InDoubt => break,
                }
                goes_on = go_on();
            }
            book.push(session);
            if !goes_on {
                break;
            }
        }
        Ok(book)
    }

    /// Changes the session a few times. `None` where the last change is in doubt, and so the session; else whether to go on.
    async fn stay(
        &self,
        session: &mut Acknowledged,
        go_on: &mut impl FnMut() -> bool,
    ) -> Outcome<Option<bool>> {
        for step in 0..if self.stays { usize::MAX } else { STEPS } {
            // A server bears some twenty exchanges of one session at once.
            let is_exchange = if self.stays { (step + 1).is_power_of_two() } else { step % 3 == 2 };
            let sure = if is_exchange { self.exchange(session).await? } else { self.count(session).await? };
            if !sure {
                return Ok(None);
            }
            if !go_on() {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Checks that the server still knows what it acknowledged.
    pub(crate) async fn check(&self, session: &Acknowledged) -> Outcome {
        let expected = if session.ended { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        match self.ask(Method::GET, LOOK, Some(&session.token), None, expected).await? {
            Answer::Acknowledged(body) if session.ended => same(&body["end_reason"], &json!("signed_out"))?,
            Answer::Acknowledged(body) => {
                same(&body["session"]["attributes"]["count"], &json!(session.count))?
            }
            Answer::InDoubt => return Err(Failure::new("the server died while it was asked")),
        }
        for token in &session.exchanged {
            self.ask(Method::GET, LOOK, Some(token), None, StatusCode::UNAUTHORIZED).await?;
        }
        Ok(())
    }

    async fn sign_in(&self) -> Outcome<Option<Acknowledged>> {
        let body = json!({"username": "alice", "password": self.password, "mode": "bearer"});
        let answer = self.ask(Method::POST, "/v1/sign-in", None, Some(body), StatusCode::OK).await?;
        let Answer::Acknowledged(body) = answer else { return Ok(None) };
        let (id, token) = (id_in(&body)?, token_in(&body)?);
        let mut session = Acknowledged { id, token, exchanged: Vec::new(), count: 0, ended: false };
        // So that every session has a count to look for.
        Ok(self.count(&mut session).await?.then_some(session))
    }

    async fn count(&self, session: &mut Acknowledged) -> Outcome<bool> {
        let (path, count) = ("/v1/session/attributes", session.count + 1);
        let body = Some(json!({ "count": count }));
        let answer = self.ask(Method::PATCH, path, Some(&session.token), body, StatusCode::OK).await?;
        Ok(match answer {
            Answer::Acknowledged(_) => {
                session.count = count;
                true
            }
            Answer::InDoubt => false,
        })
    }

    async fn exchange(&self, session: &mut Acknowledged) -> Outcome<bool> {
        let path = "/v1/session/rotate";
        Ok(match self.ask(Method::POST, path, Some(&session.token), None, StatusCode::OK).await? {
            Answer::Acknowledged(body) => {
                let old = std::mem::replace(&mut session.token, token_in(&body)?);
                session.exchanged.push(old);
                true
            }
            Answer::InDoubt => false,
        })
    }

    /// Asks, and expects `expected` if there is a whole answer at all.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
        expected: StatusCode,
    ) -> Outcome<Answer> {
        let Some(response) = self.send(&method, path, token, body).await else { return Ok(Answer::InDoubt) };
        let status = response.status();
        let Ok(text) = response.text().await else { return Ok(Answer::InDoubt) };
        if status != expected {
            return Err(Failure::new(format!(
                "{method} {path} answered {status} instead of {expected}: {text}"
            )));
        }
        Ok(Answer::Acknowledged(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
    }
}

impl Guest {
    /// Asks the next server that listens; `None` where none does, or the line went dead.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Option<Response> {
        for _ in &self.bases {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let base = self.bases.get(turn % self.bases.len())?;
            let mut request = self.client.request(method.clone(), format!("{base}{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = &body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            match request.send().await {
                Ok(response) => return Some(response),
                // Nothing was sent: no doubt about that.
                Err(error) if error.is_connect() => {}
                Err(_) => return None,
            }
        }
        None
    }
}

pub(crate) fn id_in(body: &Value) -> Outcome<String> {
    body["session"]["id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("an answer without a session"))
}

pub(crate) fn token_in(body: &Value) -> Outcome<String> {
    body["token"].as_str().map(str::to_owned).ok_or_else(|| Failure::new("a bearer answer without a token"))
}

fn same(found: &Value, expected: &Value) -> Outcome {
    if found == expected { Ok(()) } else { Err(Failure::new(format!("found {found} instead of {expected}"))) }
}

/// Looks without extending.
pub(crate) const LOOK: &str = "/v1/session?touch=false";
/// Changes of a session by somebody who does not stay.
const STEPS: usize = 6;
