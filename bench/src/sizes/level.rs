//! A population of one size, and what is asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::Store;
use cloakroom_conformance::{Filing, Fixtures, Seeded, T0, at, principal_id};
use cloakroom_core::{EndReason, OnLimit, SessionLimit, Timestamp, TokenDigest};
use cloakroom_store::{
    EndRequest, InsertRequest, Inserted, ListFilter, ListQuery, Lookup, Selector, SweepRequest,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::error::{Doing as _, Error, Outcome};
use crate::statistics::{each, median};
use crate::stopwatch::Stopwatch;

/// What was found at one size.
#[derive(Debug, Serialize)]
pub(super) struct Level {
    pub(super) size: usize,
    /// Bytes that the sessions take where the store keeps them.
    pub(super) weight: u64,
    pub(super) costs: BTreeMap<Operation, Cost>,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    Issue,
    Read,
    List,
    EndAll,
    Sweep,
}

impl Operation {
    pub(super) const ALL: [Self; 5] = [Self::Issue, Self::Read, Self::List, Self::EndAll, Self::Sweep];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issue => "issue, with a limit",
            Self::Read => "read",
            Self::List => "list the 20 of a principal",
            Self::EndAll => "end the 20 of a principal",
            Self::Sweep => "sweep, each session",
        })
    }
}

/// How long each call took, in microseconds.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Cost(Vec<f64>);

impl Cost {
    pub(super) fn median_microseconds(&self) -> f64 {
        median(self.0.iter().copied())
    }

    fn add(&mut self, watch: Stopwatch, calls: usize) {
        self.0.push(each(watch.elapsed().as_secs_f64() * 1e6, calls));
    }
}

/// The sessions of a store: twenty for each principal.
pub(super) struct Population {
    store: Arc<dyn Store>,
    fixtures: Fixtures,
    random: Seeded,
    digests: Vec<TokenDigest>,
    /// Principals of index below this have been ended.
    ended: usize,
    strangers: usize,
    /// How long each took to file, when there last were some.
    pace: Duration,
}

impl Population {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            fixtures: Fixtures::new(1),
            random: Seeded::new(2),
            digests: Vec::new(),
            ended: 0,
            strangers: 0,
            pace: Duration::ZERO,
        }
    }

    /// How long it will take to file as many as are missing, at the pace so far; zero before the first.
    pub(super) fn time_to(&self, size: usize) -> Duration {
        let missing = size.saturating_sub(self.digests.len());
        self.pace.saturating_mul(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// What the measurement itself remembers, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.digests.capacity().saturating_mul(size_of::<TokenDigest>())
    }

    /// Files sessions until there are `size`.
    pub(super) async fn grow_to(&mut self, size: usize) -> Outcome {
        let Self { store, fixtures, digests, .. } = self;
        let (before, watch) = (digests.len(), Stopwatch::start());
        let filings = (digests.len()..size).map(|number| {
            let filing = lasting(fixtures.signed_in(&principal(number / EACH_HAS)), number);
            digests.push(filing.digest);
            filing
        });
        let inserts = stream::iter(filings).map(|filing| {
            let store = Arc::clone(store);
            async move { file(&*store, &filing, None).await }
        });
        let () = inserts.buffer_unordered(AT_ONCE).try_collect().await?;
        let filed = u32::try_from(size.saturating_sub(before)).unwrap_or(u32::MAX);
        self.pace = watch.elapsed().checked_div(filed).unwrap_or(self.pace);
        Ok(())
    }

    /// Asks everything that this store can be asked.
    pub(super) async fn measure(&mut self) -> Outcome<BTreeMap<Operation, Cost>> {
        let mut costs = BTreeMap::new();
        costs.insert(Operation::Read, self.read().await?);
        costs.insert(Operation::Issue, self.issue().await?);
        if self.store.capabilities().listing {
            costs.insert(Operation::List, self.list().await?);
            costs.insert(Operation::Sweep, self.sweep().await?);
        }
        costs.insert(Operation::EndAll, self.end_all().await?);
        Ok(costs)
    }

    async fn read(&mut self) -> Outcome<Cost> {
        let mut cost = Cost::default();
        let first = self.ended * EACH_HAS;
        for call in 0..CALLS + WARM_UP {
            let index = self.random_between(first, self.digests.len());
            let digest = *self.digests.get(index).doing("reading")?;
            let watch = Stopwatch::start();
            let found = self.store.get(digest, NOW).await.doing("reading")?;
            if !matches!(found, Lookup::Live(_)) {
                return Err(Error::new("reading", format!("a session is not alive: {found:?}")));
            }
            if call >= WARM_UP {
                cost.add(watch, 1);
            }
        }
        Ok(cost)
    }

    async fn issue(&mut self) -> Outcome<Cost> {
        let mut cost = Cost::default();
        for call in 0..CALLS + WARM_UP {
            self.strangers += 1;
            let name = format!("stranger-{}", self.strangers / EACH_HAS);
            let filing = lasting(self.fixtures.signed_in(&name), call);
            let watch = Stopwatch::start();
            file(&*self.store, &filing, Some(LIMIT)).await?;
            if call >= WARM_UP {
                cost.add(watch, 1);
            }
        }
        Ok(cost)
    }

    async fn list(&mut self) -> Outcome<Cost> {
        let mut cost = Cost::default();
        let principals = self.digests.len() / EACH_HAS;
        for call in 0..CALLS + WARM_UP {
            let name = principal(self.random_between(self.ended, principals));
            let mut filter = ListFilter::default();
            filter.principal = Some(principal_id(&name));
            let query = ListQuery::new(filter);
            let watch = Stopwatch::start();
            let page = self.store.list(&query, NOW).await.doing("listing")?;
            if page.items.len() != EACH_HAS {
                return Err(Error::new("listing", format!("{name} has {} sessions", page.items.len())));
            }
            if call >= WARM_UP {
                cost.add(watch, 1);
            }
        }
        Ok(cost)
    }

    async fn end_all(&mut self) -> Outcome<Cost> {
        let mut cost = Cost::default();
        for _ in 0..ENDS {
            let principal = principal_id(&principal(self.ended));
            self.ended += 1;
            let selector = Selector::Principal { principal, except: None };
            let request = EndRequest { selector: &selector, reason: EndReason::RevokedByAdmin, now: NOW };
            let watch = Stopwatch::start();
            let ending = self.store.end(request).await.doing("ending")?;
            cost.add(watch, 1);
            if ending.ended.len() != EACH_HAS {
                return Err(Error::new("ending", format!("{} sessions ended", ending.ended.len())));
            }
        }
        Ok(cost)
    }

    /// Sessions that run out are buried in rounds.
    async fn sweep(&mut self) -> Outcome<Cost> {
        for call in 0..RUN_OUT {
            self.strangers += 1;
            let name = format!("passer-by-{}", self.strangers / EACH_HAS);
            let filing = lasting(self.fixtures.signed_in(&name), call).with_absolute_at(RUNS_OUT_AT);
            file(&*self.store, &filing, None).await?;
        }
        let mut cost = Cost::default();
        let mut buried = 0;
        loop {
            let request = SweepRequest { now: SWEPT_AT, limit: SWEEP_LIMIT, lease: Duration::ZERO };
            let watch = Stopwatch::start();
            let swept = self.store.sweep(request).await.doing("sweeping")?;
            if !swept.ended.is_empty() {
                cost.add(watch, swept.ended.len());
            }
            buried += swept.ended.len();
            if !swept.more {
                break;
            }
        }
        if buried != RUN_OUT {
            return Err(Error::new("sweeping", format!("{buried} of {RUN_OUT} sessions were buried")));
        }
        Ok(cost)
    }

    fn random_between(&mut self, from: usize, to: usize) -> usize {
        let span = u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX);
        from.saturating_add(usize::try_from(self.random.below(span)).unwrap_or_default())
    }
}

async fn file(store: &dyn Store, filing: &Filing, limit: Option<SessionLimit>) -> Outcome {
    let request =
        InsertRequest { record: &filing.record, digest: filing.digest, limit, replaces: None, now: NOW };
    match store.insert(request).await.doing("filing a session")? {
        Inserted::Done { .. } => Ok(()),
        other => Err(Error::new("filing a session", format!("{other:?}"))),
    }
}

/// A session that outlasts the measurement, issued a little later than the one before.
fn lasting(filing: Filing, number: usize) -> Filing {
    let issued = at(i64::try_from(number % ISSUED_WITHIN).unwrap_or_default());
    filing.issued_at(issued).with_idle_timeout(LONG).with_absolute_at(T0.plus(LONG)).with_retention(LONG)
}

fn principal(index: usize) -> String {
    format!("user-{index:06}")
}

/// Sessions of a principal.
const EACH_HAS: usize = 20;
/// More than a principal has: the limit is looked at, and nobody is put out.
const LIMIT: SessionLimit =
    SessionLimit { max: NonZeroU32::new(25).expect("not zero"), on_limit: OnLimit::EndOldest };
/// Milliseconds within which sessions are issued.
const ISSUED_WITHIN: usize = 100_000;
/// When everything but sweeping happens: after the last was issued.
const NOW: Timestamp = Timestamp::from_millis(T0.as_millis() + 100_000);
/// When the sessions to be swept run out, and when they are swept.
const RUNS_OUT_AT: Timestamp = Timestamp::from_millis(NOW.as_millis() + 1_000);
const SWEPT_AT: Timestamp = Timestamp::from_millis(NOW.as_millis() + 2_000);
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);
/// Inserts under way at once while filling.
const AT_ONCE: usize = 256;
/// Calls of each kind at each size; a few before them don't count.
const CALLS: usize = 300;
const WARM_UP: usize = 20;
/// Principals whose sessions are ended at each size.
const ENDS: usize = 15;
/// Sessions that are swept at each size, and how many a round looks at.
const RUN_OUT: usize = 1_000;
const SWEEP_LIMIT: usize = 100;
