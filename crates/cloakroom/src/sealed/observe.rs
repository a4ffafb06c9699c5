//! What the sealed half tells about itself.

use cloakroom_store::SealRefusal;
use metrics::Counter;

use crate::observe::Validated;

/// Its metrics, looked up once.
#[derive(Debug)]
pub(super) struct SealedMetrics {
    pub(super) validated: Validated,
    refused: Vec<(SealRefusal, Counter)>,
}

impl SealedMetrics {
    pub(super) fn new() -> Self {
        let refused =
            |refusal: SealRefusal| (refusal, metrics::counter!(REFUSED, "reason" => refusal.as_str()));
        Self { validated: Validated::from("sealed"), refused: REFUSALS.into_iter().map(refused).collect() }
    }

    #[cold]
    pub(super) fn refused(&self, refusal: SealRefusal) {
        self.validated.unknown.increment(1);
        match self.refused.iter().find(|(of, _)| *of == refusal) {
            Some((_, counter)) => counter.increment(1),
            None => metrics::counter!(REFUSED, "reason" => refusal.as_str()).increment(1),
        }
    }
}

/// Describes the metrics of sealed sessions.
pub(crate) fn describe() {
    metrics::describe_counter!(REFUSED, "Sealed tokens that were not opened, by reason");
    super::mirror::describe();
}

const REFUSED: &str = "cloakroom_sealed_refused_total";
const REFUSALS: [SealRefusal; 5] = [
    SealRefusal::Malformed,
    SealRefusal::UnknownKey,
    SealRefusal::ExpiredKey,
    SealRefusal::Forged,
    SealRefusal::Format,
];
