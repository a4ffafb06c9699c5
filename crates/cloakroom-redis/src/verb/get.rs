//! Finding one session by its digest.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::Lookup;

use crate::answer::Parts;
use crate::client::{Call, Client, Progress};
use crate::epoch::Epoch;
use crate::error::Problem;
use crate::keys::digest_text;
use crate::map::Found;
use crate::node::Lane;
use crate::script;

pub(crate) async fn get(
    client: &Client,
    progress: &Progress,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<Lookup, Problem> {
    let call = Call {
        bucket: client.layout.bucket(digest.route()),
        script: &script::GET,
        arguments: vec![digest_text(digest).into_bytes()],
        lane: Lane::Commands,
    };
    let (found, epoch) = found(client.call(progress, &call).await?.parts()?)?;
    Ok(found.fate(epoch.as_ref(), now)?.into())
}

/// What there is under a digest, and the epoch it is to be judged by.
pub(super) fn found(mut parts: Parts) -> Result<(Found, Option<Epoch>), Problem> {
    let found = parts.found()?;
    let epoch = parts.bytes()?.as_deref().map(Epoch::read).transpose()?;
    Ok((found, epoch))
}
