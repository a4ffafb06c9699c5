//! Filing what another store told.

use cloakroom_core::SessionRecord;
use cloakroom_store::{Entry as Told, Filed as Arrival, Imported, Live};

use super::desk::{Desk, Paper, record_expiry};
use crate::client::{Batch, Expiry, Item};
use crate::error::Problem;
use crate::layout::epochs::Epochs;
use crate::layout::filed::{Filed, State, encode_filed_by, encode_used};
use crate::layout::ledger::{Entry, Remains};
use crate::place::Place;
use crate::servers::Call;

/// Files what another store told on its home, and nowhere else: what is told twice must not be filed twice.
pub(crate) async fn import(call: Call<'_>, arrival: &Arrival) -> Result<Imported, Problem> {
    let (paper, kept_until) = match &arrival.entry {
        Told::Live(live) => {
            if live.record.id.route() != arrival.digest.route() {
                return Err(Problem::Misuse("an id and a digest of different routes"));
            }
            let filer = call.servers.filer();
            let value = encode_filed_by(&live.record, live.version, State::Open, filer)?;
            let (id, expiry) = (live.record.id, record_expiry(&live.record, call.now));
            (Paper { digest: arrival.digest, id, replaces: None, value, expiry }, None)
        }
        Told::Ended { tombstone, kept_until, .. } => {
            (remains(call, arrival, Remains::Ended(tombstone.clone()), *kept_until)?, Some(*kept_until))
        }
        Told::Retired { retired, kept_until } => {
            (remains(call, arrival, Remains::Retired(*retired), *kept_until)?, Some(*kept_until))
        }
    };
    if kept_until.is_some_and(|until| until <= call.now) {
        return Ok(Imported::Done);
    }
    let (home, _) = call.servers.order(arrival.digest.route());
    let place = call.servers.place(home, arrival.digest.route()).await?;
    let _turn = call.servers.turn(home, place.route).await;
    let Some((desk, origin)) = paper.file(&place, call.now).await? else {
        return Ok(Imported::AlreadyExists);
    };
    let answer = match &arrival.entry {
        Told::Live(live) => list(call, &place, live, &paper, desk).await,
        Told::Ended { .. } => note_id(call, &place, arrival, &paper, &desk).await,
        Told::Retired { .. } => Ok(match desk.scene.living() {
            Some((ledger, _)) if paper.is_digest_listed(ledger) => Imported::AlreadyExists,
            _ => Imported::Done,
        }),
    };
    if matches!(answer, Ok(Imported::AlreadyExists)) {
        paper.withdraw(&place, origin).await;
    }
    answer
}

fn remains(
    call: Call<'_>,
    arrival: &Arrival,
    what: Remains,
    keep_until: cloakroom_core::Timestamp,
) -> Result<Paper, Problem> {
    let (id, expiry) = (what.session(), Expiry::after(keep_until.since(call.now)));
    let value = Filed::Remains { what, keep_until }.encode()?;
    Ok(Paper { digest: arrival.digest, id, replaces: None, value, expiry })
}

/// Lists a session that lived elsewhere.
async fn list(
    call: Call<'_>,
    place: &Place<'_>,
    live: &Live,
    paper: &Paper,
    mut desk: Desk,
) -> Result<Imported, Problem> {
    loop {
        let (epochs, mut ledger) = desk.open(place, &paper.digest).await?;
        if paper.is_taken(&ledger, &desk, call.now) {
            return Ok(Imported::AlreadyExists);
        }
        ledger.entries.push(entry(live, paper, &epochs));
        if place.commit(&desk.scene, &ledger, call.now, call.stake).await? {
            return Ok(Imported::Done);
        }
        desk = paper.read_desk(place).await?;
    }
}

fn entry(live: &Live, paper: &Paper, epochs: &Epochs) -> Entry {
    let SessionRecord { id, created_at, lifetime, principal, .. } = &*live.record;
    Entry {
        id: *id,
        digest: paper.digest,
        principal: principal.as_ref().map(|principal| principal.id().clone()),
        created_at: *created_at,
        last_seen_at: live.last_seen_at,
        lifetime: *lifetime,
        generation: epochs.generation_of(*created_at),
    }
}

/// Notes that the id of a session that ended elsewhere was used.
async fn note_id(
    call: Call<'_>,
    place: &Place<'_>,
    arrival: &Arrival,
    paper: &Paper,
    desk: &Desk,
) -> Result<Imported, Problem> {
    if desk.scene.living().is_some_and(|(ledger, _)| paper.is_taken(ledger, desk, call.now))
        || super::desk::is_used(desk.used.as_ref(), call.now)
    {
        return Ok(Imported::AlreadyExists);
    }
    let Told::Ended { kept_until, .. } = &arrival.entry else { return Ok(Imported::Done) };
    let key = place.keys.id(paper.id);
    let item = Item { value: encode_used(*kept_until), expiry: paper.expiry, flags: 0 };
    let batch = match &desk.used {
        None => Batch::default().add(&key, item),
        Some(found) => Batch::default().swap(&key, found.cas, item),
    };
    let noted = place.write(batch, call.stake).await?;
    Ok(if noted { Imported::Done } else { Imported::AlreadyExists })
}
