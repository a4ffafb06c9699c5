//! Whoever asks: a browser that behaves like one, a program, or somebody who does not play by the rules.

use std::net::{IpAddr, SocketAddr};

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use cloakroom_server::web::Listener;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::server::Server;

/// The origin of a server that nobody configured.
pub(super) const HOME: &str = "http://localhost:8080";

/// Somebody with, perhaps, a session.
#[derive(Clone)]
pub(super) struct Client<'s> {
    server: &'s Server,
    pub(super) token: Option<String>,
    pub(super) kind: Kind,
    pub(super) address: IpAddr,
    pub(super) listener: Listener,
    /// Further header fields; they win over the client's own.
    pub(super) extra: Vec<(HeaderName, String)>,
}

/// What a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A browser on a page of ours: cookie, fetch metadata, `Origin`.
    Browser,
    /// A browser on a page of somebody else's: the same cookie.
    ForeignPage,
    /// No browser: bearer.
    Program,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl<'s> Client<'s> {
    pub(super) fn browser(server: &'s Server) -> Self {
        Self {
            server,
            token: None,
            kind: Kind::Browser,
            address: IpAddr::from([203, 0, 113, 9]),
            listener: Listener::Plain,
            extra: Vec::new(),
        }
    }

    pub(super) fn program(server: &'s Server) -> Self {
        Self { kind: Kind::Program, ..Self::browser(server) }
    }

    /// The same, on a page of another site.
    pub(super) fn on_a_foreign_page(&self) -> Self {
        Self { kind: Kind::ForeignPage, ..self.clone() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((HeaderName::from_static(name), value.into()));
        self
    }

    pub(super) fn at(self, address: &str) -> Self {
        Self { address: address.parse().unwrap(), ..self }
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Body::empty()).await
    }

    /// Asks without a body.
    pub(super) async fn ask(&mut self, method: Method, path: &str) -> Answer {
        self.send(method, path, None, Body::empty()).await
    }

    pub(super) async fn json(&mut self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, Some("application/json"), Body::from(body.to_string())).await
    }

    /// Sends a form without asking for the page that it is on.
    pub(super) async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some("application/x-www-form-urlencoded"), Body::from(body)).await
    }

    /// Asks for `page` and sends the form on it that leads to `action`, with what it has filled in already.
    pub(super) async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let shown = self.get(page).await;
        assert_eq!(shown.status, StatusCode::OK, "{page}: {}", shown.body);
        let hidden = shown.hidden_fields(action);
        let mut all: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        all.extend(fields);
        self.form(action, &all).await
    }

    pub(super) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.form("/sign-in", &[("username", name), ("password", password)]).await
    }

    /// Asks for something that goes on for as long as it is read.
    pub(super) async fn open(&mut self, path: &str) -> (StatusCode, Body) {
        let request = self.request(&Method::GET, path, None, Body::empty());
        let response = self.server.router(self.listener).oneshot(request).await.unwrap();
        (response.status(), response.into_body())
    }

    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> Answer {
        let request = self.request(&method, path, content_type, body);
        let response = self.server.router(self.listener).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream of events goes on for as long as somebody reads it.
        let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value == "text/event-stream");
        let body = if is_stream { Body::empty() } else { body };
        let body: Bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("every body is text");
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        self.server.recorder.borrow_mut().check(&method, path, self.kind, &answer);
        self.keep_cookie(&answer);
        answer
    }

    fn request(&self, method: &Method, path: &str, content_type: Option<&str>, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:8080");
        request = request
            .header(USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let for_program = path.starts_with("/v1/");
        match (self.kind, &self.token) {
            (Kind::Program, Some(token)) => {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"))
            }
            (_, Some(token)) => {
                request = request.header(COOKIE, format!("theme=dark; __Host-cloakroom={token}"))
            }
            (_, None) => {}
        }
        if self.kind != Kind::Program {
            let (site, origin) = match self.kind {
                Kind::ForeignPage => ("cross-site", "https://evil.example"),
                _ => ("same-origin", HOME),
            };
            let (mode, accept) =
                if for_program { ("cors", "*/*") } else { ("navigate", "text/html,*/*;q=0.8") };
            request =
                request.header("sec-fetch-site", site).header("sec-fetch-mode", mode).header(ACCEPT, accept);
            if !method.is_safe() {
                request = request.header(ORIGIN, origin);
            }
        }
        let mut request = request.body(body).unwrap();
        for (name, value) in &self.extra {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.address, 50_000)));
        request
    }

    /// Keeps and drops the cookie as a browser would.
    fn keep_cookie(&mut self, answer: &Answer) {
        if self.kind == Kind::Program {
            return;
        }
        if let Some(value) = answer.cookie() {
            self.token = (!value.is_empty()).then_some(value);
        }
    }
}

impl Answer {
    /// The status, and what says most about it: the code of a refusal, or where it leads.
    pub(super) fn gist(&self) -> String {
        let status = self.status.as_u16();
        match (self.code(), self.headers.get(LOCATION)) {
            (Some(code), _) => format!("{status} {code}"),
            (None, Some(_)) => format!("{status} {}", self.location()),
            (None, None) => status.to_string(),
        }
    }

    /// The stable code of a refusal: a problem's, or that of the page a person sees.
    pub(super) fn code(&self) -> Option<String> {
        if self.header("content-type").starts_with("application/problem+json") {
            return Some(self.json()["code"].as_str().expect("every problem has a code").to_owned());
        }
        for marker in ["data-code=\"", "data-notice=\""] {
            if let Some((_, rest)) = self.body.split_once(marker) {
                return rest.split('"').next().map(str::to_owned);
            }
        }
        None
    }

    /// A header field's value; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn location(&self) -> &str {
        self.header("location")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The session cookie's new value, empty where it is removed; `None` where nothing is said of it.
    pub(super) fn cookie(&self) -> Option<String> {
        let mut lines = self.headers.get_all("set-cookie").iter();
        let line = lines.next()?.to_str().unwrap();
        let (value, _) = line.strip_prefix("__Host-cloakroom=").unwrap().split_once(';').unwrap();
        Some(value.to_owned())
    }

    /// Names and values of the hidden fields in the form that leads to `action`.
    pub(super) fn hidden_fields(&self, action: &str) -> Vec<(String, String)> {
        let form = self
            .body
            .split("<form")
            .find(|form| form.contains(&format!("action=\"{action}\"")))
            .unwrap_or_else(|| panic!("no form leads to {action}: {}", self.body));
        let form = form.split("</form>").next().unwrap();
        form.split("<input type=\"hidden\"")
            .skip(1)
            .map(|input| (between(input, "name=\"", "\""), unescaped(&between(input, "value=\"", "\""))))
            .collect()
    }
}

/// What a browser reads where a page says this.
fn unescaped(text: &str) -> String {
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

/// What stands between two marks.
pub(super) fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap().to_owned()
}
