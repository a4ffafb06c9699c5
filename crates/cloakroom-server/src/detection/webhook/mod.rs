//! Calling whoever wants to hear of signals: signed, repeated a bounded number of times, and never in anybody's way.
//!
//! Calls follow Standard Webhooks (<https://www.standardwebhooks.com>): an id that stays the same when a call is repeated,
//! an instant, and a signature over both and the body.

mod deliver;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Clock, Random};
use cloakroom_detection::Signal;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::DetectionError;
use crate::config::WebhookConfig;
use deliver::{Courier, Delivery, Outcome};

pub use secret::{Secret, WebhookError};

/// A receiver that calls can be made to.
pub(super) struct Webhook {
    courier: Courier,
    events: Vec<Signal>,
}

/// Calls under way.
pub(super) struct Calls {
    queue: mpsc::Sender<Delivery>,
    events: Vec<Signal>,
    random: Arc<dyn Random>,
    courier: JoinHandle<()>,
}

impl Webhook {
    /// The receiver as configured. Reads the secret.
    pub(super) fn open(config: &WebhookConfig) -> Result<Self, DetectionError> {
        let path = config.secret_file.display();
        let remedy = "write the receiver's secret, `whsec_` and 24 to 64 bytes in base64, into `detection.webhook.secret_file`";
        let text = std::fs::read_to_string(&config.secret_file).map(zeroize::Zeroizing::new);
        let text = text.map_err(|error| DetectionError {
            cause: format!("the webhook's secret {path} cannot be read: {error}"),
            remedy: remedy.to_owned(),
        })?;
        let secret = Secret::parse(&text).map_err(|error| DetectionError {
            cause: format!("the webhook's secret {path} is unusable: {error}"),
            remedy: remedy.to_owned(),
        })?;
        let courier =
            Courier::new(config.url.clone(), secret, config.timeout).map_err(|error| DetectionError {
                cause: format!("calls to the webhook cannot be made: {error}"),
                remedy: "check the certificates of this system".to_owned(),
            })?;
        Ok(Self { courier, events: config.events.clone() })
    }

    /// Begins to make calls.
    pub(super) fn start(self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Calls {
        let (queue, queued) = mpsc::channel(CALLS_MAX);
        let courier = tokio::spawn(self.courier.run(queued, clock, random.clone()));
        Calls { queue, events: self.events, random, courier }
    }
}

impl Calls {
    /// Calls with `told`, if the receiver wants to hear of `signal`. Never waits.
    pub(super) fn call(&self, signal: Signal, told: impl FnOnce() -> Value) {
        if !self.events.contains(&signal) {
            return;
        }
        let mut id = [0; 16];
        let Ok(place) = self.queue.try_reserve() else { return Outcome::Dropped.count() };
        if self.random.fill(&mut id).is_err() {
            return Outcome::Dropped.count();
        }
        place.send(Delivery::new(id, told().to_string()));
    }

    /// Makes the calls that wait, for a little while.
    pub(super) async fn finish(self) {
        let Self { queue, courier, .. } = self;
        drop(queue);
        let abort = courier.abort_handle();
        if tokio::time::timeout(FAREWELL, courier).await.is_err() {
            abort.abort();
            tracing::warn!(
                event = "detection_webhook_abandoned",
                "calls to the webhook were abandoned at shutdown"
            );
        }
    }
}

/// Describes the metric of calls.
pub(super) fn describe_metrics() {
    metrics::describe_counter!(
        deliver::DELIVERIES,
        "Calls to the webhook of detection, by what came of them"
    );
}

/// Calls that wait to be made: some 500 bytes each.
const CALLS_MAX: usize = 1_024;
/// How long a server that stops waits for calls.
const FAREWELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
