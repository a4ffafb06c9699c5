//! Ending by decision.

use cloakroom_core::{EndReason, PrincipalId, Route, SessionId};
use cloakroom_store::{EndRequest, Ended, Ending, Selector};
use futures_util::future::join_all;

use super::count::count_ended;
use super::desk::{begin_era, is_used};
use super::settle::Settling;
use crate::client::{Batch, Expiry, Item};
use crate::error::Problem;
use crate::layout::epochs::{Epochs, Scope};
use crate::layout::ledger::{Entry, Ledger};
use crate::place::{Place, Scene};
use crate::servers::Call;

pub(crate) async fn end(call: Call<'_>, request: EndRequest<'_>) -> Result<Ending, Problem> {
    let ended = match request.selector {
        Selector::One(id) => end_one(call, *id, request.reason).await?,
        Selector::Principal { principal, except } => {
            end_principal(call, principal, *except, request.reason).await?
        }
        Selector::IssuedBefore(instant) => {
            return end_everything(call, Scope::IssuedBefore(*instant), request.reason).await;
        }
        Selector::All => return end_everything(call, Scope::All, request.reason).await,
        _ => return Err(Problem::Misuse("a selector that this store does not know")),
    };
    Ok(Ending { ended, swept_later: 0 })
}

/// What a server knows of a session's id.
pub(super) enum Whereabouts<'a> {
    /// It is listed here.
    Here(Place<'a>, Scene),
    /// It ended here.
    Ended,
    Unknown,
}

/// What the server at `position` knows of a session: one round trip.
pub(super) async fn whereabouts<'a>(
    call: Call<'a>,
    position: usize,
    id: SessionId,
) -> Result<Whereabouts<'a>, Problem> {
    let place = call.servers.place(position, id.route()).await?;
    let keys = [place.keys.ledger(place.route), place.keys.id(id), place.keys.epochs()];
    let [ledger, used, epochs] = place.read(keys).await?;
    let scene = place.set(ledger, epochs)?;
    let has_ended = is_used(used.as_ref(), call.now);
    Ok(match scene.living() {
        Some((ledger, _)) if ledger.by_id(id).is_some() => Whereabouts::Here(place, scene),
        Some((ledger, _)) if has_ended || ledger.has_parted(id, call.now) => Whereabouts::Ended,
        _ if has_ended => Whereabouts::Ended,
        // Nobody in it is let in; nobody shall be when it can be read again.
        _ if scene.is_damaged() => {
            remove(call, &place, &scene).await?;
            Whereabouts::Unknown
        }
        _ => Whereabouts::Unknown,
    })
}

/// Ends a session on this server; whom that ended, or `None` where the server knows nothing of it.
async fn end_known(
    call: Call<'_>,
    position: usize,
    id: SessionId,
    reason: EndReason,
) -> Result<Option<Vec<Ended>>, Problem> {
    let _turn = call.servers.turn(position, id.route()).await;
    loop {
        let (place, scene) = match whereabouts(call, position, id).await? {
            Whereabouts::Here(place, scene) => (place, scene),
            Whereabouts::Ended => return Ok(Some(Vec::new())),
            Whereabouts::Unknown => return Ok(None),
        };
        if let Some(ended) = bury(call, position, &place, &scene, reason, |entry| entry.id == id).await? {
            return Ok(Some(ended));
        }
    }
}

/// Ends a session on this server, if there is one to end.
pub(super) async fn end_here(
    call: Call<'_>,
    position: usize,
    id: Option<SessionId>,
    reason: EndReason,
) -> Result<Vec<Ended>, Problem> {
    match id {
        Some(id) => Ok(end_known(call, position, id, reason).await?.unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

/// Buries those who meet `condition` and have not ended, in one swap of the ledger. `None` where it had changed.
async fn bury(
    call: Call<'_>,
    position: usize,
    place: &Place<'_>,
    scene: &Scene,
    reason: EndReason,
    condition: impl Fn(&Entry) -> bool,
) -> Result<Option<Vec<Ended>>, Problem> {
    let Some((ledger, epochs)) = scene.living() else { return Ok(Some(Vec::new())) };
    let meant = ledger.entries.iter().filter(|entry| condition(entry));
    // Also where time has ended it by this clock: by another one it may live, and must not.
    let tombstones: Vec<_> = meant.filter_map(|entry| entry.ended_by(epochs, reason, call.now)).collect();
    if tombstones.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut ledger = ledger.clone();
    for tombstone in &tombstones {
        ledger.bury(tombstone);
    }
    if !place.commit(scene, &ledger, call.now, call.stake).await? {
        return Ok(None);
    }
    Settling::begin(call.servers, position, place.route, call.now);
    Ok(Some(tombstones.into_iter().map(Ended::from).collect()))
}

/// Ends a session where it is: at its home in most cases, else on the server to which it came while its home was away.
async fn end_one(call: Call<'_>, id: SessionId, reason: EndReason) -> Result<Vec<Ended>, Problem> {
    let (home, others) = call.servers.order(id.route());
    let mut away = None;
    match end_known(call, home, id, reason).await {
        Ok(Some(ended)) => return Ok(ended),
        Ok(None) => {}
        Err(problem) => away = Some(problem),
    }
    for answer in join_all(others.into_iter().map(|position| end_known(call, position, id, reason))).await {
        match answer {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) => {}
            Err(problem) => away = Some(problem),
        }
    }
    // It may live on a server that could not be asked: that is no end.
    away.map_or(Ok(Vec::new()), Err)
}

/// Ends the sessions of a principal on every server: a read and a swap on each.
async fn end_principal(
    call: Call<'_>,
    principal: &PrincipalId,
    except: Option<SessionId>,
    reason: EndReason,
) -> Result<Vec<Ended>, Problem> {
    let route = Route::of_principal(principal);
    let meant = |entry: &Entry| entry.principal.as_ref() == Some(principal) && Some(entry.id) != except;
    let answers = call.servers.all(|position| async move {
        let place = call.servers.place(position, route).await?;
        let _turn = call.servers.turn(position, route).await;
        loop {
            let scene = place.scene().await?;
            if scene.is_damaged() && !remove(call, &place, &scene).await? {
                continue;
            }
            if let Some(ended) = bury(call, position, &place, &scene, reason, meant).await? {
                return Ok(ended);
            }
        }
    });
    let mut ended = Vec::new();
    for answer in answers.await {
        ended.extend(answer?);
    }
    Ok(ended)
}

/// Ends everything on every server: an epoch on each, which every look compares with.
async fn end_everything(call: Call<'_>, scope: Scope, reason: EndReason) -> Result<Ending, Problem> {
    let answers = call.servers.all(|position| async move {
        let place = call.servers.place(position, Route::from_bytes([0, 0])).await?;
        begin_epoch(call, &place, scope, reason).await
    });
    let mut begun = Vec::new();
    for (position, answer) in answers.await.into_iter().enumerate() {
        begun.extend(answer?.map(|epochs| (position, epochs)));
    }
    // What was decided is decided; only the number is still open, and worth no more than a while.
    let counts = join_all(begun.iter().map(|(position, epochs)| count_ended(call, *position, epochs))).await;
    let swept_later = counts.into_iter().fold(0, u64::saturating_add);
    Ok(Ending { ended: Vec::new(), swept_later })
}

/// The epochs before an end of everything, and after it.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) before: Epochs,
    pub(super) after: Epochs,
}

/// `None` where everything meant has ended already.
async fn begin_epoch(
    call: Call<'_>,
    place: &Place<'_>,
    scope: Scope,
    reason: EndReason,
) -> Result<Option<Turn>, Problem> {
    let key = place.keys.epochs();
    loop {
        let [found] = place.read([key.clone()]).await?;
        let Some(found) = found else {
            // Nobody lives here, but whoever comes from elsewhere, or by a clock that is behind, may be meant.
            begin_era(place, &(call.now, call.servers.handle)).await?;
            continue;
        };
        let before = Epochs::decode(&found.value)?;
        if matches!(scope, Scope::IssuedBefore(instant) if instant <= before.issued_before()) {
            return Ok(None);
        }
        let mut after = before.clone();
        after.end(scope, call.now, reason);
        let item = Item { value: after.encode(), expiry: Expiry::NEVER, flags: 0 };
        if place.write(Batch::default().swap(&key, found.cas, item), call.stake).await? {
            return Ok(Some(Turn { before, after }));
        }
    }
}

/// Removes a ledger that nobody in it needs; whether it was still that one.
async fn remove(call: Call<'_>, place: &Place<'_>, scene: &Scene) -> Result<bool, Problem> {
    let Some(epochs) = &scene.epochs else { return Ok(true) };
    place.commit(scene, &Ledger::begin(place.route, epochs.era), call.now, call.stake).await
}
