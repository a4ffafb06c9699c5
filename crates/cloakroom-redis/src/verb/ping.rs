//! Whether the servers can be written to.

use std::sync::Arc;

use cloakroom_core::Timestamp;

use crate::answer::Parts;
use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::node::{Lane, Node};
use crate::script;

/// Writes on every server that keeps sessions; the reading of the first one's clock.
pub(crate) async fn ping(client: &Client, progress: &Progress) -> Result<Option<Timestamp>, Problem> {
    let (mut nodes, mut calls): (Vec<Arc<Node>>, Vec<Call>) = (Vec::new(), Vec::new());
    for bucket in client.layout.buckets() {
        let node = client.topology.node(bucket).await?;
        if !nodes.iter().any(|other| Arc::ptr_eq(other, &node)) {
            nodes.push(node);
            calls.push(Call { bucket, script: &script::PING, arguments: Vec::new(), lane: Lane::Commands });
        }
    }
    let mut first = None;
    for answer in client.call_all(progress, &calls).await? {
        let time = clock(answer.parts()?)?;
        first.get_or_insert(time);
    }
    Ok(first)
}

/// Seconds and microseconds, as texts.
pub(crate) fn clock(mut parts: Parts) -> Result<Timestamp, Problem> {
    let mut number = || parts.word()?.parse::<i64>().map_err(|_| Problem::Answer("TIME"));
    let (seconds, micros) = (number()?, number()?);
    Ok(Timestamp::from_millis(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
}
