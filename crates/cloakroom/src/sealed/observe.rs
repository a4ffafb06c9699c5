//! What the sealed half tells about itself.

use cloakroom_store::SealRefusal;
use metrics::Counter;

use crate::observe::Validated;

/// Its metrics, looked up once.
#[derive(Debug)]
pub(super) struct SealedMetrics {
    pub(super) validated: Validated,
    refused: Vec<(SealRefusal, Counter)>,
    ahead: Counter,
    /// Ends of one session that were an end of all that its principal had.
    pub(super) widened: Counter,
}

impl SealedMetrics {
    pub(super) fn new() -> Self {
        let refused =
            |refusal: SealRefusal| (refusal, metrics::counter!(REFUSED, "reason" => refusal.as_str()));
        Self {
            validated: Validated::from("sealed"),
            refused: REFUSALS.into_iter().map(refused).collect(),
            ahead: metrics::counter!(REFUSED, "reason" => "ahead"),
            widened: metrics::counter!(WIDENED),
        }
    }

    /// A token that was opened, and cannot be judged: it is from a future that this node does not know.
    #[cold]
    pub(super) fn ahead(&self) {
        self.validated.failed.increment(1);
        self.ahead.increment(1);
    }

    #[cold]
    pub(super) fn refused(&self, refusal: SealRefusal) {
        let undecided = refusal == SealRefusal::Undecided;
        if undecided { &self.validated.failed } else { &self.validated.unknown }.increment(1);
        match self.refused.iter().find(|(of, _)| *of == refusal) {
            Some((_, counter)) => counter.increment(1),
            None => metrics::counter!(REFUSED, "reason" => refusal.as_str()).increment(1),
        }
    }
}

/// Describes the metrics of sealed sessions.
pub(crate) fn describe() {
    metrics::describe_counter!(
        REFUSED,
        "Sealed tokens that were not opened, by reason; not yet, where the keys could not be read: undecided; or opened and not judged: ahead of this node's clock, or of the list"
    );
    metrics::describe_counter!(
        WIDENED,
        "Ends of one sealed session that ended all sessions of its principal, who has ended too many one by one"
    );
    super::mirror::describe();
}

const REFUSED: &str = "cloakroom_sealed_refused_total";
const WIDENED: &str = "cloakroom_sealed_widened_total";
const REFUSALS: [SealRefusal; 6] = [
    SealRefusal::Malformed,
    SealRefusal::UnknownKey,
    SealRefusal::ExpiredKey,
    SealRefusal::Forged,
    SealRefusal::Format,
    SealRefusal::Undecided,
];
