//! A browser, as far as sessions can tell: it keeps cookies, and comes from an address of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header};
use serde_json::{Value, json};

use crate::Outcome;

/// Somebody's browser.
pub(crate) struct Browser {
    client: Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Whoever asks is signed in.
    SignedIn,
    /// Nobody is.
    SignedOut,
    /// It cannot be said now, and when to come again: what a session server says while its store is out of reach.
    ComeAgain,
    /// Neither: an error on the way, or no answer.
    Trouble,
}

impl Browser {
    /// The browser of this number, which talks to the server at `base`.
    pub(crate) fn new(number: u8, base: &str) -> Outcome<Self> {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number.max(1)));
        let client = Client::builder().no_proxy().local_address(address).timeout(PATIENCE).build()?;
        Ok(Self { client, base: base.to_owned(), cookies: BTreeMap::new() })
    }

    /// Signs in, whatever was before.
    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        let body = json!({ "username": name, "password": password }).to_string();
        let request = self.request(Method::POST, "/v1/sign-in");
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body)).await
    }

    /// Asks who is signed in.
    pub(crate) async fn look(&mut self) -> Answer {
        let request = self.request(Method::GET, "/v1/session");
        self.send(request).await
    }

    /// Asks one node, past the balancer.
    pub(crate) async fn look_past(&mut self, node: u16) -> Answer {
        let balancer = std::mem::replace(&mut self.base, format!("http://127.0.0.1:{node}"));
        let answer = self.look().await;
        self.base = balancer;
        answer
    }

    /// Ends every session of whoever is signed in.
    pub(crate) async fn sign_out_everywhere(&mut self) -> Answer {
        let request = self.request(Method::DELETE, "/v1/sessions?settled=true");
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.base));
        // What browsers say of a page's own requests.
        let request = request.header("sec-fetch-site", "same-origin");
        if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) }
    }

    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let Ok(response) = request.send().await else { return Answer::Trouble };
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().unwrap_or_default());
        }
        match response.status().as_u16() {
            200..=299 => Answer::SignedIn,
            401 => Answer::SignedOut,
            503 => come_again_or_trouble(response).await,
            _ => Answer::Trouble,
        }
    }

    /// Keeps a cookie, or forgets it where that is what is asked.
    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        if attributes.to_ascii_lowercase().contains("max-age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Whether it is a session server that says 503, with the time after which to come again and no cookie changed, or the balancer.
async fn come_again_or_trouble(response: Response) -> Answer {
    let headers = response.headers();
    let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let is_whole = after.is_some() && !headers.contains_key(header::SET_COOKIE);
    let body = response.text().await.unwrap_or_default();
    let code =
        serde_json::from_str::<Value>(&body).ok().and_then(|body| Some(body.get("code")?.as_str()? == CODE));
    if is_whole && code == Some(true) { Answer::ComeAgain } else { Answer::Trouble }
}

const CODE: &str = "store_unavailable";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
