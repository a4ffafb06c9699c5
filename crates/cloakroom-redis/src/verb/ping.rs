//! Whether the servers can be written to.

use std::sync::Arc;

use cloakroom_core::Timestamp;
use futures_util::future::try_join_all;
use redis::{Pipeline, Value};

use crate::client::Client;
use crate::error::Problem;
use crate::keys::Bucket;
use crate::node::{Lane, Node};

/// Writes on every server that keeps sessions; the reading of the first one's clock.
pub(crate) async fn ping(client: &Client) -> Result<Option<Timestamp>, Problem> {
    let mut asked: Vec<(Bucket, Arc<Node>)> = Vec::new();
    for bucket in client.layout.buckets() {
        let node = client.topology.node(bucket).await?;
        if !asked.iter().any(|(_, other)| Arc::ptr_eq(other, &node)) {
            asked.push((bucket, node));
        }
    }
    let answers = asked.iter().map(|(bucket, node)| ping_one(client, *bucket, node));
    Ok(try_join_all(answers).await?.into_iter().next())
}

async fn ping_one(client: &Client, bucket: Bucket, node: &Arc<Node>) -> Result<Timestamp, Problem> {
    let link = node.link(Lane::Commands);
    let lost = |problem| {
        client.topology.lost(node);
        problem
    };
    let mut connection = link.connection().await.map_err(lost)?;
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("SET").arg(client.layout.key(bucket, "ping", "written")).arg(1);
    pipeline.cmd("TIME");
    let answers = connection.ask_all(&pipeline, 2).await.map_err(|error| {
        link.give_up(&connection);
        lost(link.problem(error))
    })?;
    let mut answers = answers.into_iter().map(Value::extract_error);
    if let Some(Err(error)) = answers.next() {
        // It may have become a replica, or serve this bucket no more.
        return Err(lost(link.problem(error)));
    }
    let Some(Ok(Value::Array(time))) = answers.next() else { return Err(Problem::Answer("TIME")) };
    let mut numbers = time.into_iter().map(|value| match value {
        Value::BulkString(bytes) => {
            std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<i64>().ok())
        }
        _ => None,
    });
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(seconds), Some(micros)) => {
            Ok(Timestamp::from_millis(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
        }
        _ => Err(Problem::Answer("TIME")),
    }
}
