//! What requests move, and what strangers cannot.

use std::collections::BTreeMap;

use axum::body::Body;
use cloakroom_server::web::Listener;
use http::{Method, Request, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::ServiceExt as _;

use super::server::{PASSWORD, Server};

/// The metrics of this thread, until it goes.
struct Measured {
    handle: PrometheusHandle,
    _guard: metrics::LocalRecorderGuard<'static>,
}

impl Measured {
    fn new() -> Self {
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        Self { handle: recorder.handle(), _guard: metrics::set_default_local_recorder(recorder) }
    }

    /// Every series of these metrics, with its value.
    fn of(&self, metrics: &[&str]) -> BTreeMap<String, String> {
        let text = self.handle.render();
        let lines = text.lines().filter(|line| metrics.iter().any(|metric| line.starts_with(metric)));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The names of all series.
    fn series(&self) -> Vec<String> {
        let text = self.handle.render();
        let mut names: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            // A summary of nothing has no quantiles yet: this recorder has no buckets.
            .filter(|name| !name.contains("quantile="))
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn each_request_moves_its_route_and_each_sign_in_its_outcome() {
    let m = Measured::new();
    let server = Server::configured(
        "[sign_in]\nattempts_per_account = 2\n[session]\nper_principal_max = 1\non_limit = \"refuse\"",
    );
    server.add("alice", &[]).await;
    let signs = |m: &Measured| m.of(&["cloakroom_sign_ins_total"]);
    let requests = |m: &Measured| m.of(&["cloakroom_http_requests_total"]);
    let mut expected = signs(&m);
    for (password, outcome) in [
        (PASSWORD, "success"),
        (PASSWORD, "session_limit"),
        ("wrong", "refused"),
        ("wrong", "refused"),
        (PASSWORD, "limited"),
    ] {
        let _ = server.browser().sign_in("alice", password).await;
        let series = format!("cloakroom_sign_ins_total{{outcome=\"{outcome}\"}}");
        let count = expected.get(&series).map_or(0, |count| count.parse::<u32>().unwrap()) + 1;
        expected.insert(series, count.to_string());
        assert_eq!(signs(&m), expected, "{outcome}");
    }
    for (method, path, route, word, status) in [
        (Method::GET, "/livez", "/livez", "GET", "2xx"),
        (Method::GET, "/v1/sessions", "/v1/sessions", "GET", "4xx"),
        (Method::DELETE, "/v1/sessions/ses_x", "/v1/sessions/{id}", "DELETE", "4xx"),
        (Method::POST, "/livez", "/livez", "POST", "4xx"),
        (Method::GET, "/alice", "unmatched", "GET", "4xx"),
        (Method::from_bytes(b"BREW").unwrap(), "/alice", "unmatched", "other", "4xx"),
    ] {
        let mut expected = requests(&m);
        let series = format!(
            "cloakroom_http_requests_total{{route=\"{route}\",method=\"{word}\",status=\"{status}\"}}"
        );
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
        let _ = server.router(Listener::Plain).oneshot(request).await.unwrap();
        let count = expected.get(&series).map_or(0, |count| count.parse::<u32>().unwrap()) + 1;
        expected.insert(series, count.to_string());
        assert_eq!(requests(&m), expected, "{method} {path}: its series by one, and no other");
        let took =
            format!("cloakroom_http_request_duration_seconds_count{{route=\"{route}\",method=\"{word}\"}}");
        assert!(m.of(&["cloakroom_http_request_duration_seconds_count"]).contains_key(&took), "{took}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_seen_as_unavailable_and_as_5xx() {
    let m = Measured::new();
    let server = Server::new();
    server.add("alice", &[]).await;
    server.store.go_down(cloakroom_store::ErrorKind::Unavailable);
    let answer = server.browser().sign_in("alice", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let signs = m.of(&["cloakroom_sign_ins_total"]);
    assert_eq!(signs.get("cloakroom_sign_ins_total{outcome=\"unavailable\"}").map(String::as_str), Some("1"));
    let failed = m.of(&["cloakroom_http_requests_total"]);
    assert_eq!(failed.iter().filter(|(name, _)| name.contains("status=\"5xx\"")).count(), 1, "{failed:?}");
}

#[tokio::test]
async fn ten_thousand_hostile_requests_add_no_series_and_are_named_nowhere() {
    let m = Measured::new();
    let server = Server::configured("[sign_in]\nattempts_per_address = 1");
    let router = server.router(Listener::Plain);
    let hostile = async |number: u32| {
        let marker = format!("hostile{number}");
        let token = format!("cr1_{:A>46}", number);
        let kinds = [
            (Method::GET, format!("/{marker}"), String::new()),
            (
                Method::from_bytes(marker.to_uppercase().as_bytes()).unwrap(),
                "/livez".to_owned(),
                String::new(),
            ),
            (Method::GET, format!("/v1/sessions/ses_{marker}"), String::new()),
            (Method::GET, format!("/v1/session?{marker}"), String::new()),
            (Method::POST, "/v1/sign-in".to_owned(), format!(r#"{{"username":"{marker}","password":"x"}}"#)),
        ];
        let (method, path, body) = kinds.into_iter().nth(usize::try_from(number % 5).unwrap()).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("user-agent", &marker)
            .header("x-forwarded-for", format!("2001:db8::{:x}", number))
            .header("content-type", "application/json")
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body))
            .unwrap();
        let _ = router.clone().oneshot(request).await.unwrap();
    };
    for number in 0..50 {
        hostile(number).await;
    }
    let before = m.series();
    for number in 50..10_000 {
        hostile(number).await;
    }
    assert_eq!(m.series(), before);
    assert!(!m.handle.render().to_lowercase().contains("hostile"));
}
