//! Filing a new session.

use std::collections::HashSet;

use cloakroom_core::{EndReason, OnLimit, SessionId, SessionRecord};
use cloakroom_store::{Applied, Ended, InsertRequest, Inserted, Version};
use futures_util::future::join_all;

use super::desk::{Desk, Paper, is_used, record_expiry};
use super::end::{Whereabouts, end_here, whereabouts};
use super::settle::Settling;
use crate::client::{Batch, Reply};
use crate::error::Problem;
use crate::layout::epochs::Epochs;
use crate::layout::filed::{State, encode_filed_by};
use crate::layout::ledger::{Entry, Ledger};
use crate::place::Place;
use crate::servers::Call;

/// Files a session on the first server in its order that can be reached.
///
/// The record is filed first, where nobody sees it; the swap of the ledger that lists it is what counts. As long as that
/// has not been sent, another server may be asked instead.
pub(crate) async fn insert(call: Call<'_>, request: InsertRequest<'_>) -> Result<Inserted, Problem> {
    let InsertRequest { record, digest, replaces, now, .. } = request;
    if record.id.route() != digest.route() {
        return Err(Problem::Misuse("an id and a digest of different routes"));
    }
    let value = encode_filed_by(record, Version::FIRST, State::Open, call.servers.filer())?;
    let paper = Paper { digest, id: record.id, replaces, value, expiry: record_expiry(record, now) };
    let (home, others) = call.servers.order(digest.route());
    let mut away = None;
    for position in std::iter::once(home).chain(others) {
        match insert_at(call, position, &request, &paper).await {
            Err(problem) if problem.is_outage() && call.stake.applied() == Applied::No => {
                away.get_or_insert(problem);
            }
            answer => return answer,
        }
    }
    Err(away.unwrap_or(Problem::Closed))
}

async fn insert_at(
    call: Call<'_>,
    position: usize,
    request: &InsertRequest<'_>,
    paper: &Paper,
) -> Result<Inserted, Problem> {
    let place = call.servers.place(position, paper.digest.route()).await?;
    let turn = call.servers.turn(position, place.route).await;
    let Some((desk, origin)) = paper.file(&place, call.now).await? else {
        return Ok(Inserted::AlreadyExists);
    };
    let elsewhere = elsewhere(call, position, request, &desk).await?;
    let mut answer = list(call, &place, request, (paper, desk)).await;
    drop(turn);
    if let (Some(other), Ok(Inserted::Done { ended })) = (elsewhere, &mut answer) {
        ended.extend(end_here(call, other, request.replaces, EndReason::Replaced).await?);
    }
    match &answer {
        Ok(Inserted::Done { ended }) if ended.is_empty() => {}
        Ok(Inserted::Done { .. }) => Settling::begin(call.servers, position, place.route, call.now),
        // Nothing refers to the record, and nothing will.
        Ok(_) => paper.withdraw(&place, origin).await,
        Err(_) => {}
    }
    answer
}

/// Lists a session whose record is filed.
async fn list(
    call: Call<'_>,
    place: &Place<'_>,
    request: &InsertRequest<'_>,
    (paper, mut desk): (&Paper, Desk),
) -> Result<Inserted, Problem> {
    let mut gone = HashSet::new();
    loop {
        let (epochs, mut ledger) = desk.open(place, &paper.digest).await?;
        ledger.entries.retain(|entry| !gone.contains(&entry.id));
        if paper.is_taken(&ledger, &desk, call.now) {
            return Ok(Inserted::AlreadyExists);
        }
        let Some(ended) = make_room(&mut ledger, &epochs, request) else {
            // Whoever was forgotten lives no more and must not stand in the way.
            let missing = forgotten(place, &ledger, request).await?;
            if missing.is_subset(&gone) {
                return Ok(Inserted::LimitReached);
            }
            gone.extend(missing);
            continue;
        };
        ledger.entries.push(newcomer(request, &epochs));
        if place.commit(&desk.scene, &ledger, call.now, call.stake).await? {
            return Ok(Inserted::Done { ended });
        }
        desk = paper.read_desk(place).await?;
    }
}

fn newcomer(request: &InsertRequest<'_>, epochs: &Epochs) -> Entry {
    let SessionRecord { id, created_at, lifetime, principal, .. } = request.record;
    Entry {
        id: *id,
        digest: request.digest,
        principal: principal.as_ref().map(|principal| principal.id().clone()),
        created_at: *created_at,
        last_seen_at: *created_at,
        lifetime: *lifetime,
        generation: epochs.number,
    }
}

/// Ends whoever has to go; who ended, or `None` where the newcomer has to.
fn make_room(ledger: &mut Ledger, epochs: &Epochs, request: &InsertRequest<'_>) -> Option<Vec<Ended>> {
    let principal = request.record.principal.as_ref().map(|principal| principal.id());
    let Some(principal) = principal else { return Some(Vec::new()) };
    let now = request.now;
    let own = ledger.entries.iter().filter(|entry| entry.principal.as_ref() == Some(principal));
    let (over, mut rivals): (Vec<&Entry>, Vec<&Entry>) =
        own.partition(|entry| entry.over(epochs, now).is_some());
    let replaced =
        rivals.iter().position(|rival| Some(rival.id) == request.replaces).map(|at| rivals.swap_remove(at));
    let mut tombstones = Vec::new();
    if let Some(limit) = request.limit {
        let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
        let excess = rivals.len().saturating_add(1).saturating_sub(max);
        if excess > 0 && limit.on_limit == OnLimit::Refuse {
            return None;
        }
        rivals.sort_unstable_by_key(|rival| match limit.on_limit {
            OnLimit::EndIdlest => (rival.last_seen_at, rival.created_at, rival.id),
            OnLimit::EndOldest | OnLimit::Refuse => (rival.created_at, rival.last_seen_at, rival.id),
        });
        // Whoever did not count must not come to count again, by a clock that is behind.
        tombstones.extend(over.iter().filter_map(|entry| entry.over(epochs, now)));
        let too_many = rivals.iter().take(excess);
        tombstones.extend(too_many.filter_map(|rival| rival.ended_by(epochs, EndReason::SessionLimit, now)));
    }
    tombstones.extend(replaced.and_then(|entry| entry.ended_by(epochs, EndReason::Replaced, now)));
    for tombstone in &tombstones {
        ledger.bury(tombstone);
    }
    Some(tombstones.into_iter().map(Ended::from).collect())
}

/// Those who count against the newcomer and whose records the server has forgotten.
async fn forgotten(
    place: &Place<'_>,
    ledger: &Ledger,
    request: &InsertRequest<'_>,
) -> Result<HashSet<SessionId>, Problem> {
    let principal = request.record.principal.as_ref().map(|principal| principal.id());
    let own: Vec<&Entry> =
        ledger.entries.iter().filter(|entry| entry.principal.as_ref() == principal).collect();
    let batch =
        own.iter().fold(Batch::default(), |batch, entry| batch.peek(&place.keys.record(entry.digest)));
    let replies = place.link.ask(batch).await?;
    let missing = own.iter().zip(replies).filter(|(_, reply)| *reply == Reply::Missing);
    Ok(missing.map(|(entry, _)| entry.id).collect())
}

/// The other server that has the session to be replaced, where this one knows nothing of it.
async fn elsewhere(
    call: Call<'_>,
    position: usize,
    request: &InsertRequest<'_>,
    desk: &Desk,
) -> Result<Option<usize>, Problem> {
    let Some(replaced) = request.replaces.filter(|_| call.servers.count() > 1) else { return Ok(None) };
    let ledger = desk.scene.living().map(|(ledger, _)| ledger);
    let is_here = ledger
        .is_some_and(|ledger| ledger.by_id(replaced).is_some() || ledger.has_parted(replaced, call.now));
    if is_here || is_used(desk.replaced.as_ref(), call.now) || request.record.principal.is_none() {
        return Ok(None);
    }
    let others: Vec<usize> = (0..call.servers.count()).filter(|other| *other != position).collect();
    let found = join_all(others.iter().map(|other| whereabouts(call, *other, replaced))).await;
    let mut away = None;
    for (other, found) in others.into_iter().zip(found) {
        match found {
            Ok(Whereabouts::Here(..)) => return Ok(Some(other)),
            Ok(Whereabouts::Ended) => return Ok(None),
            Ok(Whereabouts::Unknown) => {}
            Err(problem) => away = Some(problem),
        }
    }
    away.map_or(Ok(None), Err)
}
