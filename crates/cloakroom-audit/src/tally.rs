//! What a batch adds to the counts beside the log.

use std::collections::BTreeMap;

use cloakroom_core::Timestamp;

use crate::AuditRow;

/// What a batch adds to the counts beside the log, and where in the log its minutes are: the same for every backend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// How often each thing happened: by the beginning of the minute, kind, and reason; no reason is the empty text.
    pub counts: BTreeMap<(Timestamp, String, String), u64>,
    /// The lowest and the highest number of each minute's events.
    pub minutes: BTreeMap<Timestamp, (u64, u64)>,
}

impl Tally {
    /// What `rows` add.
    #[must_use]
    pub fn of(rows: &[AuditRow]) -> Self {
        let mut tally = Self::default();
        for row in rows {
            let key = (row.minute(), row.event.clone(), row.reason.clone().unwrap_or_default());
            let count = tally.counts.entry(key).or_default();
            *count = count.saturating_add(row.times());
            let span = tally.minutes.entry(row.minute()).or_insert((row.seq, row.seq));
            *span = (span.0.min(row.seq), span.1.max(row.seq));
        }
        tally
    }
}
