//! Writing activity down.

use std::collections::BTreeMap;

use cloakroom_core::Timestamp;
use cloakroom_store::{Touch, TouchReport};

use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::keys::{Bucket, digest_text};
use crate::map::instant;
use crate::node::Lane;
use crate::script;

pub(crate) async fn touch(
    client: &Client,
    progress: &Progress,
    touches: &[Touch],
    now: Timestamp,
) -> Result<TouchReport, Problem> {
    let mut by_bucket: BTreeMap<Bucket, Vec<Touch>> = BTreeMap::new();
    for touch in touches {
        by_bucket.entry(client.layout.bucket(touch.digest.route())).or_default().push(*touch);
    }
    let mut calls = Vec::new();
    for (bucket, mut touches) in by_bucket {
        // Those of the same session stay in their order, and together.
        touches.sort_by_key(|touch| touch.digest);
        for batch in touches.chunk_by(|one, next| one.digest == next.digest).collect::<Vec<_>>().chunks(BATCH)
        {
            let mut arguments = vec![instant(now).to_vec()];
            for Touch { digest, seen_at } in batch.iter().copied().flatten() {
                arguments.push(digest_text(*digest).into_bytes());
                arguments.push(instant(*seen_at).to_vec());
            }
            calls.push(Call { bucket, script: &script::TOUCH, arguments, lane: Lane::Commands });
        }
    }
    let mut report = TouchReport::default();
    for answer in client.call_all(progress, &calls).await? {
        let mut parts = answer.parts()?;
        report.touched += count(parts.number()?);
        report.ignored += count(parts.number()?);
    }
    Ok(report)
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Sessions in one script call: the server does nothing else for some milliseconds.
const BATCH: usize = 500;
