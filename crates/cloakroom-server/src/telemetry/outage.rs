//! One log line when a collector goes away, one when it is back.

/// Whether a collector takes what it is sent.
#[derive(Debug)]
pub(super) struct Outage {
    what: &'static str,
    lost: Option<u64>,
}

impl Outage {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, lost: None }
    }

    /// It was sent something and took it, or did not: then so many things are lost.
    pub(super) fn note<E: std::fmt::Display>(&mut self, sent: &Result<(), E>, things: u64) {
        let what = self.what;
        match (sent, &mut self.lost) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                tracing::info!(
                    event = "telemetry_resumed",
                    what,
                    lost,
                    "the collector takes telemetry again"
                );
                self.lost = None;
            }
            (Err(_), Some(lost)) => *lost = lost.saturating_add(things),
            (Err(error), lost @ None) => {
                *lost = Some(things);
                tracing::warn!(event = "telemetry_failed", what, cause = %error, "the collector does not take telemetry");
            }
        }
    }
}
