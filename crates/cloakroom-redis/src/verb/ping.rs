//! Whether the servers can be written to.

use std::sync::Arc;

use cloakroom_core::Timestamp;

use crate::answer::Parts;
use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::keys::Bucket;
use crate::node::{Lane, Node};
use crate::script;

/// Writes on whichever server answers first; the reading of its clock.
///
/// A Cluster of which one primary is away can be written to: whose sessions are elsewhere are served.
pub(crate) async fn ping(client: &Client, progress: &Progress) -> Result<Option<Timestamp>, Problem> {
    let calls: Vec<Call> = client.layout.buckets().map(call).collect();
    clock(client.call_any(progress, &calls).await?.parts()?).map(Some)
}

/// Writes on every server that keeps sessions: whoever begins to use them finds out here what is not allowed.
pub(crate) async fn ping_each(client: &Client, progress: &Progress) -> Result<(), Problem> {
    let buckets: Vec<Bucket> = client.layout.buckets().collect();
    let owners = client.topology.owners(&buckets).await?;
    let (mut nodes, mut calls): (Vec<Arc<Node>>, Vec<Call>) = (Vec::new(), Vec::new());
    for (bucket, owner) in buckets.into_iter().zip(owners) {
        let node = owner.ok_or_else(|| Problem::Uncovered { bucket: bucket.text() })?;
        if !nodes.iter().any(|other| Arc::ptr_eq(other, &node)) {
            nodes.push(node);
            calls.push(call(bucket));
        }
    }
    for answer in client.call_all(progress, &calls).await? {
        clock(answer.parts()?)?;
    }
    Ok(())
}

fn call(bucket: Bucket) -> Call {
    Call { bucket, script: &script::PING, arguments: Vec::new(), lane: Lane::Commands }
}

/// Seconds and microseconds, as texts.
pub(crate) fn clock(mut parts: Parts) -> Result<Timestamp, Problem> {
    let mut number = || parts.word()?.parse::<i64>().map_err(|_| Problem::Answer("TIME"));
    let (seconds, micros) = (number()?, number()?);
    Ok(Timestamp::from_millis(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
}
