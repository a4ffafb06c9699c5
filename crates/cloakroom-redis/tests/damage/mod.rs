//! Damaging a record behind the store's back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::TokenDigest;
use redis::{Value, cmd};

use super::reach::{connect, servers};

/// Puts bytes that are no record in the place of the one filed under `digest`, on whichever server it is.
pub(crate) async fn damage(url: &str, prefix: &str, digest: TokenDigest) {
    let mut text = [0; 46];
    URL_SAFE_NO_PAD.encode_slice(digest.to_bytes(), &mut text).expect("34 bytes are 46 letters");
    let text = std::str::from_utf8(&text).expect("base64url is ASCII");
    let [bucket, ..] = digest.to_bytes();
    for server in servers(url).await {
        let mut connection = connect(&server).await;
        let tag = if url.contains("cluster") { format!("{{{bucket:02x}}}:") } else { String::new() };
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
