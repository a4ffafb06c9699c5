//! What is done about signals.

use std::future::Future;

use cloakroom::{ListItem, PrincipalId, Revocation, Selector, SessionId, Timestamp};
use cloakroom_core::Device;
use cloakroom_detection::{Detector, Finding, Grade, Kinship, Signal};
use tokio::sync::mpsc;

use super::Means;
use super::notice::Notice;
use super::webhook::{Calls, Webhook};

/// Something to act on.
#[derive(Debug)]
pub(super) enum Matter {
    /// A finding, to be told.
    Told(Box<(Finding, Notice)>),
    /// An exchanged token was used again, and not by a request that was on its way.
    Replayed(Box<Replayed>),
}

/// An exchanged token that was used again.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) session: SessionId,
    /// Whose it is, where the token says so.
    pub(super) principal: Option<PrincipalId>,
    /// By what it is ended, if it is.
    pub(super) because: Revocation,
    pub(super) exchanged_at: Timestamp,
    pub(super) device: Option<Device>,
    pub(super) at: Timestamp,
    /// Whether it is an attack in any case; else it is one unless it comes from the program that was proven.
    pub(super) is_certain: bool,
}

/// Whoever acts.
pub(super) struct Acting<'a> {
    detector: &'a Detector,
    means: Means,
    calls: Option<Calls>,
}

impl<'a> Acting<'a> {
    pub(super) fn new(detector: &'a Detector, means: Means, webhook: Option<Webhook>) -> Self {
        let calls =
            webhook.map(|webhook| webhook.start(means.sessions.clock().clone(), means.random.clone()));
        Self { detector, means, calls }
    }

    pub(super) async fn run(self, mut queued: mpsc::Receiver<Matter>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let matter = tokio::select! {
                matter = queued.recv() => matter,
                () = &mut shutdown, if !queued.is_closed() => { queued.close(); continue }
            };
            match matter {
                Some(Matter::Told(told)) => {
                    let (finding, notice) = *told;
                    self.tell(&finding, notice).await;
                }
                Some(Matter::Replayed(replayed)) => self.replayed(*replayed).await,
                None => break,
            }
        }
        if let Some(calls) = self.calls {
            calls.finish().await;
        }
    }

    async fn tell(&self, finding: &Finding, mut notice: Notice) {
        if let Some(account) = &notice.account {
            // What was typed is nobody's business where it names nobody: people type passwords into the wrong field.
            let account = self.means.accounts.get(account).await.ok().flatten();
            notice.principal = account.map(|account| account.name.id().clone());
        }
        let (signal, grade) = (finding.signal.as_str(), finding.grade.as_str());
        metrics::counter!(SIGNALS, "signal" => signal, "grade" => grade).increment(1);
        let session = notice.session.map(masked_session);
        let principal = notice.principal.as_ref().map(masked_principal);
        tracing::warn!(
            event = "session_signal",
            signal,
            grade,
            session,
            principal,
            "a session or account may be in other hands"
        );
        self.means.audit.note(notice.draft(finding));
        if let Some(calls) = &self.calls {
            calls.call(finding.signal, finding.grade, || notice.told(finding));
        }
    }

    /// Ends the session whose exchanged token was used again, unless an honest client may have done that.
    async fn replayed(&self, replayed: Replayed) {
        let Replayed { session, principal, because, exchanged_at, device, at, is_certain } = replayed;
        let found = self.means.sessions.find(session).await;
        let record = match &found {
            Ok(Some(ListItem::Live(live))) => Some(&live.record),
            _ => None,
        };
        if !is_certain {
            // Exchanged at another node, or before a restart: whether it is the program that was proven has to do.
            let proven =
                record.and_then(|record| record.device.as_ref()).and_then(|device| device.user_agent());
            let present = device.as_ref().and_then(Device::user_agent);
            if record.is_none() || proven.is_none() || Kinship::between(proven, present).is_same_program() {
                return;
            }
        }
        let seen = self.detector.replay(session, exchanged_at, device.as_ref(), at);
        let recorded = record.and_then(|record| record.principal.as_ref()).map(|one| one.id().clone());
        let mut principal = recorded.or(principal);
        for finding in seen.findings {
            if finding.grade == Grade::End {
                match self.means.sessions.revoke(&Selector::One(session), because.clone()).await {
                    Ok(revoked) => {
                        let ended = revoked.ended.into_iter().find(|ended| ended.session == session);
                        principal = principal.or(ended.and_then(|ended| ended.principal));
                    }
                    Err(error) => {
                        // The next use of the token tries again.
                        tracing::error!(%error, "a session whose token was replayed could not be ended");
                        self.detector.untold(&finding);
                        continue;
                    }
                }
            }
            debug_assert_eq!(finding.signal, Signal::TokenReplayed, "the only thing that is asked for");
            let notice = Notice {
                session: Some(session),
                principal: principal.clone(),
                device: device.clone(),
                ..Notice::at(at)
            };
            self.tell(&finding, notice).await;
        }
    }
}

/// Enough to connect lines, not the whole.
fn masked_session(session: SessionId) -> String {
    session.to_string().chars().take(12).chain(['…']).collect()
}

fn masked_principal(principal: &PrincipalId) -> String {
    principal.as_str().chars().take(2).chain(['…']).collect()
}

pub(super) const SIGNALS: &str = "cloakroom_signals_total";
