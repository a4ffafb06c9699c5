//! Changes of what was looked at a moment ago: the look is saved, and nothing else.
//!
//! Where anything is not as it was, there is no answer, and the change takes the longer way.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{RekeyRequest, ReplaceRequest, Replaced};

use super::change::{Held, Keeping, held, is_same_session, limits, record_item};
use super::find::Located;
use crate::client::{Batch, Reply};
use crate::error::Problem;
use crate::layout::filed::{State, encode_live};
use crate::layout::ledger::{Ledger, Remains};
use crate::place::{Place, Sight, item};
use crate::recent::Glance;
use crate::servers::Call;

/// Swaps the record and asks whether its session lives, in one round trip. Whoever reads the ledger after the swap and
/// finds the session there knows that it lived when its record was swapped.
pub(super) async fn replace(
    call: Call<'_>,
    request: &ReplaceRequest<'_>,
    value: &[u8],
) -> Result<Option<Replaced>, Problem> {
    let Some((glance, place)) = glance(call, request.digest).await else { return Ok(None) };
    let lifetime = &request.record.lifetime;
    let is_plain = glance.record.version == request.version
        && limits(&glance.entry.lifetime) == limits(lifetime)
        && is_same_session(&glance.record.record, request.record)
        && is_open(&glance, call.now);
    if !is_plain {
        return Ok(None);
    }
    let new = record_item(request.record, value.to_vec(), call.now);
    let batch = Batch::default().swap(&place.keys.record(request.digest), glance.cas, new);
    let batch = batch.get(&place.keys.ledger(place.route)).get(&place.keys.epochs());
    call.stake.raise();
    let mut replies = match place.link.ask(batch).await {
        Ok(replies) => replies.into_iter(),
        Err(problem @ Problem::Refused { .. }) => {
            call.stake.lower();
            return Err(problem);
        }
        Err(problem) => return Err(problem),
    };
    if replies.next() != Some(Reply::Done) {
        call.stake.lower();
        return Ok(None);
    }
    call.stake.win();
    let mut next = || replies.next().map(item).transpose().map(Option::flatten);
    let scene = place.set(next()?, next()?)?;
    if scene.is_damaged() {
        return Err(Problem::Damaged("ledger"));
    }
    Ok(Some(match scene.entry(request.digest) {
        Some((entry, epochs)) => match entry.over(epochs, call.now) {
            None => Replaced::Done(request.version.next()),
            Some(tombstone) => Replaced::Ended(tombstone),
        },
        None => match scene.living().and_then(|(ledger, _)| ledger.parting(request.digest)) {
            Some(parting) if call.now < parting.keep_until => match &parting.what {
                Remains::Ended(tombstone) => Replaced::Ended(tombstone.clone()),
                Remains::Retired(retired) => Replaced::Retired(*retired),
            },
            _ => Replaced::Unknown,
        },
    }))
}

/// Reads the ledger, holds the record and files the new one, in one round trip; the ledger first, so that whoever lets go
/// of the record changes it after it was read.
pub(super) async fn hold<'a>(
    call: Call<'a>,
    request: &RekeyRequest<'_>,
    value: &[u8],
) -> Result<Option<(Located<'a>, Held)>, Problem> {
    let Some((glance, place)) = glance(call, request.old).await else { return Ok(None) };
    let is_plain = glance.record.version == request.version
        && request.old != request.new
        && is_same_session(&glance.record.record, request.record)
        && is_open(&glance, call.now);
    if !is_plain {
        return Ok(None);
    }
    let old = encode_live(&glance.record.record, glance.record.version, State::Held)?;
    let keeping = Keeping { cas: glance.cas, old: &glance.record.record, held: old };
    let batch = Batch::default().get(&place.keys.ledger(place.route)).get(&place.keys.epochs());
    let batch = keeping.ask(&place, batch, request, Some(value.to_vec()));
    let mut replies = place.link.ask(batch).await?.into_iter();
    let mut next = || replies.next().map(item).transpose().map(Option::flatten);
    let scene = place.set(next()?, next()?)?;
    let held = held(replies.as_slice());
    let lookup = cloakroom_store::Lookup::Unknown;
    let position = glance.position;
    Ok(Some((Located { position, place, sight: Sight::new(scene, None)?, lookup }, held)))
}

/// What was seen of a session, if the connection through which it was seen is still there.
async fn glance<'a>(call: Call<'a>, digest: TokenDigest) -> Option<(Glance, Place<'a>)> {
    let glance = call.servers.recent.take(digest)?;
    let place = call.servers.place(glance.position, digest.route()).await.ok()?;
    Arc::ptr_eq(&place.link, &glance.link).then_some((glance, place))
}

/// Whether the record could be swapped when it was seen, by somebody who asks now.
fn is_open(glance: &Glance, now: Timestamp) -> bool {
    glance.record.state == State::Open
        && limits(&glance.record.record.lifetime) == limits(&glance.entry.lifetime)
        && glance.entry.is_in_time(now)
}

/// Whether an exchange of a token may be listed in this ledger.
pub(super) fn is_ready(located: &Located<'_>, request: &RekeyRequest<'_>) -> bool {
    let Some((ledger, epochs)) = located.sight.scene.living() else { return false };
    let lives = |ledger: &Ledger| {
        let entry = ledger.by_digest(request.old);
        entry.is_some_and(|entry| entry.id == request.record.id && entry.over(epochs, request.now).is_none())
    };
    lives(ledger) && ledger.by_digest(request.new).is_none() && ledger.parting(request.new).is_none()
}
