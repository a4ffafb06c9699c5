//! Connections to servers behind a store's back.

use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};

pub(crate) async fn connect(address: &str) -> MultiplexedConnection {
    let client = Client::open(format!("redis://{address}")).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a server that runs")
}

/// The addresses of the servers that keep sessions.
pub(crate) async fn servers(url: &str) -> Vec<String> {
    let (_, rest) = url.split_once("://").expect("a URL");
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if !url.starts_with("redis+sentinel") {
        return hosts;
    }
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let mut sentinel = connect(hosts.first().expect("a sentinel")).await;
    let (host, port): (String, u16) = question.query_async(&mut sentinel).await.expect("a known primary");
    vec![format!("{host}:{port}")]
}
