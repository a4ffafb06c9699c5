//! The client that brings traces and metrics to the collector, and the tasks it is used from.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Clock, Random, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use url::Url;

use super::TelemetryError;
use super::metrics::Snapshots;
use super::outage::Outage;
use super::spans::Recorded;
use crate::config::TelemetryConfig;

/// The tasks that send.
#[derive(Default)]
pub(super) struct Sending {
    stop: Option<watch::Sender<bool>>,
    tasks: Vec<JoinHandle<()>>,
}

pub(super) fn start(
    recorded: Option<Recorded>,
    config: &TelemetryConfig,
    endpoint: &Url,
    metrics: PrometheusHandle,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<super::sender::Sending, TelemetryError> {
    let client = client(config)?;
    let resource = resource(config, random);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    if let Some(recorded) = recorded {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_endpoint(below(endpoint, "v1/traces"))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(DEADLINE)
            .build()
            .map_err(|error| TelemetryError(error.to_string()))?;
        tasks.push(tokio::spawn(recorded.send(exporter, resource.clone(), stopped.clone())));
    }
    if !config.metrics_interval.is_zero() {
        let sender = MetricsSender {
            client,
            address: below(endpoint, "v1/metrics"),
            snapshots: Snapshots::new(&resource, clock.now()),
            metrics,
            clock,
            outage: Outage::of("metrics"),
        };
        tasks.push(tokio::spawn(sender.run(config.metrics_interval, stopped)));
    }
    Ok(Sending { stop: Some(stop), tasks })
}

impl Sending {
    pub(super) async fn finish(self) {
        if let Some(stop) = &self.stop {
            stop.send_replace(true);
        }
        let all = async {
            for task in self.tasks {
                // A task that panicked has said so.
                let _ = task.await;
            }
        };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::warn!(
                event = "telemetry_failed",
                what = "the last",
                "the collector did not take the last telemetry in time"
            );
        }
    }
}

/// Resolves when it is time to stop, or nobody is left to say so.
pub(super) async fn until(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

struct MetricsSender {
    client: Client,
    address: String,
    snapshots: Snapshots,
    metrics: PrometheusHandle,
    clock: Arc<dyn Clock>,
    outage: Outage,
}

impl MetricsSender {
    async fn run(mut self, every: Duration, stop: watch::Receiver<bool>) {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = std::pin::pin!(until(stop));
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                _ = turns.tick() => self.send().await,
            }
        }
        self.send().await;
    }

    async fn send(&mut self) {
        let body = self.snapshots.take(&self.metrics.render(), self.clock.now());
        let request = self.client.post(&self.address).header(CONTENT_TYPE, PROTOBUF).body(body);
        let sent = request.send().await.and_then(reqwest::Response::error_for_status).map(drop);
        // An error names the address that was asked: the operator's own, without secrets.
        let result = if sent.is_ok() { "sent" } else { "failed" };
        metrics::counter!(EXPORTS, "result" => result).increment(1);
        self.outage.note(&sent.map_err(|error| chain(&error)), 1);
    }
}

/// An error and what caused it: where the client could not connect, its own words do not say why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}

fn client(config: &TelemetryConfig) -> Result<Client, TelemetryError> {
    // A second install changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut headers = HeaderMap::new();
    for (name, value) in config.headers.iter() {
        let field = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(mut value)) = field else { continue };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Client::builder()
        .default_headers(headers)
        .user_agent(concat!("cloakroom/", env!("CARGO_PKG_VERSION")))
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| TelemetryError(chain(&error)))
}

fn resource(config: &TelemetryConfig, random: &dyn Random) -> Resource {
    let mut instance = [0; 16];
    // Without randomness there are no sessions either; the name is then shared by those who have none.
    let _ = random.fill(&mut instance);
    let instance = instance.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .build()
}

fn below(endpoint: &Url, path: &str) -> String {
    format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))
}

/// Describes the metrics of sending.
pub(super) fn describe_metrics() {
    metrics::describe_counter!(
        SPANS,
        "Spans of traced requests, by result: sent, failed (the collector did not take them), dropped (no room to wait)"
    );
    metrics::describe_counter!(EXPORTS, "Snapshots of metrics for the collector, by result: sent, failed");
}

pub(super) const SPANS: &str = "cloakroom_otlp_spans_total";
const EXPORTS: &str = "cloakroom_otlp_metric_exports_total";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Time for one request to the collector, its repetitions included.
const DEADLINE: Duration = Duration::from_secs(5);
/// Time for the last ones, at shutdown.
const FAREWELL: Duration = Duration::from_secs(6);

/// The instant as OTLP has it.
pub(super) fn nanos(instant: Timestamp) -> u64 {
    u64::try_from(instant.as_millis()).unwrap_or(0).saturating_mul(1_000_000)
}
