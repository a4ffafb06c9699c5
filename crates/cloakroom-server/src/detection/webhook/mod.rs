//! Calling whoever wants to hear of signals: signed, repeated a bounded number of times, and never in anybody's way.
//!
//! Calls follow Standard Webhooks (<https://www.standardwebhooks.com>): an id that stays the same when a call is repeated,
//! an instant, and a signature over both and the body.

mod deliver;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Clock, Random};
use cloakroom_detection::{Grade, Signal};
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
///
/// # Security
/// What strangers can cause in any number waits by itself: it takes neither place nor time from calls about a session that was
/// ended.
pub(super) struct Calls {
    /// About sessions that were ended.
    urgent: Line,
    /// All others.
    others: Line,
    events: Vec<Signal>,
    random: Arc<dyn Random>,
}

/// Calls that wait for each other, and for nobody else.
struct Line {
    queue: mpsc::Sender<Delivery>,
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
        let line = |most: usize, at_once: usize| {
            let (queue, queued) = mpsc::channel(most);
            let courier = self.courier.clone().run(queued, at_once, clock.clone(), random.clone());
            Line { queue, courier: tokio::spawn(courier) }
        };
        let (urgent, others) = (line(URGENT_MAX, URGENT_AT_ONCE), line(CALLS_MAX, AT_ONCE));
        Calls { urgent, others, events: self.events, random }
    }
}

impl Calls {
    /// Calls with `told`, if the receiver wants to hear of `signal`. Never waits.
    pub(super) fn call(&self, signal: Signal, grade: Grade, told: impl FnOnce() -> Value) {
        if !self.events.contains(&signal) {
            return;
        }
        let mut id = [0; 16];
        let line = if grade == Grade::End { &self.urgent } else { &self.others };
        let Ok(place) = line.queue.try_reserve() else { return Outcome::Dropped.count() };
        if self.random.fill(&mut id).is_err() {
            return Outcome::Dropped.count();
        }
        place.send(Delivery::new(id, told().to_string()));
    }

    /// Makes the calls that wait, for a little while.
    pub(super) async fn finish(self) {
        let Self { urgent, others, .. } = self;
        let aborts = [urgent.courier.abort_handle(), others.courier.abort_handle()];
        drop((urgent.queue, others.queue));
        let both = futures_util::future::join(urgent.courier, others.courier);
        if tokio::time::timeout(FAREWELL, both).await.is_err() {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
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
/// The same of those about sessions that were ended.
const URGENT_MAX: usize = 1_024;
/// Calls under way at once.
const AT_ONCE: usize = 8;
/// The same of those about sessions that were ended.
const URGENT_AT_ONCE: usize = 4;
/// How long a server that stops waits for calls.
const FAREWELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
