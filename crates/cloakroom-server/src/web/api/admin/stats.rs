//! `GET /v1/admin/stats`: how things stand.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{Because, Reach, WhenUnreachable};
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{malformed, parameters};
use crate::web::App;
use crate::web::admin::{Latency, Stats, Window};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// How far back.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct StatsRequest {
    /// `hour` (where it is not given) or `day`.
    #[param(value_type = Option<String>, pattern = "^(hour|day)$")]
    window: Option<String>,
}

/// How things stand. What cannot be found out at the moment is `null`.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct StatsAnswer {
    /// When this was found out: at most two seconds ago.
    at: String,
    /// The beginning of the first minute counted.
    since: String,
    /// `hour` or `day`.
    window: &'static str,
    /// Sessions by state, now; `null` also where nobody can count them.
    sessions: Option<CountsObject>,
    /// Sessions issued in the window, on all servers.
    issued: Option<u64>,
    /// Sessions ended in the window, by reason.
    ended: Option<BTreeMap<String, u64>>,
    /// Attempts to sign in within the window, by outcome: `success`, `refused`, `limited`, `unavailable`.
    sign_ins: Option<BTreeMap<String, u64>>,
    /// How long it takes to find out whether a session is valid, by source: `cache`, `store`. Of the server that answers,
    /// since it started.
    validations: BTreeMap<String, LatencyObject>,
    store: StoreObject,
    /// `ok` or `unavailable`.
    accounts: &'static str,
    /// Whether sessions are answered from memory, and whether that is believed.
    near_cache: NearCacheObject,
    /// How the list of ends stands, where sessions are sealed in their cookies and there is one.
    revocation_list: Option<RevocationListObject>,
    /// For each event and reason, the minutes in which it happened.
    series: Option<Vec<SeriesObject>>,
}

/// Sessions by state.
#[derive(Serialize, ToSchema)]
struct CountsObject {
    /// Live sessions of somebody.
    signed_in: u64,
    /// Live sessions in which nobody is signed in.
    anonymous: u64,
    /// What is left of ended ones.
    ended: u64,
}

/// How long something took, in seconds.
#[derive(Serialize, ToSchema)]
struct LatencyObject {
    /// How often it happened.
    count: u64,
    /// Half of the times took at most so long.
    p50: f64,
    /// 95 of 100 did.
    p95: f64,
    /// 99 of 100 did.
    p99: f64,
}

impl From<&Latency> for LatencyObject {
    fn from(latency: &Latency) -> Self {
        let Latency { count, p50, p95, p99 } = *latency;
        Self { count, p50, p95, p99 }
    }
}

/// The session store.
#[derive(Serialize, ToSchema)]
struct StoreObject {
    /// `sqlite`, `postgres`, …
    name: &'static str,
    /// `ok` or `unavailable`.
    health: &'static str,
    /// How long it took to answer, in seconds.
    took: f64,
}

/// A near cache, where there is one.
#[derive(Serialize, ToSchema)]
struct NearCacheObject {
    /// Whether there is one.
    enabled: bool,
    /// Why there is none: `switched_off`, `untold` (the store cannot tell of changes), `in_process`, `sealed` (sessions are in
    /// their cookies).
    because: Option<&'static str>,
    /// Whether it is believed for all sessions.
    trusted: Option<bool>,
    /// A session that was ended is refused by every server after so many seconds at the latest.
    lease: Option<f64>,
    /// Sessions in memory.
    entries: Option<usize>,
    /// Bytes that they take.
    bytes: Option<u64>,
    /// Bytes that they may take.
    max_bytes: Option<u64>,
}

impl From<Reach> for NearCacheObject {
    fn from(reach: Reach) -> Self {
        let none = |because| Self {
            enabled: false,
            because: Some(because),
            trusted: None,
            lease: None,
            entries: None,
            bytes: None,
            max_bytes: None,
        };
        match reach {
            Reach::NearCache(near) => Self {
                enabled: true,
                because: None,
                trusted: Some(near.is_trusted()),
                lease: Some(near.lease.as_secs_f64()),
                entries: Some(near.entries),
                bytes: Some(near.bytes),
                max_bytes: Some(near.max_bytes),
            },
            Reach::EveryReadAsks { because: Because::SwitchedOff } => none("switched_off"),
            Reach::EveryReadAsks { because: Because::Untold } => none("untold"),
            Reach::Sealed(_) => none("sealed"),
            _ => none("in_process"),
        }
    }
}

/// The list of ends of sealed sessions, as the server that answers sees it.
#[derive(Serialize, ToSchema)]
struct RevocationListObject {
    /// The kind of store it is kept in: `sqlite`, `postgres`, …
    kind: &'static str,
    /// Whether the server's copy of it is believed.
    trusted: bool,
    /// A session that was ended is refused by every server after so many seconds at the latest.
    lease: f64,
    /// How many seconds ago it was read to its end; `null` where it was not yet.
    read_ago: Option<f64>,
    /// Ends that are known.
    entries: usize,
    /// What becomes of requests while it cannot be read: `closed` or `open`.
    when_unreachable: &'static str,
}

impl RevocationListObject {
    fn of(reach: Reach) -> Option<Self> {
        let Reach::Sealed(state) = reach else { return None };
        let list = state.list?;
        Some(Self {
            kind: list.kind,
            trusted: list.trusted,
            lease: list.lease.as_secs_f64(),
            read_ago: list.read_ago.map(|ago| ago.as_secs_f64()),
            entries: list.entries,
            when_unreachable: match list.when_unreachable {
                WhenUnreachable::Closed => "closed",
                WhenUnreachable::Open => "open",
            },
        })
    }
}

/// One event and reason over time.
#[derive(Serialize, ToSchema)]
struct SeriesObject {
    event: String,
    reason: Option<String>,
    /// The minutes in which it happened, in their order.
    minutes: Vec<MinuteObject>,
}

/// One minute.
#[derive(Serialize, ToSchema)]
struct MinuteObject {
    /// Its beginning.
    at: String,
    count: u64,
}

impl From<&Stats> for StatsAnswer {
    fn from(stats: &Stats) -> Self {
        let owned = |sums: BTreeMap<&str, u64>| {
            sums.into_iter().map(|(key, count)| (key.to_owned(), count)).collect::<BTreeMap<_, _>>()
        };
        let counted = stats.counts.is_some();
        Self {
            at: stats.at.to_string(),
            since: stats.since.to_string(),
            window: stats.window.as_str(),
            sessions: stats.sessions.map(|counts| CountsObject {
                signed_in: counts.signed_in,
                anonymous: counts.anonymous,
                ended: counts.tombstones,
            }),
            issued: counted.then(|| stats.issued()),
            ended: counted.then(|| owned(stats.ended())),
            sign_ins: counted.then(|| owned(stats.sign_ins())),
            validations: stats
                .validations
                .iter()
                .map(|(source, took)| (source.clone(), took.into()))
                .collect(),
            store: StoreObject {
                name: stats.store.name,
                health: stats.store.health.as_str(),
                took: stats.store.took.as_secs_f64(),
            },
            accounts: stats.accounts.as_str(),
            near_cache: stats.reach.into(),
            revocation_list: RevocationListObject::of(stats.reach),
            series: series(stats),
        }
    }
}

fn series(stats: &Stats) -> Option<Vec<SeriesObject>> {
    let mut lines = BTreeMap::<(&str, Option<&str>), Vec<MinuteObject>>::new();
    for count in stats.counts.as_ref()? {
        let line = lines.entry((&count.event, count.reason.as_deref())).or_default();
        line.push(MinuteObject { at: count.at.to_string(), count: count.count });
    }
    let lines = lines.into_iter().map(|((event, reason), mut minutes)| {
        // RFC 3339 with three digits after the point: the order of the texts is that of the instants.
        minutes.sort_by(|one, other| one.at.cmp(&other.at));
        SeriesObject { event: event.to_owned(), reason: reason.map(str::to_owned), minutes }
    });
    Some(lines.collect())
}

/// Shows how things stand, and how they went in the last hour or day.
#[utoipa::path(get, path = "/v1/admin/stats", tag = "admin", params(StatsRequest), responses(
    (status = 200, description = "How things stand; what cannot be found out is `null`", body = StatsAnswer),
    (status = 400, description = "`malformed_request`")))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    session: Session,
    query: Result<Query<StatsRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let window = match parameters(query, "window")?.window.as_deref() {
        None | Some("hour") => Window::Hour,
        Some("day") => Window::Day,
        Some(_) => return Err(malformed("window is hour or day")),
    };
    let stats = app.stats(&staff, window).await?;
    Ok(axum::Json(StatsAnswer::from(&*stats)).into_response())
}
