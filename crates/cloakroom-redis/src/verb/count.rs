//! Counting sessions.

use cloakroom_store::Counts;

use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::node::Lane;
use crate::script;

pub(crate) async fn count(client: &Client, progress: &Progress) -> Result<Counts, Problem> {
    let call = |bucket| Call { bucket, script: &script::COUNT, arguments: Vec::new(), lane: Lane::Commands };
    let calls: Vec<Call> = client.layout.buckets().map(call).collect();
    let mut counts = Counts::default();
    for answer in client.call_all(progress, &calls).await? {
        let mut parts = answer.parts()?;
        counts.anonymous += parts.number()?;
        counts.signed_in += parts.number()?;
        counts.tombstones += parts.number()?;
    }
    Ok(counts)
}
