//! Damaging a record behind the store's back.

use cloakroom_core::TokenDigest;
use redis::aio::MultiplexedConnection;
use redis::{Client, Value, cmd};

/// Puts bytes that are no record in the place of the one filed under `digest`, on whichever server it is.
pub(crate) async fn damage(url: &str, prefix: &str, digest: TokenDigest) {
    let text = text(digest);
    for server in servers(url).await {
        let mut connection = connect(&server).await;
        let tag = if url.contains("cluster") {
            format!("{{{:02x}}}:", digest.to_bytes()[0])
        } else {
            String::new()
        };
        let key = format!("{prefix}:record:{tag}{text}");
        let exists: Result<i64, _> = cmd("EXISTS").arg(&key).query_async(&mut connection).await;
        if exists != Ok(1) {
            // Another node has it, or this is a replica.
            continue;
        }
        let done: Result<Value, _> =
            cmd("SET").arg(&key).arg("no record").arg("KEEPTTL").query_async(&mut connection).await;
        if done.is_ok() {
            return;
        }
    }
    panic!("the digest names a session");
}

async fn connect(address: &str) -> MultiplexedConnection {
    let client = Client::open(format!("redis://{address}")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The addresses of the servers that keep sessions.
async fn servers(url: &str) -> Vec<String> {
    let (_, rest) = url.split_once("://").unwrap();
    let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if !url.starts_with("redis+sentinel") {
        return hosts;
    }
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let (host, port): (String, u16) = question.query_async(&mut connect(&hosts[0]).await).await.unwrap();
    vec![format!("{host}:{port}")]
}

/// A digest as base64url.
fn text(digest: TokenDigest) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in digest.to_bytes() {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            text.push(char::from(LETTERS[(bits >> count & 63) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(LETTERS[(bits << (6 - count) & 63) as usize]));
    }
    text
}
