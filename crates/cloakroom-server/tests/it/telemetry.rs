//! Traces and metrics as a collector gets them: the real binary, a real store, OTLP decoded.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use cloakroom_servers::Look;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};

use crate::cli::Desk;

/// What a collector was sent.
#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    resources: Vec<Vec<KeyValue>>,
    headers: Vec<HeaderMap>,
    requests: usize,
    /// What it answers.
    refuses: bool,
}

type Shared = Arc<Mutex<Received>>;

/// A collector in this process.
struct Collector {
    received: Shared,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start() -> Self {
        let received = Shared::default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take_traces))
            .route("/v1/metrics", post(take_metrics))
            .with_state(Arc::clone(&received));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { received, address, _runtime: runtime }
    }

    /// Waits until what was received answers.
    fn until<T>(&self, what: &str, ask: impl Fn(&Received) -> Option<T>) -> T {
        until(what, || ask(&self.received.lock()))
    }
}

async fn take_traces(State(received): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut received = received.lock();
    received.requests += 1;
    if received.refuses {
        return StatusCode::FORBIDDEN;
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    received.headers.push(headers);
    for of_resource in request.resource_spans {
        received.resources.push(of_resource.resource.unwrap().attributes);
        received.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

async fn take_metrics(State(received): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let mut received = received.lock();
    received.headers.push(headers);
    for of_resource in request.resource_metrics {
        received.resources.push(of_resource.resource.unwrap().attributes);
        // A snapshot replaces the one before.
        received.metrics = of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect();
    }
    StatusCode::OK
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let look = || ask().map_or_else(|| Look::NotYet("not yet".to_owned()), Look::Done);
    cloakroom_servers::until(what, Duration::from_secs(60), look).unwrap()
}

/// The server's own binary, and what it logs.
struct Server {
    child: Child,
    address: String,
    log: std::path::PathBuf,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(desk: &Desk, configuration: &str) -> Self {
        let text = format!("listen = \"127.0.0.1:0\"\n{configuration}\n[log]\nformat = \"json\"\n");
        std::fs::write(desk.path("cloakroom.toml"), text).unwrap();
        let log = desk.path("server.log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .arg("serve")
            .current_dir(desk.dir.path())
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
        assert!(port.parse::<u16>().is_ok(), "{line}: {}", std::fs::read_to_string(&log).unwrap());
        Self { child, address: format!("127.0.0.1:{port}"), log, _stdout: stdout }
    }

    /// One exchange; the whole answer as text.
    fn ask(&self, request_line: &str, headers: &str, body: &str) -> String {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{request_line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/json\r\n{headers}\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn sign_in(&self) -> String {
        let body = json!({"username": "alice", "password": "plum tractor 42 lamp", "mode": "bearer"});
        let answer = self.ask("POST /v1/sign-in", "", &body.to_string());
        let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        body["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The lines of its log.
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Asks it to stop, and waits until it has.
    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = until("the server to stop", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", std::fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    answer
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The only attributes that spans have: none of them can name anybody.
const ATTRIBUTES: &[&str] = &[
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "outcome",
    "request_id",
    "store",
    "trace_id",
];

#[test]
fn one_trace_holds_a_request_its_engine_calls_and_their_store_calls_and_the_log_names_it() {
    let collector = Collector::start();
    let desk = Desk::new();
    std::fs::write(desk.path("headers"), "X-Key: hunter2\n").unwrap();
    desk.add("alice");
    let mut server = Server::start(
        &desk,
        &format!(
            "[telemetry]\notlp_endpoint = {:?}\notlp_headers_file = \"headers\"\ntraces_sample_ratio = 1\n\
             metrics_interval = \"1s\"\nservice_name = \"cloakroom-test\"",
            collector.address
        ),
    );
    let token = server.sign_in();
    let bearer = format!("Authorization: Bearer {token}\r\nUser-Agent: spy\r\n");
    // An outsider's wish for a trace of his own choice is not heard.
    let outsider = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let answer = server.ask("PATCH /v1/session/attributes", &format!("{bearer}{outsider}"), r#"{"count":1}"#);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request_id = header(&answer, "x-request-id").to_owned();
    let root = collector.until("the request's span", |received| {
        received.spans.iter().find(|span| text(&span.attributes, "request_id") == Some(&request_id)).cloned()
    });
    check_trace(&collector, &root);
    check_line(&server, &request_id, &hex(&root.trace_id));
    collector.until("metrics that count the request", counts_the_request);
    server.stop();
    check_what_left(&collector.received.lock(), &token);
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains("hunter2") && !log.contains(&token[4..]), "{log}");
}

/// The request is above its engine calls, and these above their store calls.
fn check_trace(collector: &Collector, root: &Span) {
    assert_eq!(root.name, "PATCH /v1/session/attributes");
    assert_eq!((root.kind, root.parent_span_id.as_slice()), (2, &[][..]), "a server's span, and the first");
    assert_eq!(text(&root.attributes, "http.route"), Some("/v1/session/attributes"));
    assert_ne!(hex(&root.trace_id), "0af7651916cd43dd8448eb211c80319c");
    let trace: Vec<Span> = collector.until("the rest of its trace", |received| {
        let of_it = received.spans.iter().filter(|span| span.trace_id == root.trace_id);
        let trace: Vec<Span> = of_it.cloned().collect();
        let has = |name: &str| trace.iter().any(|span| span.name == name);
        (has("store.get") && has("store.replace")).then_some(trace)
    });
    let named = |name: &str| trace.iter().find(|span| span.name == name).unwrap();
    let above = |span: &Span| {
        let parent = trace.iter().find(|other| other.span_id == span.parent_span_id);
        parent.map(|span| span.name.as_str())
    };
    for (name, parent) in [("store.get", "engine.validate"), ("store.replace", "engine.apply")] {
        let span = named(name);
        assert_eq!(above(span), Some(parent), "{trace:#?}");
        assert_eq!(text(&span.attributes, "store"), Some("sqlite"));
        assert_eq!(text(&span.attributes, "outcome"), Some("ok"));
        assert_eq!(span.kind, 3, "a client's");
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
        assert_eq!(above(named(parent)), Some("PATCH /v1/session/attributes"), "{trace:#?}");
    }
}

/// The request's line in the log has the same ids, and the session's, masked.
fn check_line(server: &Server, request_id: &str, trace_id: &str) {
    let line = until("the request's line", || {
        server.lines().into_iter().find(|line| {
            line["spans"][0]["request_id"] == request_id && line["fields"]["message"] == "request"
        })
    });
    assert_eq!(line["spans"][0]["trace_id"], trace_id, "{line:#}");
    assert_eq!(line["fields"]["route"], "/v1/session/attributes");
    let session = line["fields"]["session"].as_str().unwrap();
    assert!(
        session.starts_with("ses_") && session.chars().count() == 13 && session.ends_with('…'),
        "{line:#}"
    );
}

fn counts_the_request(received: &Received) -> Option<()> {
    let family = received.metrics.iter().find(|metric| metric.name == "cloakroom_http_requests_total")?;
    let Some(metric::Data::Sum(sum)) = &family.data else { panic!("{family:?}") };
    let counted = sum.data_points.iter().find(|point| {
        text(&point.attributes, "route") == Some("/v1/session/attributes")
            && text(&point.attributes, "status") == Some("2xx")
            && point.value == Some(number_data_point::Value::AsDouble(1.0))
    });
    counted.map(|_| ())
}

/// Everything arrived, what waited at the end as well, and nothing of it names anybody.
fn check_what_left(received: &Received, token: &str) {
    assert_eq!(received.spans.iter().filter(|span| span.name == "POST /v1/sign-in").count(), 1);
    for span in &received.spans {
        let keys = span.attributes.iter().map(|attribute| attribute.key.as_str());
        let strange: Vec<_> = keys.filter(|key| !ATTRIBUTES.contains(key)).collect();
        assert!(strange.is_empty() && span.events.is_empty(), "{strange:?} in {span:#?}");
    }
    let everything = format!("{:?}", received.spans);
    for secret in [&token[4..], "alice", "127.0.0.1", "spy", "ses_"] {
        assert!(!everything.contains(secret), "{secret} in a trace");
    }
    for resource in &received.resources {
        assert_eq!(text(resource, "service.name"), Some("cloakroom-test"));
        assert_eq!(text(resource, "service.version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(text(resource, "service.instance.id").map(str::len), Some(32));
    }
    assert!(received.headers.iter().all(|headers| headers["x-key"] == "hunter2"));
}

#[test]
fn a_proxy_that_is_believed_says_what_is_traced_and_nothing_else_is() {
    let collector = Collector::start();
    let desk = Desk::new();
    let mut server = Server::start(
        &desk,
        &format!(
            "trust.proxies = \"127.0.0.1\"\n[telemetry]\notlp_endpoint = {:?}\ntraces_sample_ratio = 0\n\
             metrics_interval = \"0s\"\ntraceparent = \"from-proxies\"",
            collector.address
        ),
    );
    let trace = "0af7651916cd43dd8448eb211c80319c";
    server.ask("GET /livez", "", "");
    server.ask("GET /livez", &format!("traceparent: 00-{trace}-b7ad6b7169203331-00\r\n"), "");
    server.ask("GET /livez", &format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n"), "");
    server.stop();
    let received = collector.received.lock();
    let [span] = &received.spans[..] else { panic!("{:#?}", received.spans) };
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (trace.to_owned(), "b7ad6b7169203331".to_owned())
    );
    assert!(received.metrics.is_empty());
}

#[test]
fn a_collector_that_is_away_costs_a_log_line_and_is_told_again_when_it_is_back() {
    let collector = Collector::start();
    collector.received.lock().refuses = true;
    let desk = Desk::new();
    let mut server = Server::start(
        &desk,
        &format!(
            "[telemetry]\notlp_endpoint = {:?}\ntraces_sample_ratio = 1\nmetrics_interval = \"0s\"",
            collector.address
        ),
    );
    let asked_until = |what: &str, done: &dyn Fn(&Received) -> bool| {
        collector.until(what, |received| done(received).then_some(()));
    };
    for turn in 1..=2 {
        assert!(server.ask("GET /livez", "", "").starts_with("HTTP/1.1 200"));
        asked_until("the collector to refuse", &move |received| received.requests >= turn);
    }
    collector.received.lock().refuses = false;
    server.ask("GET /livez", "", "");
    asked_until("the collector to take spans", &|received| !received.spans.is_empty());
    let metrics = server.ask("GET /metrics", "", "");
    let counted = |result: &str| {
        let series = format!("cloakroom_otlp_spans_total{{result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok())
    };
    assert!(counted("failed") >= Some(2) && counted("dropped") == Some(0), "{metrics}");
    server.stop();
    let events: Vec<String> = server
        .lines()
        .iter()
        .filter_map(|line| {
            line["fields"]["event"]
                .as_str()
                .filter(|event| event.starts_with("telemetry_"))
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(events, ["telemetry_failed", "telemetry_resumed"], "one line for the outage, one for its end");
}

#[test]
fn a_collector_that_is_nowhere_holds_nobody_up() {
    // Held and not listened on: nobody else does, either.
    let nowhere = cloakroom_servers::Port::free().unwrap();
    let desk = Desk::new();
    let mut server = Server::start(
        &desk,
        &format!(
            "[telemetry]\notlp_endpoint = \"http://127.0.0.1:{}\"\ntraces_sample_ratio = 1\nmetrics_interval = \"1s\"",
            nowhere.number()
        ),
    );
    for _ in 0..20 {
        assert!(server.ask("GET /readyz", "", "").starts_with("HTTP/1.1 200"));
    }
    server.stop();
    let failures = server.lines().iter().filter(|line| line["fields"]["event"] == "telemetry_failed").count();
    assert!((1..=2).contains(&failures), "at most one line for traces and one for metrics: {failures}");
}
