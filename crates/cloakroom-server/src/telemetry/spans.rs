//! Spans on their way to the collector: recorded where they are wanted, queued, sent in batches.

use std::time::Duration;

use metrics::Counter;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, watch};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, dynamic_filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::SpanLayer;
use super::outage::Outage;
use super::sender::SPANS;
use super::trace::TRACED;
use crate::config::TelemetryConfig;

/// Spans that were recorded and wait to be sent.
pub(super) struct Recorded {
    waiting: mpsc::Receiver<SpanData>,
    /// Dropped when everything was sent: then spans that end are not recorded any more.
    provider: SdkTracerProvider,
}

/// A layer that records what happens below requests that are traced, and nothing else: no events, which may name people,
/// and no span of other crates.
pub(super) fn record<S>(_config: &TelemetryConfig) -> (SpanLayer<S>, Recorded)
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let (queue, waiting) = mpsc::channel(MAX_WAITING);
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().build())
        // Which requests are traced was decided before their spans were made.
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(Queue { queue })
        .build();
    let tracer = provider.tracer("cloakroom");
    let filter = dynamic_filter_fn(|metadata, context| {
        is_ours(metadata) && (metadata.target() == TRACED || context.lookup_current().is_some())
    });
    let filter = filter.with_max_level_hint(LevelFilter::DEBUG).with_callsite_filter(|metadata| {
        match (is_ours(metadata), metadata.target()) {
            (false, _) => Interest::never(),
            (true, TRACED) => Interest::always(),
            (true, _) => Interest::sometimes(),
        }
    });
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter);
    (Box::new(layer), Recorded { waiting, provider })
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("cloakroom")
}

/// The end of the queue at which spans are put. On the request's own task: it takes no lock that anybody holds for long, and
/// waits for nothing.
#[derive(Debug)]
struct Queue {
    queue: mpsc::Sender<SpanData>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            metrics::counter!(SPANS, "result" => "dropped").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Recorded {
    /// Sends spans until `stop`, then those that wait.
    pub(super) async fn send(
        mut self,
        mut exporter: impl SpanExporter,
        resource: Resource,
        stop: watch::Receiver<bool>,
    ) {
        exporter.set_resource(&resource);
        let mut outlet = Outlet {
            exporter,
            outage: Outage::of("traces"),
            sent: metrics::counter!(SPANS, "result" => "sent"),
            failed: metrics::counter!(SPANS, "result" => "failed"),
        };
        // There from the start, so that an increase can be seen.
        metrics::counter!(SPANS, "result" => "dropped").increment(0);
        let mut stopped = std::pin::pin!(super::sender::until(stop));
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = gather(&mut self.waiting, &mut batch) => outlet.send(std::mem::take(&mut batch)).await,
            }
        }
        // What was gathered when the end came belongs to what waits.
        self.waiting.close();
        while !batch.is_empty() || self.waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            outlet.send(std::mem::take(&mut batch)).await;
        }
        drop(self.provider);
    }
}

/// Takes spans from the queue: as many as are a batch, or what has come a while after the first.
async fn gather(waiting: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if waiting.recv_many(batch, MAX_BATCH).await == 0 {
        // No more will come: the caller learns it from its own signal.
        return std::future::pending().await;
    }
    let enough = async {
        while batch.len() < MAX_BATCH {
            let room = MAX_BATCH.saturating_sub(batch.len());
            if waiting.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // Late is as good as enough.
    let _ = tokio::time::timeout(PATIENCE, enough).await;
}

struct Outlet<E> {
    exporter: E,
    outage: Outage,
    sent: Counter,
    failed: Counter,
}

impl<E: SpanExporter> Outlet<E> {
    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = self.exporter.export(batch).await;
        if sent.is_ok() { &self.sent } else { &self.failed }.increment(spans);
        self.outage.note(&sent, spans);
    }
}

/// Spans that wait: two megabytes. A request has about four.
const MAX_WAITING: usize = 4_096;
/// Spans in one request to the collector.
const MAX_BATCH: usize = 512;
/// How long a batch waits to become larger.
const PATIENCE: Duration = Duration::from_secs(1);
