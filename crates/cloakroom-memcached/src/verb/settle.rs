//! Writing down, where a session was filed, that it is no more.
//!
//! A ledger that buried somebody keeps what is left of them until that stands where their token points; then it lets go.
//! Nothing depends on when that happens, or whether: the ledger answers for them as long as it has them, and whoever is
//! not listed in it is dead.

use std::collections::HashMap;
use std::sync::Arc;

use cloakroom_core::{Route, Timestamp};
use parking_lot::Mutex;

use crate::client::{Batch, Expiry, Found, Item, Reply};
use crate::error::Problem;
use crate::layout::filed::{Filed, decode_used, encode_used};
use crate::layout::ledger::{Parting, Remains};
use crate::place::{Place, Scene, item};
use crate::servers::Servers;
use crate::stake::Stake;

/// The ledgers being settled, and whether they have to be looked at once more.
#[derive(Debug, Default)]
pub(crate) struct Settling(Mutex<HashMap<(usize, Route), bool>>);

impl Settling {
    /// Settles a ledger in the background.
    pub(crate) fn begin(servers: &Arc<Servers>, position: usize, route: Route, now: Timestamp) {
        let key = (position, route);
        {
            let mut running = servers.settling.0.lock();
            if let Some(again) = running.get_mut(&key) {
                *again = true;
                return;
            }
            if running.len() >= MOST_AT_ONCE {
                // Whoever changes this ledger next, or sweeps it, does it.
                return;
            }
            running.insert(key, false);
        }
        let servers = Arc::clone(servers);
        tokio::spawn(async move {
            let _done = Done { servers: &servers, key };
            loop {
                let settled = match servers.place(position, route).await {
                    Ok(place) => {
                        let _turn = servers.turn(position, route).await;
                        settle(&place, now).await
                    }
                    Err(problem) => Err(problem),
                };
                let mut running = servers.settling.0.lock();
                let again = running.get_mut(&key).is_some_and(std::mem::take);
                if settled.is_err() || !again {
                    running.remove(&key);
                    return;
                }
            }
        });
    }
}

/// Takes a ledger off the list also where its task is dropped.
struct Done<'a> {
    servers: &'a Servers,
    key: (usize, Route),
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.servers.settling.0.lock().remove(&self.key);
    }
}

/// Writes down everything that a ledger remembers, as far as it does not change too often meanwhile.
pub(crate) async fn settle(place: &Place<'_>, now: Timestamp) -> Result<(), Problem> {
    let mut seen = place.scene().await?;
    for _ in 0..MOST_ROUNDS {
        let partings: Vec<Parting> = match seen.living() {
            Some((ledger, _)) => ledger.partings.iter().take(AT_ONCE).cloned().collect(),
            None => return Ok(()),
        };
        if partings.is_empty() {
            return Ok(());
        }
        let (written, scene) = write_down(place, &seen, &partings, now).await?;
        seen = scene;
        let Some((ledger, _)) = seen.living() else { return Ok(()) };
        let mut ledger = ledger.clone();
        ledger.partings.retain(|parting| !written.contains(parting));
        // What it decides was decided before: an error after it is no news to anybody.
        place.commit(&seen, &ledger, now, &Stake::default()).await?;
        seen = place.scene().await?;
    }
    Ok(())
}

/// Writes partings down; which are, and the scene by which that was done.
async fn write_down(
    place: &Place<'_>,
    seen: &Scene,
    partings: &[Parting],
    now: Timestamp,
) -> Result<(Vec<Parting>, Scene), Problem> {
    let mut batch = Batch::default();
    for parting in partings {
        batch = batch.get(&place.keys.record(parting.digest)).get(&place.keys.id(parting.what.session()));
    }
    // Read last: as long as it is the one that was seen, nobody has filed anything else under these digests.
    batch = batch.get(&place.keys.ledger(place.route)).get(&place.keys.epochs());
    let found: Result<Vec<Option<Found>>, Problem> =
        place.link.ask(batch).await?.into_iter().map(item).collect();
    let mut found = found?.into_iter();
    let items: Vec<(Option<Found>, Option<Found>)> =
        partings.iter().map(|_| (found.next().flatten(), found.next().flatten())).collect();
    let scene = place.set(found.next().flatten(), found.next().flatten())?;
    if scene.cas() != seen.cas() {
        return Ok((Vec::new(), scene));
    }
    let (mut writes, mut counts) = (Batch::default(), Vec::new());
    for (parting, (filed, used)) in partings.iter().zip(&items) {
        let before = writes.len();
        writes = write_remains(place, writes, parting, filed.as_ref(), now)?;
        writes = write_used(place, writes, parting, used.as_ref(), now);
        counts.push(writes.len().saturating_sub(before));
    }
    let mut replies = place.link.ask(writes).await?.into_iter();
    let mut written = Vec::new();
    for (parting, count) in partings.iter().zip(counts) {
        let own: Vec<Reply> = replies.by_ref().take(count).collect();
        if own.iter().all(|reply| *reply == Reply::Done) {
            written.push(parting.clone());
        }
    }
    Ok((written, scene))
}

fn write_remains(
    place: &Place<'_>,
    batch: Batch,
    parting: &Parting,
    filed: Option<&Found>,
    now: Timestamp,
) -> Result<Batch, Problem> {
    let remains = Filed::Remains { what: parting.what.clone(), keep_until: parting.keep_until };
    let key = place.keys.record(parting.digest);
    let item = || -> Result<Item, Problem> {
        Ok(Item { value: remains.encode()?, expiry: Expiry::after(parting.keep_until.since(now)), flags: 0 })
    };
    Ok(match filed {
        None => batch.add(&key, item()?),
        Some(found) if Filed::decode(&found.value).is_ok_and(|filed| filed == remains) => batch,
        Some(found) => batch.swap(&key, found.cas, item()?),
    })
}

/// That an id was used; a token that was exchanged leaves its session's id alone.
fn write_used(
    place: &Place<'_>,
    batch: Batch,
    parting: &Parting,
    used: Option<&Found>,
    now: Timestamp,
) -> Batch {
    let Remains::Ended(_) = parting.what else { return batch };
    let key = place.keys.id(parting.what.session());
    let expiry = Expiry::after(parting.keep_until.since(now));
    let item = || Item { value: encode_used(parting.keep_until), expiry, flags: 0 };
    match used {
        None => batch.add(&key, item()),
        Some(found) if decode_used(&found.value).is_ok_and(|until| until >= parting.keep_until) => batch,
        Some(found) => batch.swap(&key, found.cas, item()),
    }
}

/// Most partings written down together.
const AT_ONCE: usize = 64;
/// A ledger that changes this often while it is settled is settled by whoever changes it last.
const MOST_ROUNDS: usize = 16;
/// Most ledgers settled at the same time.
const MOST_AT_ONCE: usize = 1_024;
