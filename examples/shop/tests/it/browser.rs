//! A browser that keeps a cookie and follows nothing by itself.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use cloakroom::{ManualClock, OsRandom, Sessions};
use cloakroom_memory::MemoryStore;
use http_body_util::BodyExt as _;
use shop::Customers;
use tower::ServiceExt as _;

/// The shop, with a clock that stands still.
pub(crate) struct Open {
    pub(crate) app: Router,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) const PASSWORD: &str = "plum tractor 42";

pub(crate) fn open() -> Open {
    let clock = Arc::new(ManualClock::default());
    let sessions = Sessions::builder(MemoryStore::default()).clock(Arc::clone(&clock)).build().unwrap();
    let customers = Customers::new(&OsRandom, &[("alice", PASSWORD), ("bob", "seven quiet rivers")]).unwrap();
    let app = shop::app(sessions, customers, "https://shop.example".parse().unwrap());
    Open { app, clock }
}

#[derive(Clone)]
pub(crate) struct Browser {
    app: Router,
    pub(crate) cookie: Option<String>,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Open {
    pub(crate) fn browser(&self) -> Browser {
        Browser { app: self.app.clone(), cookie: None }
    }
}

impl Browser {
    pub(crate) async fn get(&mut self, target: &str) -> Page {
        self.send(Request::get(target).header("sec-fetch-site", "none"), String::new()).await
    }

    pub(crate) async fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Page {
        self.post_from("same-origin", target, fields).await
    }

    pub(crate) async fn post_from(&mut self, site: &str, target: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(target)
            .header("sec-fetch-site", site)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, body).await
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str, return_to: &str) -> Page {
        self.post("/sign-in", &[("name", name), ("password", password), ("return_to", return_to)]).await
    }

    /// Loads the page with a form, and sends the form with the token that stands in it.
    pub(crate) async fn buy(&mut self) -> Page {
        let token = self.checkout_token().await;
        self.post("/checkout", &[("csrf_token", &token)]).await
    }

    pub(crate) async fn checkout_token(&mut self) -> String {
        let page = self.get("/checkout").await.body;
        page.split("name=\"csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: String) -> Page {
        let request = request.header("sec-fetch-mode", "navigate");
        let request = match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let response = self.app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        if let Some(line) = response.headers().get(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let pair = line.split(';').next().unwrap().to_owned();
            self.cookie = (!line.contains("Max-Age=0")).then_some(pair);
        }
        let location =
            response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Page { status, location, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

impl Page {
    pub(crate) fn leads_to(&self, target: &str) {
        assert_eq!(self.location.as_deref(), Some(target), "{} {}", self.status, self.body);
    }

    pub(crate) fn says(&self, text: &str) {
        assert!(self.body.contains(text), "{text:?} is not in: {} {}", self.status, self.body);
    }
}
