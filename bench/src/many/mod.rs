//! A principal with a thousand sessions, among very many: they are listed, and all ended at once.
//!
//! What Redis is told is counted by Redis; elsewhere a verb of the store is one round trip.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cloakroom::{
    EndReason, ListFilter, ListQuery, Policy, PrincipalId, Revocation, Selector, Sessions, Store,
};
use cloakroom_conformance::{Fixtures, principal_id};
use cloakroom_core::Timestamp;
use cloakroom_store::{InsertRequest, Inserted};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, json};
use tokio::runtime::Builder;

use crate::effort::Effort;
use crate::error::{Doing as _, Error, Outcome};
use crate::monitor::Monitor;
use crate::report::Section;
use crate::sizes::{Place, Where};
use crate::statistics::{median, number};
use crate::stopwatch::Stopwatch;
use crate::table::Comparison;

/// A principal with many sessions.
#[derive(Debug, Default, Args)]
pub(crate) struct Task {
    /// Only these stores
    #[arg(long = "store")]
    stores: Vec<Where>,
    /// Among so many sessions
    #[arg(long)]
    among: Option<usize>,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    list_milliseconds: Vec<f64>,
    end_milliseconds: Vec<f64>,
    /// Commands that Redis was sent for each call; `None` where it is not Redis.
    list_commands: Option<f64>,
    end_commands: Option<f64>,
}

/// Measures store by store.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let stores = if task.stores.is_empty() { STORES.to_vec() } else { task.stores.clone() };
    let among = task.among.unwrap_or(effort.in_memory);
    let mut section = Section::default();
    let mut raw = Map::new();
    for store in stores {
        eprintln!("{store}: a principal with {CROWD} of {among} sessions …");
        let found = measure_store(store, among)?;
        section.comparisons.extend(found.comparisons(store, among));
        raw.insert(store.to_string(), json!(found));
    }
    section.rounds = raw.into();
    Ok(section)
}

fn measure_store(store: Where, among: usize) -> Outcome<Found> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.doing("building a runtime")?;
    // The server is started by the thread that stays, and ends after the store has let go of it.
    let place = Place::prepare(store)?;
    runtime.block_on(async {
        let subject = place.open().await?;
        let sessions = Sessions::builder_shared(Arc::clone(&subject)).policy(Policy::default());
        let sessions = sessions.build().doing("building the engine")?;
        fill(&subject, sessions.now(), among).await?;
        let mut found = Found::default();
        let port = place.redis_port();
        // The first turn warms up: connections, scripts. Meanwhile it can be listened to, which slows down what is heard.
        let principal = principal_id(&crowd(0));
        found.list_commands = listen(port, list(&sessions, &principal)).await?;
        found.end_commands = listen(port, end(&sessions, principal)).await?;
        for turn in 1..=TURNS {
            let principal = principal_id(&crowd(turn));
            found.list_milliseconds.push(list(&sessions, &principal).await?);
            found.end_milliseconds.push(end(&sessions, principal).await?);
        }
        Ok(found)
    })
}

/// Does something, and counts the commands that Redis is sent meanwhile.
async fn listen(port: Option<u16>, action: impl Future<Output = Outcome<f64>>) -> Outcome<Option<f64>> {
    let mut monitor = port.map(Monitor::start).transpose()?;
    action.await?;
    let Some(monitor) = &mut monitor else { return Ok(None) };
    Ok(Some(number(monitor.finish()?.values().sum())))
}

async fn list(sessions: &Sessions, principal: &PrincipalId) -> Outcome<f64> {
    let mut filter = ListFilter::default();
    filter.principal = Some(principal.clone());
    let query = ListQuery::new(filter).with_limit(PAGE);
    let watch = Stopwatch::start();
    let page = sessions.list(&query).await.doing("listing")?;
    let elapsed = watch.elapsed();
    if page.items.len() == CROWD {
        Ok(elapsed.as_secs_f64() * 1e3)
    } else {
        Err(Error::new("listing", format!("there are {} sessions", page.items.len())))
    }
}

async fn end(sessions: &Sessions, principal: PrincipalId) -> Outcome<f64> {
    let selector = Selector::Principal { principal, except: None };
    let watch = Stopwatch::start();
    let revoked = sessions.revoke(&selector, Revocation::by_system(EndReason::RevokedByAdmin)).await;
    let elapsed = watch.elapsed();
    match revoked.doing("ending")?.ended.len() {
        CROWD => Ok(elapsed.as_secs_f64() * 1e3),
        other => Err(Error::new("ending", format!("{other} sessions were ended"))),
    }
}

/// Files the crowds, and everybody else.
async fn fill(store: &Arc<dyn Store>, now: Timestamp, among: usize) -> Outcome {
    let mut fixtures = Fixtures::new(1);
    let crowds = (0..=TURNS).flat_map(|turn| std::iter::repeat_n(crowd(turn), CROWD));
    let others = (0..among).map(|number| format!("user-{:06}", number / EACH_HAS));
    let filings = crowds.chain(others).take(among.max((TURNS + 1) * CROWD)).map(|name| {
        let filing = fixtures.signed_in(&name).issued_at(now).with_idle_timeout(LONG);
        filing.with_absolute_at(now.plus(LONG)).with_retention(LONG)
    });
    let inserts = stream::iter(filings).map(|filing| {
        let store = Arc::clone(store);
        async move {
            let request = InsertRequest {
                record: &filing.record,
                digest: filing.digest,
                limit: None,
                replaces: None,
                now,
            };
            match store.insert(request).await.doing("filing a session")? {
                Inserted::Done { .. } => Ok(()),
                other => Err(Error::new("filing a session", format!("{other:?}"))),
            }
        }
    });
    inserts.buffer_unordered(AT_ONCE).try_collect().await
}

impl Found {
    fn comparisons(&self, store: Where, among: usize) -> Vec<Comparison> {
        let crowd = format!("{store}: {CROWD} of a principal, among {among}");
        let list = median(self.list_milliseconds.iter().copied());
        let end = median(self.end_milliseconds.iter().copied());
        let mut all = vec![
            Comparison::new(format!("{crowd}: list"), list, "ms"),
            Comparison::new(format!("{crowd}: end"), end, "ms").at_most(10.0),
        ];
        if let (Some(list), Some(end)) = (self.list_commands, self.end_commands) {
            all.push(Comparison::new(format!("{crowd}: list"), list, "commands"));
            all.push(Comparison::new(format!("{crowd}: end"), end, "commands").at_most(2.0));
        }
        all
    }
}

fn crowd(turn: usize) -> String {
    format!("crowd-{turn}")
}

/// Sessions of such a principal.
const CROWD: usize = 1_000;
/// All of them, and one more: were there more, it would show.
const PAGE: NonZeroU16 = NonZeroU16::new(1_001).expect("not zero");
/// Sessions of everybody else.
const EACH_HAS: usize = 20;
/// How often it is done, each time with another principal; once more before, which does not count.
const TURNS: usize = 9;
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);
/// Inserts under way at once while filling.
const AT_ONCE: usize = 256;
/// Those that the issue speaks of, and those that need no server.
const STORES: [Where; 3] = [Where::Redis, Where::Memory, Where::Sqlite];
