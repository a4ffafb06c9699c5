//! Ending by decision.

use cloakroom_core::{EndReason, Route, Timestamp};
use cloakroom_store::{EndRequest, Ended, Ending, Selector};

use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::map::{self, instant};
use crate::nonce::Nonces;
use crate::script;

pub(crate) async fn end(
    client: &Client,
    progress: &Progress,
    nonces: &Nonces,
    request: EndRequest<'_>,
) -> Result<Ending, Problem> {
    let EndRequest { selector, reason, now } = request;
    let (route, one, principal, except) = match selector {
        Selector::One(session) => (session.route(), Some(*session), "", None),
        Selector::Principal { principal, except } => {
            (Route::of_principal(principal), None, principal.as_str(), *except)
        }
        Selector::IssuedBefore(instant) => {
            return end_many(client, progress, nonces, Some(*instant), reason, now).await;
        }
        Selector::All => return end_many(client, progress, nonces, None, reason, now).await,
        _ => return Err(Problem::Misuse("a selector that this store does not know")),
    };
    let id = |session: Option<cloakroom_core::SessionId>| {
        session.map_or_else(Vec::new, |session| session.as_bytes().to_vec())
    };
    let call = Call {
        bucket: client.layout.bucket(route),
        script: &script::END,
        arguments: vec![
            instant(now).to_vec(),
            reason.as_str().as_bytes().to_vec(),
            id(one),
            principal.as_bytes().to_vec(),
            id(except),
            format!("{:02x}", cloakroom_store::Parts::number_of(route)).into_bytes(),
        ],
        lane: client.durable(),
    };
    let mut parts = client.call(progress, &call).await?.parts()?;
    let mut ended: Vec<Ended> = Vec::new();
    while let Some(tombstone) = parts.bytes()? {
        ended.push(map::ended(&tombstone)?);
    }
    Ok(Ending { ended, swept_later: 0 })
}

/// Ends everything in every bucket, or everything issued before an instant: one small write for each bucket, however many
/// sessions there are.
async fn end_many(
    client: &Client,
    progress: &Progress,
    nonces: &Nonces,
    issued_before: Option<Timestamp>,
    reason: EndReason,
    now: Timestamp,
) -> Result<Ending, Problem> {
    let call = |bucket| Call {
        bucket,
        script: &script::END_MANY,
        arguments: vec![
            instant(now).to_vec(),
            reason.as_str().as_bytes().to_vec(),
            issued_before.map_or_else(Vec::new, |at| instant(at).to_vec()),
            nonces.fresh().to_vec(),
        ],
        lane: client.durable(),
    };
    let calls: Vec<Call> = client.layout.buckets().map(call).collect();
    let mut swept_later = 0_u64;
    for answer in client.call_all(progress, &calls).await? {
        swept_later = swept_later.saturating_add(answer.number()?);
    }
    Ok(Ending { ended: Vec::new(), swept_later })
}
