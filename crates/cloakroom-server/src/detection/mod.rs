//! Detection at work: facts from requests, from the engine's events and from the door go to the detector; what it says is
//! recorded, counted, told to whoever wants to be called, and done.
//!
//! Facts are judged where they arise, without waiting. What follows is done by one task behind a bounded queue; what does
//! not fit in is counted, and told when the signal is given again.

mod act;
mod notice;
mod webhook;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use cloakroom::{
    ActiveSession, Authentication, EndReason, Event, EventKind, EventSink, Presenter as _, Random,
    Revocation, Sessions, Timestamp,
};
use cloakroom_audit::AuditLog;
use cloakroom_axum::{Inspection, Inspector, RequestFacts};
use cloakroom_core::Device;
use cloakroom_detection::{Detector, Grade, MaxMindPlaces, Places, Replay, Seen, Sighting, Signal};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::accounts::Accounts;
use crate::config::DetectionConfig;
use act::{Acting, Matter};
use notice::Notice;

pub use webhook::{Secret, WebhookError};

/// Notices sessions and accounts in other hands. Cheap to clone; [`Detection::run`] has to run beside it.
#[derive(Clone)]
pub struct Detection {
    shared: Arc<Shared>,
}

struct Shared {
    detector: Detector,
    queue: mpsc::Sender<Matter>,
    queued: Mutex<Option<mpsc::Receiver<Matter>>>,
    webhook: Mutex<Option<webhook::Webhook>>,
}

/// What acts on signals.
#[derive(Clone, Debug)]
pub struct Means {
    /// Ends sessions.
    pub sessions: Sessions,
    /// Knows which accounts exist.
    pub accounts: Accounts,
    /// Records.
    pub audit: AuditLog,
    /// Makes ids of calls, and spreads their repetitions.
    pub random: Arc<dyn Random>,
}

/// Detection cannot start: one line of cause, one of remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DetectionError {
    /// What is wrong.
    pub cause: String,
    /// What helps.
    pub remedy: String,
}

impl Detection {
    /// Detection as configured. Reads the databases of places and the webhook's secret.
    ///
    /// # Errors
    /// [`DetectionError`] for the first file that cannot be used.
    ///
    /// # Cost
    /// Databases are read whole, and stay in memory.
    pub fn open(config: &DetectionConfig) -> Result<Self, DetectionError> {
        let databases = config.geo_database.iter().map(|path| read_places(path));
        let databases = databases.collect::<Result<Vec<MaxMindPlaces>, _>>()?;
        let places: Option<Arc<dyn Places>> =
            if databases.is_empty() { None } else { Some(Arc::new(databases)) };
        let webhook = config.webhook.as_ref().map(webhook::Webhook::open).transpose()?;
        let (queue, queued) = mpsc::channel(MATTERS_MAX);
        let detector = Detector::new(config.rules, places);
        let (queued, webhook) = (Mutex::new(Some(queued)), Mutex::new(webhook));
        Ok(Self { shared: Arc::new(Shared { detector, queue, queued, webhook }) })
    }

    /// Acts on signals until `shutdown` resolves, and then on those that wait. A second call returns at once.
    pub async fn run(&self, means: Means, shutdown: impl Future<Output = ()>) {
        let Some(queued) = self.shared.queued.lock().take() else { return };
        let webhook = self.shared.webhook.lock().take();
        Acting::new(&self.shared.detector, means, webhook).run(queued, shutdown).await;
    }

    /// A sign-in to `account`, as it was typed and brought into the form that accounts have, failed at `address`.
    pub(crate) fn sign_in_failed(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let seen = self.shared.detector.sign_in_failed(account, now);
        let device = address.map(|ip| Device::new().with_ip(ip));
        self.tell(seen, || Notice {
            account: Some(account.to_owned()),
            device: device.clone(),
            ..Notice::at(now)
        });
    }

    /// Passes findings on, each with what `about` knows.
    fn tell(&self, seen: Seen, about: impl Fn() -> Notice) {
        for finding in seen.findings {
            let is_urgent = finding.grade == Grade::End;
            let place = (is_urgent || self.shared.queue.capacity() > MATTERS_KEPT)
                .then(|| self.shared.queue.try_reserve().ok())
                .flatten();
            let Some(place) = place else {
                self.shared.detector.untold(&finding);
                metrics::counter!(DROPPED).increment(1);
                continue;
            };
            place.send(Matter::Told(Box::new((finding, about()))));
        }
    }

    fn replayed(&self, event: &Event) {
        let Some((session, exchanged_at)) = event.session.zip(event.since) else { return };
        let device = event.device.as_ref();
        let is_certain = match self.shared.detector.replayed(session, exchanged_at, device, event.at) {
            Replay::Ordinary => return,
            Replay::Unclear => false,
            Replay::Attack => true,
        };
        let replay = act::Replayed {
            session,
            principal: event.principal.clone(),
            because: Revocation::by_system(EndReason::Compromised).about(event),
            exchanged_at,
            device: event.device.clone(),
            at: event.at,
            is_certain,
        };
        if self.shared.queue.try_send(Matter::Replayed(Box::new(replay))).is_err() {
            metrics::counter!(DROPPED).increment(1);
        }
    }
}

impl EventSink for Detection {
    fn record(&self, event: &Event) {
        let detector = &self.shared.detector;
        let (at, device) = (event.at, event.device.as_ref());
        let seen = match (event.kind, event.session) {
            (EventKind::Issued, _) => match &event.principal {
                Some(principal) => detector.signed_in(principal, at),
                None => return,
            },
            (EventKind::Rotated | EventKind::Reauthenticated, Some(session)) => {
                return detector.exchanged(session, device, at);
            }
            (EventKind::Ended(_), Some(session)) => return detector.ended(session),
            (EventKind::UsedAfterEnd(reason), Some(session)) => {
                detector.used_after_end(session, (reason, event.since.unwrap_or(at)), device, at)
            }
            (EventKind::RetiredTokenUsed, _) => return self.replayed(event),
            (EventKind::UnknownToken, _) => match device.and_then(Device::ip) {
                Some(ip) => detector.unknown_token(ip, at),
                None => return,
            },
            _ => return,
        };
        self.tell(seen, || Notice {
            session: event.session,
            principal: event.principal.clone(),
            device: event.device.clone(),
            ..Notice::at(at)
        });
    }
}

impl Inspector for Detection {
    fn inspect(&self, session: &ActiveSession, request: &RequestFacts, now: Timestamp) -> Inspection {
        // An anonymous session speaks for nobody: there is nobody to be warned, and nothing to prove.
        let Some(principal) = session.principal() else { return Inspection::GoOn };
        let proved_at =
            session.authentication().map_or(session.created_at(), Authentication::authenticated_at);
        let mut sighting = Sighting::new(session.id(), proved_at);
        sighting.proven = session.device();
        sighting.ip = request.client().ip();
        sighting.user_agent = request.user_agent().map(http::HeaderValue::as_bytes);
        let seen = self.shared.detector.seen(&sighting, now);
        let inspection = match seen.grade {
            Grade::Ignore | Grade::Log => Inspection::GoOn,
            Grade::Reauthenticate => Inspection::Demand,
            Grade::End => Inspection::End,
        };
        self.tell(seen, || Notice {
            session: Some(session.id()),
            principal: Some(principal.id().clone()),
            device: Some(request.device()),
            proven: session.device().and_then(Device::label).map(str::to_owned),
            ..Notice::at(now)
        });
        inspection
    }
}

impl fmt::Debug for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detection").field("rules", self.shared.detector.rules()).finish_non_exhaustive()
    }
}

/// Describes the metrics of detection.
pub(crate) fn describe_metrics() {
    // There from the start: the first of a kind is seen as an increase.
    for signal in Signal::ALL {
        for grade in [Grade::Log, Grade::Reauthenticate, Grade::End] {
            metrics::counter!(act::SIGNALS, "signal" => signal.as_str(), "grade" => grade.as_str())
                .increment(0);
        }
    }
    metrics::counter!(DROPPED).increment(0);
    metrics::describe_counter!(
        act::SIGNALS,
        "Signals of sessions and accounts in other hands, and what was done"
    );
    metrics::describe_counter!(
        DROPPED,
        "Signals that nobody had time to act on; they are told when given again"
    );
    webhook::describe_metrics();
}

/// The database in a file, or what keeps it from being used.
pub(crate) fn read_places(path: &Path) -> Result<MaxMindPlaces, DetectionError> {
    let remedy = || "name databases in MaxMind's format in `detection.geo_database`".to_owned();
    let bytes = std::fs::read(path).map_err(|error| DetectionError {
        cause: format!("the database of places {} cannot be read: {error}", path.display()),
        remedy: remedy(),
    })?;
    MaxMindPlaces::from_bytes(bytes).map_err(|error| DetectionError {
        cause: format!("the database of places {} is unusable: {error}", path.display()),
        remedy: remedy(),
    })
}

/// Signals waiting to be acted on: each is told once a session and window, so that this many at once are an attack on many.
const MATTERS_MAX: usize = 4_096;
/// Of these, the places that are kept for signals which end a session: what strangers cause at will does not fill them.
const MATTERS_KEPT: usize = 1_024;
const DROPPED: &str = "cloakroom_signals_dropped_total";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom::SessionId;

    use super::*;
    use crate::config::Config;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn whatever_strangers_cause_there_is_room_for_what_ends_a_session() {
        let detection = Detection::open(&Config::default().detection).unwrap();
        let room = || detection.shared.queue.capacity();
        for account in 0..2 * MATTERS_MAX {
            for _ in 0..=detection.shared.detector.rules().failures.0.count {
                detection.sign_in_failed(&format!("account{account}"), None, NOW);
            }
        }
        assert_eq!(room(), MATTERS_KEPT, "bursts of failures fill what is theirs");
        let replay = Event::new(EventKind::RetiredTokenUsed, NOW)
            .about(SessionId::from_bytes([1; 16]), None)
            .since(NOW.minus(Duration::from_secs(3_600)));
        detection.record(&replay);
        assert_eq!(room(), MATTERS_KEPT - 1, "a replayed token is acted on");
    }
}
