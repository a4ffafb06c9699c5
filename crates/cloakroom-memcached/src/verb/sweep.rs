//! Clearing up: finding whoever time, or an end of everything, has ended.

use std::pin::Pin;

use cloakroom_core::{Route, Timestamp, Tombstone};
use cloakroom_store::{SweepRequest, Swept};
use futures_util::future::poll_immediate;
use parking_lot::Mutex;
use tokio::time::Sleep;

use super::count::{READS_AT_ONCE, present, routes};
use super::settle::Settling;
use crate::client::{Batch, Expiry, Found, Item, Reply};
use crate::error::Problem;
use crate::layout::epochs::{Epochs, Era};
use crate::layout::ledger::{Ledger, due};
use crate::place::{Place, Scene, item};
use crate::servers::{Call, at_least_one};
use crate::stake::Stake;

/// Where a pass over each server stands: a round that ran out of time or of its limit goes on there.
#[derive(Debug, Default)]
pub(crate) struct Passes(Mutex<Vec<Option<Pass>>>);

/// A pass over a server, from its first route to its last.
#[derive(Clone, Copy, Debug)]
struct Pass {
    era: Era,
    /// How many ends of everything there had been when it began.
    since: u64,
    /// The route to go on with.
    next: Route,
}

impl Passes {
    fn take(&self, position: usize) -> Option<Pass> {
        self.0.lock().get_mut(position).and_then(Option::take)
    }

    fn keep(&self, position: usize, pass: Pass) {
        let mut passes = self.0.lock();
        if passes.len() <= position {
            passes.resize(position.saturating_add(1), None);
        }
        if let Some(kept) = passes.get_mut(position) {
            *kept = Some(pass);
        }
    }
}

/// One round on every server that can be reached and that nobody else is sweeping.
pub(crate) async fn sweep(call: Call<'_>, request: SweepRequest) -> Result<Swept, Problem> {
    let mut swept = Swept::default();
    let mut answers = Vec::new();
    let mut left = request.limit.max(1);
    let servers = u32::try_from(call.servers.count()).unwrap_or(u32::MAX).max(1);
    for position in 0..call.servers.count() {
        let time = Box::pin(tokio::time::sleep(call.servers.patience.saturating_mul(SHARE) / servers));
        let mut round = Round { call, position, left, time, swept: Swept::default() };
        let answer = round.run(request).await;
        left = round.left;
        // What was buried before an error has to be reported all the same: nobody else will.
        swept.ended.append(&mut round.swept.ended);
        swept.more |= round.swept.more;
        answers.push(answer);
    }
    if swept.ended.is_empty() {
        let rounds = at_least_one(answers)?;
        swept.elsewhere = rounds.iter().all(|taken| *taken == Lease::Elsewhere);
    } else {
        swept.more |= answers.iter().any(Result::is_err);
    }
    Ok(swept)
}

/// Who sweeps a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lease {
    Taken,
    Elsewhere,
}

/// What a round may still bury, for how long, and what it did.
struct Round<'a> {
    call: Call<'a>,
    position: usize,
    left: usize,
    time: Pin<Box<Sleep>>,
    swept: Swept,
}

impl Round<'_> {
    async fn run(&mut self, request: SweepRequest) -> Result<Lease, Problem> {
        let place = self.call.servers.place(self.position, Route::from_bytes([0, 0])).await?;
        if !request.lease.is_zero() && !take_lease(self.call, &place, request).await? {
            return Ok(Lease::Elsewhere);
        }
        let [found] = place.read([place.keys.epochs()]).await?;
        let Some(found) = found else { return Ok(Lease::Taken) };
        let epochs = Epochs::decode(&found.value)?;
        let begun = Pass { era: epochs.era, since: epochs.number, next: Route::from_bytes([0, 0]) };
        let kept = self.call.servers.passes.take(self.position).filter(|pass| pass.era == epochs.era);
        let mut pass = kept.unwrap_or(begun);
        let all: Vec<Route> = routes(&place).await?.into_iter().filter(|route| *route >= pass.next).collect();
        for together in all.chunks(LOOKED_AT_TOGETHER) {
            pass.next = together.first().copied().unwrap_or(pass.next);
            self.look(&place, together, &epochs).await?;
            let is_out_of_time = poll_immediate(&mut self.time).await.is_some();
            if self.swept.more || (is_out_of_time && together.last() != all.last()) {
                self.swept.more = true;
                self.call.servers.passes.keep(self.position, pass);
                return Ok(Lease::Taken);
            }
        }
        if epochs.buried < pass.since {
            note_buried(&place, epochs, pass.since, &found).await?;
        }
        Ok(Lease::Taken)
    }

    /// Clears those of these ledgers that have something to clear, as far as the limit goes.
    async fn look(&mut self, place: &Place<'_>, routes: &[Route], epochs: &Epochs) -> Result<(), Problem> {
        let now = due(self.call.now);
        let is_due = |(_, from): &(Route, u32)| epochs.buried < epochs.number || *from <= now;
        let there = present(place, routes).await?;
        let due: Vec<Route> = there.into_iter().filter(is_due).map(|(route, _)| route).collect();
        for together in due.chunks(READS_AT_ONCE) {
            self.clear(place, together).await?;
            if self.swept.more {
                break;
            }
        }
        Ok(())
    }

    /// Buries whoever is over in these ledgers, as long as any may be.
    async fn clear(&mut self, place: &Place<'_>, routes: &[Route]) -> Result<(), Problem> {
        let batch =
            routes.iter().fold(Batch::default(), |batch, route| batch.get(&place.keys.ledger(*route)));
        let mut replies = place.link.ask(batch.get(&place.keys.epochs())).await?;
        let epochs = replies.pop().map(item).transpose()?.flatten();
        for (route, reply) in routes.iter().zip(replies) {
            let place = Place { route: *route, ..place.clone() };
            let mut scene = match place.set(item(reply)?, epochs.clone()) {
                Ok(scene) => scene,
                // Of a later version, whose sweep it is left to.
                Err(_) => continue,
            };
            let _turn = self.call.servers.turn(self.position, *route).await;
            while !self.clear_one(&place, &scene).await? {
                scene = place.scene().await?;
            }
            if self.swept.more {
                break;
            }
        }
        Ok(())
    }

    /// Buries whoever is over in a ledger, as long as any may be; whether it was still the one in `scene`.
    async fn clear_one(&mut self, place: &Place<'_>, scene: &Scene) -> Result<bool, Problem> {
        let now = self.call.now;
        let Some((ledger, epochs)) = scene.living() else {
            let begun = scene.epochs.as_ref().filter(|_| scene.is_void());
            return match begun {
                Some(epochs) => {
                    let nobody = Ledger::begin(place.route, epochs.era);
                    place.commit(scene, &nobody, now, &Stake::default()).await
                }
                None => Ok(true),
            };
        };
        let over: Vec<Tombstone> =
            ledger.entries.iter().filter_map(|entry| entry.over(epochs, now)).collect();
        let buried = over.get(..self.left).unwrap_or(&over);
        if !buried.is_empty() {
            let mut changed = ledger.clone();
            buried.iter().for_each(|tombstone| changed.bury(tombstone));
            if !place.commit(scene, &changed, now, self.call.stake).await? {
                return Ok(false);
            }
        }
        self.left = self.left.saturating_sub(buried.len());
        self.swept.more |= buried.len() < over.len();
        self.swept.ended.extend(buried.iter().cloned().map(Into::into));
        if !buried.is_empty() || !ledger.partings.is_empty() {
            Settling::begin(self.call.servers, self.position, place.route, now);
        }
        Ok(true)
    }
}

/// Notes that everybody whom the ends so far ended has been found. Saves work only: nothing is forgotten for it.
async fn note_buried(
    place: &Place<'_>,
    mut epochs: Epochs,
    number: u64,
    found: &Found,
) -> Result<(), Problem> {
    epochs.buried = number;
    let item = Item { value: epochs.encode(), expiry: Expiry::NEVER, flags: 0 };
    place.link.ask(Batch::default().swap(&place.keys.epochs(), found.cas, item)).await?;
    Ok(())
}

/// Takes or renews the lease; whether nobody else has it.
async fn take_lease(call: Call<'_>, place: &Place<'_>, request: SweepRequest) -> Result<bool, Problem> {
    let key = place.keys.lease();
    let until = request.now.plus(request.lease);
    let handle = call.servers.handle;
    let bytes: Vec<u8> = handle.to_le_bytes().into_iter().chain(until.as_millis().to_le_bytes()).collect();
    let item = Item { value: bytes, expiry: Expiry::after(request.lease), flags: 0 };
    let [found] = place.read([key.clone()]).await?;
    let batch = match found {
        None => Batch::default().add(&key, item),
        // A lease that ends later than one taken now would is from a clock that was ahead: it binds nobody.
        Some(found) => match held_by(&found.value) {
            Some((holder, held_until))
                if holder != handle && held_until > request.now && held_until <= until =>
            {
                return Ok(false);
            }
            _ => Batch::default().swap(&key, found.cas, item),
        },
    };
    Ok(place.link.ask(batch).await? == [Reply::Done])
}

fn held_by(bytes: &[u8]) -> Option<(u64, Timestamp)> {
    let (holder, until) = bytes.split_first_chunk()?;
    let until = i64::from_le_bytes(until.try_into().ok()?);
    Some((u64::from_le_bytes(*holder), Timestamp::from_millis(until)))
}

/// Ledgers looked at together before the time that is left is.
const LOOKED_AT_TOGETHER: usize = 1_024;
/// Quarters of the deadline that a round may take, all servers together.
const SHARE: u32 = 2;
