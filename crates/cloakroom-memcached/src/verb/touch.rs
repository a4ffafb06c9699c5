//! Activity.

use std::collections::{HashMap, HashSet};

use cloakroom_core::{Route, Timestamp, TokenDigest};
use cloakroom_store::{Touch, TouchReport};
use futures_util::future::join_all;

use crate::error::Problem;
use crate::servers::Call;

/// How far activity was noted.
pub(crate) struct Noted {
    pub(crate) report: TouchReport,
    /// Why it was not everywhere, and whose was not.
    pub(crate) failure: Option<(Problem, HashSet<TokenDigest>)>,
}

/// Notes activity in the ledgers, routes at the same time: a read and a swap for each.
pub(crate) async fn touch(call: Call<'_>, touches: &[Touch]) -> Noted {
    let mut routes: HashMap<Route, HashMap<TokenDigest, Timestamp>> = HashMap::new();
    for Touch { digest, seen_at } in touches {
        let latest = routes.entry(digest.route()).or_default().entry(*digest).or_insert(*seen_at);
        *latest = (*latest).max(*seen_at);
    }
    let mut touched = 0_usize;
    let (mut failure, mut failed) = (None, HashSet::new());
    let mut routes = routes.into_iter();
    loop {
        let touch = async |(route, seen)| (route, touch_route(call, route, seen).await);
        let together: Vec<_> = routes.by_ref().take(AT_ONCE).map(touch).collect();
        if together.is_empty() {
            break;
        }
        for (route, answer) in join_all(together).await {
            match answer {
                Ok(moved) => touched = touched.saturating_add(moved),
                // The others' activity is noted all the same.
                Err(problem) => {
                    failure = Some(problem);
                    failed.insert(route);
                }
            }
        }
    }
    let (missed, noted): (Vec<Touch>, Vec<Touch>) =
        touches.iter().partition(|touch| failed.contains(&touch.digest.route()));
    Noted {
        report: TouchReport { touched, ignored: noted.len().saturating_sub(touched) },
        failure: failure.map(|problem| (problem, missed.iter().map(|touch| touch.digest).collect())),
    }
}

/// Notes activity of sessions of one route, wherever they are; how many moved.
async fn touch_route(
    call: Call<'_>,
    route: Route,
    mut seen: HashMap<TokenDigest, Timestamp>,
) -> Result<usize, Problem> {
    let (home, others) = call.servers.order(route);
    let mut touched = 0_usize;
    let mut away = None;
    for position in std::iter::once(home).chain(others) {
        match touch_at(call, position, route, &mut seen).await {
            Ok(moved) => touched = touched.saturating_add(moved),
            Err(problem) if problem.is_outage() && position == home => away = Some(problem),
            Err(problem) if !problem.is_outage() => return Err(problem),
            Err(_) => {}
        }
        if seen.is_empty() {
            return Ok(touched);
        }
    }
    // What is listed nowhere may be at home.
    away.map_or(Ok(touched), Err)
}

/// Notes activity of those who are listed here, and takes them off `seen`.
async fn touch_at(
    call: Call<'_>,
    position: usize,
    route: Route,
    seen: &mut HashMap<TokenDigest, Timestamp>,
) -> Result<usize, Problem> {
    let place = call.servers.place(position, route).await?;
    let _turn = call.servers.turn(position, route).await;
    loop {
        let scene = place.scene().await?;
        let Some((ledger, epochs)) = scene.living() else { return Ok(0) };
        let mut ledger = ledger.clone();
        let (mut listed, mut moved) = (Vec::new(), 0_usize);
        for entry in &mut ledger.entries {
            let Some(seen_at) = seen.get(&entry.digest) else { continue };
            listed.push(entry.digest);
            let seen_at = (*seen_at).min(entry.lifetime.absolute_expires_at);
            if seen_at > entry.last_seen_at && entry.over(epochs, call.now).is_none() {
                entry.last_seen_at = seen_at;
                moved = moved.saturating_add(1);
            }
        }
        listed.extend(ledger.partings.iter().map(|parting| parting.digest));
        if moved == 0 || place.commit(&scene, &ledger, call.now, call.stake).await? {
            seen.retain(|digest, _| !listed.contains(digest));
            return Ok(moved);
        }
    }
}

/// Routes that are written at the same time.
const AT_ONCE: usize = 256;
