//! What the server tells programs about itself, besides its log: traces and metrics, by OTLP.
//!
//! Spans are those of `tracing` that are there anyway. A request that is chosen to be traced runs in a span of another call
//! site than the others; only what happens below such a span is recorded. So a request that was not chosen costs what it costs
//! without any tracing, and where nothing is to be sent no span is made at all.
//!
//! Metrics are counted once, by the recorder that `/metrics` reads; what is sent is a snapshot of it. See decision 33.

#[cfg(test)]
mod book;
#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod outage;
#[cfg(feature = "otlp")]
mod sender;
#[cfg(feature = "otlp")]
mod spans;
mod trace;

use std::fmt;
use std::sync::Arc;

use cloakroom::{Clock, Random};
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TelemetryConfig;

pub(crate) use self::trace::{Asked, Tracing};

/// What records spans, before there is a runtime to send them from.
#[derive(Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    recorded: Option<spans::Recorded>,
}

/// A layer that records spans, over any subscriber.
pub type SpanLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Why nothing can be sent.
#[derive(Debug)]
pub struct TelemetryError(String);

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Telemetry {
    /// The layer that records spans, where traces are wanted, and what has to be given to
    /// [`serve`](crate::serve::serve) so that they are sent. Until then they wait, as many as there is room for.
    pub fn new<S>(config: &TelemetryConfig) -> (Option<SpanLayer<S>>, Self)
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        #[cfg(feature = "otlp")]
        if config.endpoint.is_some() && config.sample_ratio.as_f64() + follows(config) > 0.0 {
            let (layer, recorded) = spans::record(config);
            return (Some(layer), Self { recorded: Some(recorded) });
        }
        let _ = config;
        (None, Self::default())
    }

    /// Begins to send what the configuration wants sent, beside the requests.
    ///
    /// # Errors
    /// [`TelemetryError`] where no client can be made. A collector that is away is no error: see [`Sending`].
    pub(crate) fn send(
        self,
        config: &TelemetryConfig,
        metrics: PrometheusHandle,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Result<Sending, TelemetryError> {
        #[cfg(feature = "otlp")]
        if let Some(endpoint) = &config.endpoint {
            return sender::start(self.recorded, config, endpoint, metrics, clock, random).map(Sending);
        }
        let _ = (self, config, metrics, clock, random);
        Ok(Sending::default())
    }
}

#[cfg(feature = "otlp")]
fn follows(config: &TelemetryConfig) -> f64 {
    f64::from(u8::from(config.traceparent == crate::config::Traceparent::FromProxies))
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// What is being sent. A collector that is slow or away costs nobody anything: what there is no room for is dropped and
/// counted, and one log line says so for each outage.
#[cfg(feature = "otlp")]
#[derive(Default)]
pub(crate) struct Sending(sender::Sending);

/// Nothing is being sent.
#[cfg(not(feature = "otlp"))]
#[derive(Default)]
pub(crate) struct Sending(());

impl Sending {
    /// Sends what waits, and ends. Takes a few seconds at most.
    pub(crate) async fn finish(self) {
        #[cfg(feature = "otlp")]
        self.0.finish().await;
    }
}

/// Describes the metrics of sending.
pub(crate) fn describe_metrics() {
    #[cfg(feature = "otlp")]
    sender::describe_metrics();
}
