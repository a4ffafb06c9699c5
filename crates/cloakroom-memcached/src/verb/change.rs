//! Replacing a record, with or without its token.

use std::time::Duration;

use cloakroom_core::{Lifetime, SessionRecord, Timestamp, TokenDigest};
use cloakroom_store::{Live, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Retired};

use super::find::{Located, locate};
use super::settle::Settling;
use crate::client::{Batch, Expiry, Item, Reply};
use crate::error::Problem;
use crate::layout::filed::{State, encode_live};
use crate::layout::ledger::{Parting, Remains};
use crate::place::Place;
use crate::servers::Call;
use crate::stake::Stake;

/// Replaces a record by a swap of its item. Where that comes after an end that came after the look, it changes what
/// nobody sees any more: the same as if it had come before.
pub(crate) async fn replace(call: Call<'_>, request: ReplaceRequest<'_>) -> Result<Replaced, Problem> {
    let next = request.version.next();
    let value = encode_live(request.record, next, State::Open)?;
    loop {
        let located = match present(call, request.digest).await? {
            Present::Live(located, live) if live.version == request.version => {
                same_session(&live, request.record)?;
                located
            }
            Present::Live(_, live) => return Ok(Replaced::Conflict(live)),
            Present::Not(Lookup::Ended(tombstone)) => return Ok(Replaced::Ended(tombstone)),
            Present::Not(Lookup::Retired(retired)) => return Ok(Replaced::Retired(retired)),
            Present::Not(_) => return Ok(Replaced::Unknown),
        };
        if !let_go(&located, call.now).await? {
            continue;
        }
        let Some((_, cas)) = located.sight.record() else { continue };
        let key = located.place.keys.record(request.digest);
        let item = item(request.record, value.clone(), call.now);
        if !located.place.write(Batch::default().swap(&key, cas, item), call.stake).await? {
            continue;
        }
        let listed = located.sight.scene.entry(request.digest).map(|(entry, _)| entry.lifetime);
        if listed.is_some_and(|listed| limits(&listed) != limits(&request.record.lifetime)) {
            list_lifetime(&located.place, request.digest, call).await?;
        }
        return Ok(Replaced::Done(next));
    }
}

/// Exchanges a token.
///
/// The record is held, so that nobody replaces it; it is filed under the new digest, where nobody sees it; then one swap
/// of the ledger makes the new digest the session's and retires the old one. The swap is of the ledger as it was before
/// the record was held: whoever lets go of a record that is held changes the ledger first.
pub(crate) async fn rekey(call: Call<'_>, request: RekeyRequest<'_>) -> Result<Rekeyed, Problem> {
    let RekeyRequest { old, new, version, record, now } = request;
    if old.route() != new.route() {
        return Err(Problem::Misuse("digests of different routes"));
    }
    let value = encode_live(record, version.next(), State::Open)?;
    let mut filed = None;
    let (home, _) = call.servers.order(old.route());
    let turn = call.servers.turn(home, old.route()).await;
    let answer = loop {
        let (located, live) = match present(call, old).await? {
            Present::Live(located, live) if live.version == version => {
                same_session(&live, record)?;
                (located, live)
            }
            Present::Live(_, live) => break Rekeyed::Conflict(live),
            Present::Not(Lookup::Ended(tombstone)) => break Rekeyed::Ended(tombstone),
            Present::Not(Lookup::Retired(retired)) => break Rekeyed::Retired(retired),
            Present::Not(_) => break Rekeyed::Unknown,
        };
        let Some((ledger, _)) = located.sight.scene.living() else { continue };
        if ledger.by_digest(new).is_some() || ledger.parting(new).is_some() {
            break Rekeyed::AlreadyExists;
        }
        match hold(&located, &live, &request, filed.is_none().then(|| value.clone())).await? {
            Held::Yes => {}
            Held::Taken => break Rekeyed::AlreadyExists,
            Held::No { is_filed } => {
                if is_filed {
                    filed.get_or_insert(located.place);
                }
                continue;
            }
        }
        let mut ledger = ledger.clone();
        let Some(entry) = ledger.entries.iter_mut().find(|entry| entry.digest == old) else { continue };
        entry.digest = new;
        entry.last_seen_at = entry.last_seen_at.max(now.min(record.lifetime.absolute_expires_at));
        entry.lifetime = record.lifetime;
        let what = Remains::Retired(Retired { session: record.id, rotated_at: now });
        let keep_until = now.plus(record.lifetime.tombstone_retention);
        ledger.partings.push(Parting { digest: old, what, keep_until });
        if located.place.commit(&located.sight.scene, &ledger, now, call.stake).await? {
            Settling::begin(call.servers, located.position, located.place.route, now);
            return Ok(Rekeyed::Done(version.next()));
        }
        filed.get_or_insert(located.place);
    };
    drop(turn);
    if let Some(place) = filed {
        withdraw(&place, new, &value).await;
    }
    Ok(answer)
}

/// A session as a change finds it.
enum Present<'a> {
    Live(Box<Located<'a>>, Live),
    Not(Lookup),
}

async fn present<'a>(call: Call<'a>, digest: TokenDigest) -> Result<Present<'a>, Problem> {
    Ok(match locate(call, digest).await? {
        Some(Located { lookup: Lookup::Live(live), position, place, sight }) => {
            let lookup = Lookup::Unknown;
            Present::Live(Box::new(Located { position, place, sight, lookup }), live)
        }
        Some(located) => Present::Not(located.lookup),
        None => Present::Not(Lookup::Unknown),
    })
}

/// How holding a record went.
enum Held {
    Yes,
    /// The new digest is somebody else's.
    Taken,
    /// The record has changed meanwhile.
    No {
        is_filed: bool,
    },
}

/// Holds the record, and files `value` under the new digest where that has not been done, in one round trip.
async fn hold(
    located: &Located<'_>,
    live: &Live,
    request: &RekeyRequest<'_>,
    value: Option<Vec<u8>>,
) -> Result<Held, Problem> {
    let Some((_, cas)) = located.sight.record() else { return Ok(Held::No { is_filed: false }) };
    let keys = located.place.keys;
    let held = encode_live(&live.record, live.version, State::Held)?;
    let mut batch =
        Batch::default().swap(&keys.record(request.old), cas, item(&live.record, held, request.now));
    if let Some(value) = value {
        batch = batch.add(&keys.record(request.new), item(request.record, value, request.now));
    }
    Ok(match located.place.link.ask(batch).await?.as_slice() {
        [_, Reply::NotStored] => Held::Taken,
        [Reply::Done] | [Reply::Done, Reply::Done] => Held::Yes,
        [_, Reply::Done] => Held::No { is_filed: true },
        _ => Held::No { is_filed: false },
    })
}

/// Makes sure that no exchange of this session's token that was begun will come to its end; whether it is so.
async fn let_go(located: &Located<'_>, now: Timestamp) -> Result<bool, Problem> {
    match (located.sight.record(), located.sight.scene.living()) {
        (Some((record, _)), Some((ledger, _))) if record.state == State::Held => {
            located.place.commit(&located.sight.scene, ledger, now, &Stake::default()).await
        }
        _ => Ok(true),
    }
}

/// Makes the ledger judge by the lifetime that the record has. Until then a session is over where either says so.
async fn list_lifetime(place: &Place<'_>, digest: TokenDigest, call: Call<'_>) -> Result<(), Problem> {
    loop {
        let sight = place.sight(digest).await?;
        let (Some((record, _)), Some((ledger, _))) = (sight.record(), sight.scene.living()) else {
            return Ok(());
        };
        let mut ledger = ledger.clone();
        let Some(entry) = ledger.entries.iter_mut().find(|entry| entry.digest == digest) else {
            return Ok(());
        };
        entry.lifetime = record.record.lifetime;
        if place.commit(&sight.scene, &ledger, call.now, call.stake).await? {
            return Ok(());
        }
    }
}

/// Removes a record that was filed for an exchange that came to nothing.
async fn withdraw(place: &Place<'_>, digest: TokenDigest, value: &[u8]) {
    let key = place.keys.record(digest);
    if let Ok([Some(found)]) = place.read([key.clone()]).await
        && found.value == value
    {
        // What stays where this fails is never listed, and leaves when it expires.
        let _ = place.link.ask(Batch::default().delete(&key, found.cas)).await;
    }
}

fn same_session(live: &Live, record: &SessionRecord) -> Result<(), Problem> {
    let names = |record: &SessionRecord| record.principal.as_ref().map(|principal| principal.id().clone());
    let found = &live.record;
    if (found.id, found.created_at, names(found)) == (record.id, record.created_at, names(record)) {
        Ok(())
    } else {
        Err(Problem::Misuse("the record of another session"))
    }
}

fn item(record: &SessionRecord, value: Vec<u8>, now: Timestamp) -> Item {
    let kept_until = record.lifetime.absolute_expires_at.plus(record.lifetime.tombstone_retention);
    Item { value, expiry: Expiry::after(kept_until.since(now)), flags: 0 }
}

/// What a judgement looks at, as precisely as it is kept.
fn limits(lifetime: &Lifetime) -> (u128, Timestamp, u128) {
    let millis = |duration: Duration| duration.as_millis().min(u128::from(u64::MAX));
    (millis(lifetime.idle_timeout), lifetime.absolute_expires_at, millis(lifetime.tombstone_retention))
}
