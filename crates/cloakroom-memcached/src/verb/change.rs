//! Replacing a record, with or without its token.

use std::time::Duration;

use cloakroom_core::{Lifetime, SessionRecord, Timestamp, TokenDigest};
use cloakroom_store::{Live, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Retired};

use super::desk::record_expiry;
use super::find::{Located, locate};
use super::quick;
use super::settle::Settling;
use crate::client::{Batch, Cas, Item, Reply};
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
    if let Some(answer) = quick::replace(call, &request, &value).await? {
        return Ok(answer);
    }
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
        let item = record_item(request.record, value.clone(), call.now);
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
    let RekeyRequest { old, new, version, record, .. } = request;
    if old.route() != new.route() {
        return Err(Problem::Misuse("digests of different routes"));
    }
    let value = encode_live(record, version.next(), State::Open)?;
    let mut filed = None;
    let (home, _) = call.servers.order(old.route());
    let turn = call.servers.turn(home, old.route()).await;
    if let Some((located, held)) = quick::hold(call, &request, &value).await? {
        let is_filed = matches!(held, Held::Yes | Held::No { is_filed: true });
        let is_held = matches!(held, Held::Yes) && quick::is_ready(&located, &request);
        if is_held && list(call, &located, &request).await? {
            return Ok(Rekeyed::Done(version.next()));
        }
        filed = is_filed.then_some(located.place);
    }
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
        if list(call, &located, &request).await? {
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

/// Makes the new digest the session's, in the ledger as it was before the record was held; whether it still was that.
async fn list(call: Call<'_>, located: &Located<'_>, request: &RekeyRequest<'_>) -> Result<bool, Problem> {
    let RekeyRequest { old, new, record, now, .. } = *request;
    let Some((ledger, _)) = located.sight.scene.living() else { return Ok(false) };
    let mut ledger = ledger.clone();
    let Some(entry) = ledger.entries.iter_mut().find(|entry| entry.digest == old) else { return Ok(false) };
    entry.digest = new;
    entry.last_seen_at = entry.last_seen_at.max(now.min(record.lifetime.absolute_expires_at));
    entry.lifetime = record.lifetime;
    let what = Remains::Retired(Retired { session: record.id, rotated_at: now });
    let keep_until = now.plus(record.lifetime.tombstone_retention);
    ledger.partings.push(Parting { digest: old, what, keep_until });
    let is_listed = located.place.commit(&located.sight.scene, &ledger, now, call.stake).await?;
    if is_listed {
        Settling::begin(call.servers, located.position, located.place.route, now);
    }
    Ok(is_listed)
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
pub(super) enum Held {
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
    let held = encode_live(&live.record, live.version, State::Held)?;
    let keeping = Keeping { cas, old: &live.record, held };
    let batch = keeping.ask(&located.place, Batch::default(), request, value);
    Ok(self::held(&located.place.link.ask(batch).await?))
}

/// A record to be held.
pub(super) struct Keeping<'a> {
    pub(super) cas: Cas,
    pub(super) old: &'a SessionRecord,
    /// Its bytes when it is held.
    pub(super) held: Vec<u8>,
}

impl Keeping<'_> {
    /// Asks for it to be held, and for `value` to be filed under the new digest.
    pub(super) fn ask(
        self,
        place: &Place<'_>,
        batch: Batch,
        request: &RekeyRequest<'_>,
        value: Option<Vec<u8>>,
    ) -> Batch {
        let held = record_item(self.old, self.held, request.now);
        let batch = batch.swap(&place.keys.record(request.old), self.cas, held);
        match value {
            Some(value) => {
                batch.add(&place.keys.record(request.new), record_item(request.record, value, request.now))
            }
            None => batch,
        }
    }
}

/// How holding a record went, by the answers.
pub(super) fn held(replies: &[Reply]) -> Held {
    match replies {
        [_, Reply::NotStored] => Held::Taken,
        [Reply::Done] | [Reply::Done, Reply::Done] => Held::Yes,
        [_, Reply::Done] => Held::No { is_filed: true },
        _ => Held::No { is_filed: false },
    }
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
    if is_same_session(&live.record, record) {
        Ok(())
    } else {
        Err(Problem::Misuse("the record of another session"))
    }
}

/// Whether these are records of one session: what never changes is the same.
pub(super) fn is_same_session(found: &SessionRecord, record: &SessionRecord) -> bool {
    let name = |record: &SessionRecord| record.principal.as_ref().map(|principal| principal.id().clone());
    (found.id, found.created_at, name(found)) == (record.id, record.created_at, name(record))
}

/// A record's item.
pub(super) fn record_item(record: &SessionRecord, value: Vec<u8>, now: Timestamp) -> Item {
    Item { value, expiry: record_expiry(record, now), flags: 0 }
}

/// What a judgement looks at, as precisely as it is kept.
pub(super) fn limits(lifetime: &Lifetime) -> (u128, Timestamp, u128) {
    let millis = |duration: Duration| duration.as_millis().min(u128::from(u64::MAX));
    (millis(lifetime.idle_timeout), lifetime.absolute_expires_at, millis(lifetime.tombstone_retention))
}
