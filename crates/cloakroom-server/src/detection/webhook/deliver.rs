//! One call, made until it is heard or enough was tried.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom::{Clock, Random};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use super::Secret;

/// A call to be made.
#[derive(Debug)]
pub(super) struct Delivery {
    id: String,
    body: String,
}

impl Delivery {
    pub(super) fn new(id: [u8; 16], body: String) -> Self {
        Self { id: format!("msg_{}", URL_SAFE_NO_PAD.encode(id)), body }
    }
}

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The receiver took it.
    Delivered,
    /// The receiver does not want it: trying again would not help.
    Refused,
    /// It was tried often enough.
    Failed,
    /// There was no room for it.
    Dropped,
}

impl Outcome {
    pub(super) fn count(self) {
        let result = match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        };
        metrics::counter!(DELIVERIES, "result" => result).increment(1);
    }
}

/// Makes calls to one receiver.
#[derive(Clone, Debug)]
pub(super) struct Courier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    url: Url,
    secret: Secret,
    first_pause: Duration,
}

impl Courier {
    /// # Errors
    /// Where no TLS can be spoken on this system.
    pub(super) fn new(url: Url, secret: Secret, timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::pausing(url, secret, timeout, FIRST_PAUSE)
    }

    pub(super) fn pausing(
        url: Url,
        secret: Secret,
        timeout: Duration,
        first_pause: Duration,
    ) -> Result<Self, reqwest::Error> {
        // A second install changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // Where a receiver has moved to is the operator's to say.
            .redirect(redirect::Policy::none())
            // Nor is it the environment's.
            .no_proxy()
            .referer(false)
            .https_only(url.scheme() == "https")
            .user_agent(concat!("cloakroom/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(Arc::new(Inner { client, url, secret, first_pause })))
    }

    /// Makes calls until no more come, `at_once` of them at once: one that has to wait does not hold the others up.
    pub(super) async fn run(
        self,
        mut queued: mpsc::Receiver<Delivery>,
        at_once: usize,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) {
        let mut under_way = JoinSet::new();
        while let Some(delivery) = queued.recv().await {
            while under_way.len() >= at_once {
                under_way.join_next().await;
            }
            let (courier, clock, random) = (self.clone(), clock.clone(), random.clone());
            under_way.spawn(async move {
                courier.deliver(&delivery, &*clock, &*random).await.count();
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    pub(super) async fn deliver(
        &self,
        delivery: &Delivery,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Outcome {
        let mut pause = self.0.first_pause;
        for attempt in 1..=ATTEMPTS {
            let cause = match self.attempt(delivery, clock).await {
                Ok(status) if status.is_success() => return Outcome::Delivered,
                Ok(status) if !is_worth_another(status) => {
                    let status = status.as_u16();
                    tracing::warn!(event = "detection_webhook_refused", status, "the webhook refused a call");
                    return Outcome::Refused;
                }
                Ok(status) => status.to_string(),
                // Without the address, which may be a secret.
                Err(error) => error.without_url().to_string(),
            };
            tracing::debug!(attempt, cause, "a call to the webhook failed");
            if attempt == ATTEMPTS {
                tracing::warn!(
                    event = "detection_webhook_failed",
                    attempts = ATTEMPTS,
                    cause,
                    "a call to the webhook failed"
                );
            } else {
                tokio::time::sleep(jittered(pause, random)).await;
                pause = pause.saturating_mul(PAUSE_FACTOR);
            }
        }
        Outcome::Failed
    }

    async fn attempt(&self, delivery: &Delivery, clock: &dyn Clock) -> Result<StatusCode, reqwest::Error> {
        let Inner { client, url, secret, .. } = &*self.0;
        let seconds = clock.now().as_millis().div_euclid(1_000);
        let request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(WEBHOOK_ID, &delivery.id)
            .header(WEBHOOK_TIMESTAMP, seconds)
            .header(WEBHOOK_SIGNATURE, secret.signature(&delivery.id, seconds, &delivery.body))
            .body(delivery.body.clone());
        // What a receiver says besides is not read.
        Ok(request.send().await?.status())
    }
}

/// Whether a receiver that answered so may answer otherwise later.
fn is_worth_another(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::CONFLICT
        )
}

/// Between half of `pause` and all of it, so that calls that failed together do not come back together.
fn jittered(pause: Duration, random: &dyn Random) -> Duration {
    let mut byte = [u8::MAX];
    // Without randomness, all of it.
    let _ = random.fill(&mut byte);
    let [byte] = byte;
    pause / 2 + pause.mul_f64(f64::from(byte) / 510.0)
}

const WEBHOOK_ID: &str = "webhook-id";
const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// How often a call is tried: with the pauses between, over about five minutes.
pub(super) const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 4;
pub(super) const DELIVERIES: &str = "cloakroom_webhook_deliveries_total";
