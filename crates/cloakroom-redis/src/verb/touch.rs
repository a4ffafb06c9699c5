//! Writing activity down.

use std::collections::{BTreeMap, HashSet};

use cloakroom_core::Timestamp;
use cloakroom_store::{PartlyNoted, StoreError, Touch, TouchReport, Verb};

use crate::answer::Answer;
use crate::client::{Call, Client};
use crate::error::Problem;
use crate::keys::{Bucket, digest_text};
use crate::map::instant;
use crate::node::Lane;
use crate::script;

/// Each server by itself: where one is away, the activity of sessions that others keep is noted all the same.
pub(crate) async fn touch(
    client: &Client,
    touches: &[Touch],
    now: Timestamp,
) -> Result<TouchReport, StoreError> {
    let (calls, touched) = calls(client, touches, now);
    let (mut report, mut missed, mut failure) = (TouchReport::default(), HashSet::new(), None);
    for outcome in client.call_each(Verb::Touch, &calls).await? {
        let counted = outcome.answers.and_then(|answers| {
            answers.into_iter().try_fold(report, add).map_err(|problem| problem.into_error(Verb::Touch))
        });
        match counted {
            Ok(sum) => report = sum,
            Err(error) => {
                let of_these = outcome.positions.iter().filter_map(|position| touched.get(*position));
                missed.extend(of_these.flatten().map(|touch| touch.digest));
                failure = failure.or(Some(error));
            }
        }
    }
    let Some(error) = failure else { return Ok(report) };
    let is_noted = touches.iter().any(|touch| !missed.contains(&touch.digest));
    let error = if is_noted { error.maybe_applied() } else { error };
    Err(if is_noted || error.is_of_a_part() {
        error.partly_noted(PartlyNoted { report, missed })
    } else {
        error
    })
}

/// What to call, and whose activity each call notes.
fn calls(client: &Client, touches: &[Touch], now: Timestamp) -> (Vec<Call>, Vec<Vec<Touch>>) {
    let mut by_bucket: BTreeMap<Bucket, Vec<Touch>> = BTreeMap::new();
    for touch in touches {
        by_bucket.entry(client.layout.bucket(touch.digest.route())).or_default().push(*touch);
    }
    let (mut calls, mut touched) = (Vec::new(), Vec::new());
    for (bucket, mut touches) in by_bucket {
        // Those of the same session stay in their order, and together.
        touches.sort_by_key(|touch| touch.digest);
        for batch in touches.chunk_by(|one, next| one.digest == next.digest).collect::<Vec<_>>().chunks(BATCH)
        {
            let batch = batch.concat();
            let mut arguments = vec![instant(now).to_vec()];
            for Touch { digest, seen_at } in &batch {
                arguments.push(digest_text(*digest).into_bytes());
                arguments.push(instant(*seen_at).to_vec());
            }
            calls.push(Call { bucket, script: &script::TOUCH, arguments, lane: Lane::Commands });
            touched.push(batch);
        }
    }
    (calls, touched)
}

fn add(report: TouchReport, answer: Answer) -> Result<TouchReport, Problem> {
    let mut parts = answer.parts()?;
    Ok(TouchReport {
        touched: report.touched.saturating_add(count(parts.number()?)),
        ignored: report.ignored.saturating_add(count(parts.number()?)),
    })
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Sessions in one script call: the server does nothing else for some milliseconds.
const BATCH: usize = 500;
