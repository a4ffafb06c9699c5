//! Sealed sessions on several nodes: their keys change, their list fails, and what was ended stays ended.

mod ends;
mod rotation;

use e2e::{Failure, Outcome, Reply, Server, World};
use reqwest::Method;
use serde_json::{Value, json};

/// A browser, as far as it matters here: it carries its cookie from answer to answer, whichever node they come from.
struct Jar {
    value: String,
}

impl Jar {
    /// Signs in at this node.
    async fn signed_in(world: &World, node: &Server, name: &str) -> Outcome<Self> {
        let body = json!({"username": name, "password": PASSWORD, "mode": "cookie"});
        let reply = node.send_json(Method::POST, "/v1/sign-in", &[FROM_HERE], &body).await?;
        let mut jar = Self { value: String::new() };
        jar.keep(&reply);
        if reply.status != 200 || !jar.value.starts_with("cs1_") {
            return Err(Failure::new(format!("signing in: {reply:?}")));
        }
        world.output.note_secret(&jar.value)?;
        Ok(jar)
    }

    /// Another browser with the cookie that this one has now: what a thief has, or a request that is late.
    fn copy(&self) -> Self {
        Self { value: self.value.clone() }
    }

    async fn ask(&mut self, node: &Server, method: Method, path: &str) -> Outcome<Reply> {
        let cookie = format!("{COOKIE}={}", self.value);
        let reply = node.ask(method, path, &[FROM_HERE, ("cookie", &cookie)]).await?;
        self.keep(&reply);
        Ok(reply)
    }

    async fn send(&mut self, node: &Server, path: &str, body: &Value) -> Outcome<Reply> {
        let cookie = format!("{COOKIE}={}", self.value);
        let reply = node.send_json(Method::POST, path, &[FROM_HERE, ("cookie", &cookie)], body).await?;
        self.keep(&reply);
        Ok(reply)
    }

    async fn look(&mut self, node: &Server) -> Outcome<Reply> {
        self.ask(node, Method::GET, "/v1/session").await
    }

    /// Checks that the session is alive at this node.
    async fn alive(&mut self, node: &Server) -> Outcome {
        let reply = self.look(node).await?;
        if reply.status == 200 { Ok(()) } else { Err(Failure::new(format!("not alive: {reply:?}"))) }
    }

    /// As a browser does.
    fn keep(&mut self, reply: &Reply) {
        let ours = reply.cookies.iter().filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
        if let Some(value) = ours.filter_map(|rest| rest.split(';').next()).next_back() {
            self.value = value.to_owned();
        }
    }
}

/// `401 session_ended`, or whatever it is.
fn gist(reply: &Reply) -> String {
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    format!("{} {}", reply.status, body["code"].as_str().unwrap_or_default())
}

fn expect(reply: &Reply, gist_expected: &[&str]) -> Outcome {
    if gist_expected.contains(&gist(reply).as_str()) {
        return Ok(());
    }
    Err(Failure::new(format!("neither of {gist_expected:?}: {reply:?}")))
}

const COOKIE: &str = "__Host-cloakroom";
const FROM_HERE: (&str, &str) = ("sec-fetch-site", "same-origin");
const PASSWORD: &str = "a quiet umbrella stand";
