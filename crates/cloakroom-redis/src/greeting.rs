//! What a store finds out about its servers before it uses them.

use cloakroom_store::{ListStanding, Place};

use crate::client::{Client, Progress};
use crate::ends;
use crate::error::Problem;
use crate::facts::{Information, may_evict_everything};
use crate::verb;

/// Whether the servers are what the options say, and can do what this store asks of them.
pub(crate) async fn greet(client: &Client, progress: &Progress) -> Result<(), Problem> {
    let Some(bucket) = client.layout.buckets().next() else { return Ok(()) };
    let node = client.topology.owner(bucket).await?;
    let information = Information::of(&node).await?;
    information.check(&node.host.to_string(), client.layout.is_clustered())?;
    // Whatever the user is not allowed to do shows now, not when somebody signs in.
    verb::ping_each(client, progress).await?;
    verb::count(client, progress).await?;
    Ok(())
}

/// The same for a list of ends; what can be relied on there.
pub(crate) async fn greet_list(client: &Client, progress: &Progress) -> Result<ListStanding, Problem> {
    let node = client.topology.owner(client.layout.bucket_of_ends()).await?;
    let information = Information::of(&node).await?;
    information.check(&node.host.to_string(), client.layout.is_clustered())?;
    ends::ping(client, progress).await?;
    ends::read(client, progress, Place::START, 1).await?;
    let may_be_evicted = information.field("maxmemory_policy").is_none_or(may_evict_everything);
    let durable = information.field("aof_enabled") == Some("1") && !may_be_evicted;
    Ok(ListStanding { durable, shared: true, tells: ends::is_told(client, &node).await? })
}

impl Information {
    fn check(&self, address: &str, is_clustered: bool) -> Result<(), Problem> {
        let version = self.field("redis_version").unwrap_or("unknown");
        let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
        if major.is_none_or(|major| major < OLDEST_MAJOR) {
            return Err(Problem::Unusable(format!(
                "{address} is of version {version}: Cloakroom needs Redis {OLDEST_MAJOR}.0 or later, or Valkey"
            )));
        }
        match (self.field("cluster_enabled") == Some("1"), is_clustered) {
            (true, false) => Err(Problem::Unusable(format!(
                "{address} is a node of a Cluster: write redis+cluster:// with the addresses of its nodes"
            ))),
            (false, true) => {
                Err(Problem::Unusable(format!("{address} is no node of a Cluster: write redis:// instead")))
            }
            _ => Ok(()),
        }
    }
}

/// The first with scripts that say what they may do, and that are let through while memory is full because of it.
const OLDEST_MAJOR: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, cluster: &str, is_clustered: bool) -> Result<(), String> {
        let text =
            format!("# Server\r\nredis_version:{version}\r\n# Cluster\r\ncluster_enabled:{cluster}\r\n");
        Information(text).check("here", is_clustered).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_server_that_cannot_be_used_is_named_with_the_reason() {
        assert_eq!(check("7.0.15", "0", false), Ok(()));
        assert_eq!(check("8.2.1", "1", true), Ok(()));
        assert!(check("6.2.14", "0", false).unwrap_err().contains("6.2.14"));
        assert!(check("", "0", false).is_err());
        assert!(check("7.2.4", "1", false).unwrap_err().contains("redis+cluster://"));
        assert!(check("7.2.4", "0", true).unwrap_err().contains("redis://"));
    }
}
