//! What is sealed, as bytes.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenCore};
use cloakroom_store::{SealRefusal, SealedContents, Version, decode_record, encode_record};

/// The bytes of `contents`.
pub(crate) fn encode(contents: &SealedContents) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(contents.core.expose());
    bytes.extend_from_slice(&contents.version.as_u64().to_be_bytes());
    bytes.extend_from_slice(&contents.last_seen_at.as_millis().to_be_bytes());
    bytes.extend_from_slice(&contents.known.to_be_bytes());
    encode_record(&contents.record, &mut bytes).expect("a record of this version's types can be encoded");
    bytes
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<SealedContents, SealRefusal> {
    let (core, rest) = bytes.split_first_chunk().ok_or(SealRefusal::Format)?;
    let (version, rest) = rest.split_first_chunk().ok_or(SealRefusal::Format)?;
    let (seen, rest) = rest.split_first_chunk().ok_or(SealRefusal::Format)?;
    let (known, record) = rest.split_first_chunk().ok_or(SealRefusal::Format)?;
    Ok(SealedContents {
        record: Arc::new(decode_record(record).map_err(|_| SealRefusal::Format)?),
        version: Version::from_u64(u64::from_be_bytes(*version)),
        last_seen_at: Timestamp::from_millis(i64::from_be_bytes(*seen)),
        known: u64::from_be_bytes(*known),
        core: TokenCore::from_random(*core),
    })
}
