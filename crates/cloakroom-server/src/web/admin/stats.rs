//! How things stand: what the overview shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Counts, Reach, Timestamp};
use cloakroom_audit::{Count, names};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;

use super::Latency;
use super::act::unreadable;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// How far back [`Stats`] count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(in crate::web) enum Window {
    /// The last hour.
    #[default]
    Hour,
    /// The last day.
    Day,
}

impl Window {
    /// Its word in addresses.
    pub(in crate::web) const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn minutes(self) -> u64 {
        match self {
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

/// How things stand. What cannot be found out is `None`; the rest is told all the same.
#[derive(Clone, Debug)]
pub(in crate::web) struct Stats {
    /// When this was found out.
    pub(in crate::web) at: Timestamp,
    /// The beginning of the first minute counted: each window has whole minutes, the running one included.
    pub(in crate::web) since: Timestamp,
    /// How far back it counts.
    pub(in crate::web) window: Window,
    /// Whether sessions can be counted at all.
    pub(in crate::web) is_counted: bool,
    /// Live sessions and what is left of others; `None` where the store cannot say.
    pub(in crate::web) sessions: Option<Counts>,
    /// The session store.
    pub(in crate::web) store: StoreHealth,
    /// Whether accounts can be read.
    pub(in crate::web) accounts: Health,
    /// What the log counted, for each minute, event and reason; `None` where it cannot be read.
    pub(in crate::web) counts: Option<Vec<Count>>,
    /// How this server stands to what happens in the store elsewhere: whether it has a near cache, and trusts it.
    pub(in crate::web) reach: Reach,
    /// How long it took to find out whether a session is valid, by source: `cache`, `store`. Of this server, since it
    /// started.
    pub(in crate::web) validations: BTreeMap<String, Latency>,
}

/// How the session store is.
#[derive(Clone, Debug)]
pub(in crate::web) struct StoreHealth {
    /// Its kind: `sqlite`, `postgres`.
    pub(in crate::web) name: &'static str,
    /// Whether it answers.
    pub(in crate::web) health: Health,
    /// How long it took.
    pub(in crate::web) took: Duration,
}

/// Whether something answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) enum Health {
    /// It does.
    Ok,
    /// It does not, at the moment.
    Unavailable,
}

impl Health {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Ok } else { Self::Unavailable }
    }

    /// The word for it.
    pub(in crate::web) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Stats {
    /// How many sessions were issued in the window.
    pub(in crate::web) fn issued(&self) -> u64 {
        self.sum(|count| count.event == "session_created")
    }

    /// How many sessions ended in the window, by reason.
    pub(in crate::web) fn ended(&self) -> BTreeMap<&str, u64> {
        self.by(|count| count.reason.as_deref().filter(|_| is_end(&count.event)))
    }

    /// How many attempts to sign in there were in the window, by outcome.
    pub(in crate::web) fn sign_ins(&self) -> BTreeMap<&str, u64> {
        self.by(|count| {
            Some(match count.event.as_str() {
                names::SIGN_IN_SUCCESS => "success",
                names::SIGN_IN_FAIL => "refused",
                names::SIGN_IN_FAIL_MAX => "limited",
                names::SIGN_IN_UNAVAILABLE => "unavailable",
                _ => return None,
            })
        })
    }

    fn sum(&self, counts: impl Fn(&Count) -> bool) -> u64 {
        self.counts.iter().flatten().filter(|count| counts(count)).map(|count| count.count).sum()
    }

    fn by<'a>(&'a self, key: impl Fn(&'a Count) -> Option<&'a str>) -> BTreeMap<&'a str, u64> {
        let mut sums = BTreeMap::new();
        for count in self.counts.iter().flatten() {
            if let Some(key) = key(count) {
                *sums.entry(key).or_default() += count.count;
            }
        }
        sums
    }
}

/// Whether an event of this name is the end of a session.
fn is_end(event: &str) -> bool {
    matches!(event, "session_logout" | "session_expired" | "session_revoked")
}

/// The last [`Stats`], so that any number of consoles ask the store once in a while.
#[derive(Debug, Default)]
pub(in crate::web) struct StatsMemory {
    last: Mutex<BTreeMap<&'static str, (Duration, Arc<Stats>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl App {
    /// How things stand: at most [`OLD_AFTER`] old.
    ///
    /// # Errors
    /// Forbidden. What is down is said in the answer.
    pub(in crate::web) async fn stats(&self, staff: &Staff, window: Window) -> Result<Arc<Stats>, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        let remembered = || {
            let now = self.sessions.clock().monotonic();
            let last = self.stats.last.lock().get(window.as_str()).cloned();
            last.filter(|(at, _)| now.saturating_sub(*at) < OLD_AFTER).map(|(_, stats)| stats)
        };
        if let Some(stats) = remembered() {
            return Ok(stats);
        }
        // One asks, the others wait for what it finds.
        let _asking = self.stats.asking.lock().await;
        if let Some(stats) = remembered() {
            return Ok(stats);
        }
        let stats = Arc::new(self.find_stats(window).await);
        let at = self.sessions.clock().monotonic();
        self.stats.last.lock().insert(window.as_str(), (at, stats.clone()));
        Ok(stats)
    }

    async fn find_stats(&self, window: Window) -> Stats {
        let at = self.sessions.now();
        let minutes = i64::try_from(window.minutes()).unwrap_or(i64::MAX);
        let this_minute = at.as_millis().div_euclid(MINUTE_MILLIS);
        let since = Timestamp::from_millis((this_minute + 1 - minutes) * MINUTE_MILLIS);
        let asked = self.sessions.clock().monotonic();
        let answered = self.sessions.ping().await;
        let took = self.sessions.clock().monotonic().saturating_sub(asked);
        let health = Health::of(&answered);
        let sessions = match health {
            Health::Ok if self.can_list() => self.sessions.count().await.ok(),
            Health::Ok | Health::Unavailable => None,
        };
        let counts = self.audit.counts(since).await;
        if let Err(error) = &counts {
            unreadable(error);
        }
        let exposition = self.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
        Stats {
            at,
            since,
            window,
            is_counted: self.can_list(),
            sessions,
            store: StoreHealth { name: self.sessions.store().name(), health, took },
            accounts: Health::of(&self.accounts.count().await),
            counts: counts.ok(),
            reach: self.sessions.reach(),
            validations: Latency::of(&exposition, VALIDATION_SECONDS, "source"),
        }
    }
}

const MINUTE_MILLIS: i64 = 60_000;
/// For how long stats are told again: counting a million sessions is not done for every look.
const OLD_AFTER: Duration = Duration::from_secs(2);
const VALIDATION_SECONDS: &str = "cloakroom_validation_duration_seconds";
