//! What is written down of a signal.

use std::time::Duration;

use cloakroom::{PrincipalId, SessionId, Timestamp};
use cloakroom_audit::{Draft, names};
use cloakroom_core::Device;
use cloakroom_detection::{Finding, Place, What};
use serde_json::{Map, Value, json};

/// Whom a signal is about, and from where it came.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) at: Timestamp,
    pub(super) session: Option<SessionId>,
    pub(super) principal: Option<PrincipalId>,
    pub(super) device: Option<Device>,
    /// The name of the device that was proven.
    pub(super) proven: Option<String>,
    /// The account that was typed, whether or not there is one.
    pub(super) account: Option<String>,
}

impl Notice {
    pub(super) fn at(at: Timestamp) -> Self {
        Self { at, session: None, principal: None, device: None, proven: None, account: None }
    }

    /// As the audit log has it.
    pub(super) fn draft(&self, finding: &Finding) -> Draft {
        let mut draft = Draft::new(names::SIGNAL, self.at)
            .about(self.principal.clone())
            .because(finding.signal.as_str())
            .from_device(self.device.clone())
            .with("signal", finding.signal.as_str())
            .with("grade", finding.grade.as_str());
        draft.session = self.session;
        for (key, value) in self.particulars(&finding.what) {
            draft = draft.with(key, value);
        }
        draft
    }

    /// As a webhook tells it.
    pub(super) fn told(&self, finding: &Finding) -> Value {
        let particulars: Map<String, Value> =
            self.particulars(&finding.what).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let device = self.device.as_ref().map(
            |device| json!({ "ip": device.ip(), "user_agent": device.user_agent(), "label": device.label() }),
        );
        json!({
            "type": format!("signal.{}", finding.signal),
            "timestamp": self.at.to_string(),
            "data": {
                "signal": finding.signal.as_str(),
                "grade": finding.grade.as_str(),
                "principal": self.principal.as_ref().map(PrincipalId::as_str),
                "session": self.session.map(|session| session.to_string()),
                "device": device,
                "detail": particulars,
            },
        })
    }

    /// What changed, in words and numbers: no addresses, which not everybody may see who sees this.
    fn particulars(&self, what: &What) -> Vec<(&'static str, Value)> {
        match *what {
            What::Program => {
                let present = self.device.as_ref().and_then(Device::label);
                vec![
                    ("from", self.proven.as_deref().unwrap_or(UNKNOWN_DEVICE).into()),
                    ("to", present.unwrap_or(UNKNOWN_DEVICE).into()),
                ]
            }
            What::Network { from, to } => vec![("from", words(from).into()), ("to", words(to).into())],
            What::Travel { from, to, km, within } => vec![
                ("from", words(from).into()),
                ("to", words(to).into()),
                ("km", km.into()),
                ("seconds", seconds(within)),
            ],
            What::Returns { count, within } => vec![("returns", count.into()), ("seconds", seconds(within))],
            What::AfterEnd { reason, later } => {
                vec![("end_reason", reason.as_str().into()), ("seconds", seconds(later))]
            }
            What::Replay { later } => vec![("seconds", seconds(later))],
            What::Burst { count, window } => vec![("more_than", count.into()), ("seconds", seconds(window))],
            _ => Vec::new(),
        }
    }
}

/// A place in words: its country, and the number of its network.
fn words(place: Place) -> String {
    let country = place.country.map(|country| country.as_str().to_owned());
    let network = place.network.map(|number| format!("AS{number}"));
    match (country, network) {
        (Some(country), Some(network)) => format!("{country}, {network}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "unknown network".to_owned(),
    }
}

fn seconds(duration: Duration) -> Value {
    duration.as_secs().into()
}

const UNKNOWN_DEVICE: &str = "unknown device";
