//! Calls to a real receiver: one that checks them, fails, is slow, sends them elsewhere, or is not there.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloakroom::{ManualClock, OsRandom};
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use serde_json::json;
use sha2::Sha256;
use tokio::sync::Notify;

use super::deliver::ATTEMPTS;
use super::*;

const KEY: [u8; 32] = [7; 32];

/// Somebody who is called.
#[derive(Default)]
struct Receiver {
    heard: Mutex<Vec<Call>>,
    /// What it answers, call by call; 204 when nothing is left.
    answers: Mutex<Vec<StatusCode>>,
    /// Whether it never answers.
    is_silent: bool,
    hears: Notify,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
struct Call {
    path: String,
    id: String,
    seconds: i64,
    signature: String,
    body: Bytes,
}

impl Call {
    /// Checks the call as a receiver does, by its own means.
    fn is_signed(&self) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
        mac.update(self.id.as_bytes());
        mac.update(b".");
        mac.update(self.seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let signature = STANDARD.decode(self.signature.strip_prefix("v1,").unwrap()).unwrap();
        mac.verify_slice(&signature).is_ok()
    }
}

async fn hear(
    State(receiver): State<Arc<Receiver>>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(text("content-type"), "application/json");
    receiver.heard.lock().push(Call {
        path: uri.path().to_owned(),
        id: text("webhook-id"),
        seconds: text("webhook-timestamp").parse().unwrap(),
        signature: text("webhook-signature"),
        body,
    });
    receiver.hears.notify_waiters();
    if receiver.is_silent {
        return std::future::pending().await;
    }
    let mut answers = receiver.answers.lock();
    let status = if answers.is_empty() { StatusCode::NO_CONTENT } else { answers.remove(0) };
    (status, [("location", "/elsewhere")]).into_response()
}

impl Receiver {
    fn answering(answers: &[u16]) -> Arc<Self> {
        let answers = answers.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers), ..Self::default() })
    }

    async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(any(hear)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn calls(&self) -> Vec<Call> {
        self.heard.lock().clone()
    }

    /// Waits until it has heard so many calls.
    async fn has_heard(&self, count: usize) {
        within(async {
            loop {
                let heard = self.hears.notified();
                if self.heard.lock().len() >= count {
                    return;
                }
                heard.await;
            }
        })
        .await;
    }
}

/// A deadline, so that what never happens fails the test.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it happens within 20 s")
}

fn courier(url: &str, timeout: Duration) -> Courier {
    let secret = Secret::parse(&STANDARD.encode(KEY)).unwrap();
    Courier::pausing(url.parse().unwrap(), secret, timeout, Duration::from_millis(1)).unwrap()
}

async fn deliver(url: &str, timeout: Duration) -> Outcome {
    let delivery = Delivery::new([1; 16], json!({ "type": "signal.token_replayed" }).to_string());
    within(courier(url, timeout).deliver(&delivery, &ManualClock::default(), &OsRandom)).await
}

#[tokio::test]
async fn a_call_arrives_once_signed_and_with_its_instant() {
    let receiver = Receiver::answering(&[]);
    let address = receiver.listen().await;
    assert_eq!(deliver(&format!("http://{address}/hook"), SECOND).await, Outcome::Delivered);
    let [call] = &receiver.calls()[..] else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.body[..]), ("/hook", &br#"{"type":"signal.token_replayed"}"#[..]));
    assert!(call.is_signed() && call.id.starts_with("msg_"));
    assert_eq!(call.seconds, ManualClock::default().now().as_millis() / 1_000);
    let forged = Call { body: Bytes::from_static(b"{}"), ..call.clone() };
    assert!(!forged.is_signed(), "the check of this test bites");
}

#[tokio::test]
async fn a_receiver_that_fails_is_called_again_with_the_same_id_and_not_for_ever() {
    for (answers, expected, calls) in [
        (&[500, 503, 429][..], Outcome::Delivered, 4),
        (&[500; 20], Outcome::Failed, ATTEMPTS),
        (&[400], Outcome::Refused, 1),
        (&[410], Outcome::Refused, 1),
    ] {
        let receiver = Receiver::answering(answers);
        let address = receiver.listen().await;
        assert_eq!(deliver(&format!("http://{address}/"), SECOND).await, expected, "{answers:?}");
        let heard = receiver.calls();
        assert_eq!(heard.len(), usize::try_from(calls).unwrap(), "{answers:?}");
        assert!(heard.iter().all(|call| call.id == heard[0].id && call.is_signed()));
    }
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::answering(&[status]);
        let address = receiver.listen().await;
        assert_eq!(deliver(&format!("http://{address}/hook"), SECOND).await, Outcome::Refused, "{status}");
        assert_eq!(receiver.calls().len(), 1, "{status}: the other place was never asked");
    }
}

#[tokio::test]
async fn a_receiver_that_is_silent_or_absent_costs_its_time_and_no_more() {
    let receiver = Arc::new(Receiver { is_silent: true, ..Receiver::default() });
    let address = receiver.listen().await;
    assert_eq!(deliver(&format!("http://{address}/"), Duration::from_millis(20)).await, Outcome::Failed);
    assert_eq!(receiver.calls().len(), usize::try_from(ATTEMPTS).unwrap());
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(deliver(&format!("http://{closed}/"), SECOND).await, Outcome::Failed);
}

#[tokio::test]
async fn a_receiver_whose_certificate_nobody_vouches_for_hears_nothing() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = axum_server::tls_rustls::RustlsConfig::from_pem(
        made.cert.pem().into_bytes(),
        made.signing_key.serialize_pem().into_bytes(),
    );
    let receiver = Receiver::answering(&[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(any(hear)).with_state(Arc::clone(&receiver));
    let server = axum_server::from_tcp_rustls(listener, tls.await.unwrap()).unwrap();
    tokio::spawn(async move { server.serve(app.into_make_service()).await });
    let url = format!("https://localhost:{}/", address.port());
    assert_eq!(deliver(&url, SECOND).await, Outcome::Failed);
    assert!(receiver.calls().is_empty());
}

fn start(url: &str, events: &[Signal]) -> Calls {
    let webhook = Webhook { courier: courier(url, Duration::from_secs(10)), events: events.to_vec() };
    webhook.start(Arc::new(ManualClock::default()), Arc::new(OsRandom))
}

#[tokio::test]
async fn only_what_is_wanted_is_told() {
    let receiver = Receiver::answering(&[]);
    let address = receiver.listen().await;
    let calls = start(&format!("http://{address}/"), &[Signal::TokenReplayed]);
    calls.call(Signal::NetworkChanged, Grade::Log, || panic!("nobody wants to hear of it"));
    calls.call(Signal::TokenReplayed, Grade::Log, || json!({ "n": 1 }));
    within(calls.finish()).await;
    let bodies: Vec<Bytes> = receiver.calls().into_iter().map(|call| call.body).collect();
    assert_eq!(bodies, [&b"{\"n\":1}"[..]]);
}

#[tokio::test]
async fn a_receiver_that_hangs_blocks_nobody_and_what_does_not_fit_in_is_dropped() {
    let receiver = Arc::new(Receiver { is_silent: true, ..Receiver::default() });
    let address = receiver.listen().await;
    let calls = start(&format!("http://{address}/"), &Signal::ALL);
    let mut asked = 0;
    // Each of these returns at once, although nothing is answered.
    for _ in 0..3 * CALLS_MAX {
        calls.call(Signal::TokenReplayed, Grade::Log, || {
            asked += 1;
            json!({})
        });
    }
    assert_eq!(asked, CALLS_MAX, "what is dropped is not even written");
    receiver.has_heard(8).await;
    assert_eq!(receiver.calls().len(), 8, "as many at once as allowed, and no more");
    // Whatever hangs, whoever's session was ended is told of beside it.
    calls.call(Signal::TokenReplayed, Grade::End, || json!({ "n": "ended" }));
    receiver.has_heard(9).await;
    assert_eq!(receiver.calls().last().map(|call| call.body.clone()), Some(b"{\"n\":\"ended\"}"[..].into()));
    calls.others.courier.abort();
    calls.urgent.courier.abort();
}

const SECOND: Duration = Duration::from_secs(1);
