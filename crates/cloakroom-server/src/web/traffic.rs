//! Requests, counted and timed by what was asked, never by who asked or what exactly.

use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use http::{Method, StatusCode};
use metrics::Unit;

use super::routes::routes;

/// What a request asks for, in words of which there are few.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Traffic {
    /// Its method; `other` for one that nothing here answers.
    pub(super) method: &'static str,
    /// The template of its route, such as `/v1/sessions/{id}`; [`UNMATCHED`] where there is none.
    pub(super) route: &'static str,
}

impl Traffic {
    pub(super) fn of(request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let route =
            matched.and_then(|path| templates().binary_search(&path).ok()).and_then(|at| templates().get(at));
        Self { method: word(request.method()), route: route.copied().unwrap_or(UNMATCHED) }
    }

    /// Begins to count: the request is counted when it is answered, or when its client has left.
    pub(super) fn begin(self) -> Counting {
        Counting { traffic: self, answered: false }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Counting {
    traffic: Traffic,
    answered: bool,
}

impl Counting {
    pub(super) fn answered(mut self, status: StatusCode, took: Duration) {
        self.answered = true;
        let Traffic { method, route } = self.traffic;
        count(self.traffic, class(status));
        metrics::histogram!(SECONDS, "route" => route, "method" => method).record(took.as_secs_f64());
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.answered {
            count(self.traffic, LEFT);
        }
    }
}

fn count(Traffic { method, route }: Traffic, status: &'static str) {
    metrics::counter!(REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
}

fn word(method: &Method) -> &'static str {
    METHODS.iter().find(|known| method == **known).copied().unwrap_or("other")
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// All templates, in order. Labels are these very texts: no request can add one.
fn templates() -> &'static [&'static str] {
    static TEMPLATES: OnceLock<Vec<&'static str>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let mut all: Vec<_> = routes().into_iter().map(|route| route.path).collect();
        all.sort_unstable();
        all.dedup();
        all
    })
}

/// Describes the metrics of requests.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        REQUESTS,
        "HTTP requests, by route, method and class of status; `left` where the client did not wait for the answer"
    );
    metrics::describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "Time to answer an HTTP request, by route and method"
    );
}

/// The route of what is not there.
pub(super) const UNMATCHED: &str = "unmatched";
/// Methods that something here answers.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const LEFT: &str = "left";
const REQUESTS: &str = "cloakroom_http_requests_total";
const SECONDS: &str = "cloakroom_http_request_duration_seconds";
