//! A signal that is given by a request reaches whoever wants to be called, and the metrics.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use cloakroom_server::detection::Secret;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::web::server::{PASSWORD, Server};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Starts a receiver; the calls it hears, and its address.
async fn receiver() -> (mpsc::UnboundedReceiver<(HeaderMap, Bytes)>, String) {
    let (heard, hears) = mpsc::unbounded_channel();
    let app = Router::new().route(
        "/hook",
        post(async move |headers: HeaderMap, body: Bytes| {
            heard.send((headers, body)).unwrap();
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (hears, format!("http://{address}/hook"))
}

#[tokio::test]
async fn a_signal_is_called_signed_and_counted_and_names_nobody_that_was_only_typed() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exposition = recorder.handle();
    // Everything here runs on this thread.
    let _counted = metrics::set_default_local_recorder(&recorder);
    let (mut calls, url) = receiver().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hook.key");
    std::fs::write(&file, SECRET).unwrap();
    let server = Server::configured(&format!(
        "[detection.webhook]\nurl = \"{url}\"\nsecret_file = \"{}\"\n\
         events = [\"user_agent_changed\", \"sign_in_failures\"]\n[detection.sign_in_failures]\ncount = 1",
        file.display()
    ));
    server.add("alice", &[]).await;
    let mut alice = server.browser();
    assert_eq!(alice.sign_in("alice", PASSWORD).await.status, 303);
    let mut thief = alice.clone().at("192.0.2.8").with("user-agent", "curl/8.5.0");
    assert_eq!(thief.get("/v1/session").await.gist(), "200");
    for _ in 0..2 {
        server.browser().sign_in("my secret password", "wrong").await;
    }

    let mut hear = async || {
        let call = tokio::time::timeout(Duration::from_secs(20), calls.recv()).await;
        let (headers, body) = call.expect("it is called within 20 s").unwrap();
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let seconds = text("webhook-timestamp").parse().unwrap();
        let signature = Secret::parse(SECRET).unwrap().signature(&text("webhook-id"), seconds, &body);
        assert_eq!(text("webhook-signature"), signature);
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let mut told = [hear().await, hear().await];
    told.sort_by_key(|call| call["type"].to_string());
    let [failures, changed] = told;
    assert_eq!(changed["type"], "signal.user_agent_changed");
    assert_eq!(changed["data"]["principal"], "alice");
    assert_eq!(changed["data"]["device"]["ip"], "192.0.2.8");
    assert_eq!(changed["data"]["detail"], json!({ "from": "Firefox on Linux", "to": "curl" }));
    assert_eq!(failures["type"], "signal.sign_in_failures");
    assert_eq!(failures["data"]["principal"], Value::Null, "there is no such account");
    assert!(!failures.to_string().contains("secret"), "{failures}");
    for line in [
        r#"cloakroom_signals_total{signal="user_agent_changed",grade="log"} 1"#,
        r#"cloakroom_signals_total{signal="sign_in_failures",grade="log"} 1"#,
        // A call is counted when its answer is there.
        r#"cloakroom_webhook_deliveries_total{result="delivered"} 2"#,
    ] {
        let shows = async {
            while !exposition.render().contains(line) {
                tokio::task::yield_now().await
            }
        };
        let shown = tokio::time::timeout(Duration::from_secs(20), shows).await;
        assert!(shown.is_ok(), "{line} in {}", exposition.render());
    }
}
