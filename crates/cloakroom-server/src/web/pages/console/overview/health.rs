//! How store, memory, accounts and audit log are.

use std::time::Duration;

use cloakroom::{Because, BreakerState, NearCacheState, Reach, SealedState, Timestamp, WhenUnreachable};
use cloakroom_store::{Capabilities, Parts};

use crate::config::{format_bytes, format_duration};
use crate::web::App;
use crate::web::admin::{Health, Stats, StoreHealth};
use crate::web::pages::console::rows::{Badge, grouped};
use crate::web::pages::view::When;

/// One part of the server, and how it is.
pub(super) struct Check {
    /// Its name in tests.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) badge: Badge,
    pub(super) facts: Vec<Fact>,
}

/// One thing that is known.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl Fact {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into() }
    }
}

/// Everything that can be well or not.
pub(super) fn checks(app: &App, stats: &Stats, now: Timestamp) -> Vec<Check> {
    vec![store(app, &stats.store), memory(stats), accounts(stats.accounts), log(app, stats, now)]
}

fn store(app: &App, found: &StoreHealth) -> Check {
    let breaker = app.guards.iter().map(|guard| guard.state()).max_by_key(|state| severity(*state));
    let badge = match (found.health, breaker) {
        (Health::Unavailable, _) => Badge::new("bad", "Does not answer"),
        (Health::Ok, Some(BreakerState::Open)) => Badge::new("bad", "Refused for now"),
        (Health::Ok, Some(BreakerState::Recovering)) => Badge::new("warn", "Recovering"),
        (Health::Ok, _) => Badge::new("good", "Answers"),
    };
    let mut facts =
        vec![Fact::new("Kind", found.name), Fact::new("Answered in", format!("{:.1?}", found.took))];
    if let Some(state) = breaker {
        let words = match state {
            BreakerState::Closed => "closed: every call goes through",
            BreakerState::Recovering => "recovering: few calls at once, more with each answer",
            BreakerState::Open => "open: calls are refused at once, but for one now and then",
        };
        facts.push(Fact::new("Breaker", words));
    }
    if matches!(app.sessions.reach(), Reach::Sealed(_)) {
        facts.push(Fact::new("Sessions", "sealed in their cookies: neither listed nor counted"));
    } else {
        facts.push(Fact::new("Store", capabilities(app.sessions.store().capabilities())));
    }
    Check { name: "store", title: "Session store", badge, facts }
}

const fn severity(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::Recovering => 1,
        BreakerState::Open => 2,
    }
}

/// What the store can do, in one line.
fn capabilities(capabilities: Capabilities) -> String {
    let Capabilities { durable, shared, listing, limits, watch, .. } = capabilities;
    let words = [
        (durable, "survives restarts"),
        (shared, "serves many servers"),
        (listing, "lists and counts"),
        (limits, "limits sessions"),
        (watch, "tells of changes"),
    ];
    let told: Vec<&str> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
    if told.is_empty() { "keeps sessions, no more".to_owned() } else { told.join(", ") }
}

fn memory(stats: &Stats) -> Check {
    let (badge, mut facts) = match stats.reach {
        Reach::NearCache(near) => near_cache(near),
        Reach::Sealed(state) => revocations(state),
        Reach::EveryReadAsks { because } => {
            let why = match because {
                Because::InProcess => "the store is in this server: no memory is nearer",
                Because::SwitchedOff => "switched off by the configuration",
                Because::Untold => "the store tells nobody of changes",
                _ => "every request asks the store",
            };
            (Badge::new("plain", "None needed"), vec![Fact::new("Why", why)])
        }
        _ => (Badge::new("plain", "Unknown"), Vec::new()),
    };
    for (source, latency) in &stats.validations {
        let name = if source == "cache" { "From memory" } else { "From the store" };
        let text = format!(
            "{} looked up; half within {}, 99 of 100 within {}",
            grouped(latency.count),
            seconds(latency.p50),
            seconds(latency.p99)
        );
        facts.push(Fact::new(name, text));
    }
    let title = if matches!(stats.reach, Reach::Sealed(_)) { "List of what was ended" } else { "Near cache" };
    Check { name: "near-cache", title, badge, facts }
}

/// This server's copy of the list of ends, where sessions are sealed.
fn revocations(state: SealedState) -> (Badge, Vec<Fact>) {
    let Some(list) = state.list else {
        let means = "sessions end by time alone: whoever has a copy of a cookie stays signed in until then";
        return (Badge::new("bad", "None"), vec![Fact::new("Means", means)]);
    };
    let badge = match (list.trusted, list.when_unreachable) {
        (true, _) => Badge::new("good", "Believed"),
        (false, WhenUnreachable::Closed) => Badge::new("bad", "Not believed now"),
        (false, WhenUnreachable::Open) => Badge::new("bad", "Not believed, open"),
    };
    let read = list.read_ago.map_or_else(
        || "not yet".to_owned(),
        |ago| format!("{ago:.0?} ago; believed for {}", format_duration(list.lease)),
    );
    let meanwhile = match list.when_unreachable {
        WhenUnreachable::Closed => "sessions are unavailable while it cannot be read",
        WhenUnreachable::Open => "sessions are accepted that may have been ended, while it cannot be read",
    };
    let facts = vec![
        Fact::new("Kind", list.kind),
        Fact::new("Last read", read),
        Fact::new("Holds", format!("{} ends", counted(list.entries))),
        Fact::new("Out of reach", meanwhile),
    ];
    (badge, facts)
}

fn near_cache(near: NearCacheState) -> (Badge, Vec<Fact>) {
    let badge = if near.is_trusted() {
        Badge::new("good", "Trusted")
    } else if near.trusted > 0 {
        Badge::new("warn", "Trusted in part")
    } else {
        Badge::new("warn", "Not trusted now")
    };
    let proven = near.proven_ago.map_or_else(
        || "not since something was lost".to_owned(),
        |ago| format!("{:.0?} ago; believed for {}", ago, format_duration(near.lease)),
    );
    let facts = vec![
        Fact::new("Believed for", format!("{} of {} parts of all sessions", near.trusted, Parts::COUNT)),
        Fact::new("Last proven", proven),
        Fact::new(
            "Holds",
            format!(
                "{} sessions in {} of {}",
                counted(near.entries),
                approximately(near.bytes),
                format_bytes(near.max_bytes)
            ),
        ),
    ];
    (badge, facts)
}

fn accounts(health: Health) -> Check {
    let (badge, text) = match health {
        Health::Ok => (Badge::new("good", "Readable"), "People can sign in with their passwords."),
        Health::Unavailable => {
            (Badge::new("bad", "Cannot be read"), "Nobody can sign in with a password; sessions go on.")
        }
    };
    Check { name: "accounts", title: "Accounts", badge, facts: vec![Fact::new("Means", text)] }
}

fn log(app: &App, stats: &Stats, now: Timestamp) -> Check {
    let health = app.audit.health();
    let badge = match (health.failing_since, &stats.counts) {
        (Some(_), _) => Badge::new("bad", "Cannot be written"),
        (None, None) => Badge::new("bad", "Cannot be read"),
        (None, Some(_)) if health.dropped > 0 => Badge::new("warn", "Incomplete"),
        (None, Some(_)) => Badge::new("good", "Written"),
    };
    let last = health.last.map_or_else(
        || "none by this server yet".to_owned(),
        |(seq, at)| format!("number {}, {}", grouped(seq), When::new(at, now).ago),
    );
    let waiting = format!("{} of {} that may", counted(health.waiting), counted(health.capacity));
    let dropped = if health.dropped == 0 {
        "none since this server started".to_owned()
    } else {
        format!("{} since this server started: the queue was full", grouped(health.dropped))
    };
    let mut facts =
        vec![Fact::new("Last event", last), Fact::new("Waiting", waiting), Fact::new("Dropped", dropped)];
    if let Some(since) = health.failing_since {
        let since = When::new(since, now);
        facts.push(Fact::new("Failing since", format!("{} ({})", since.long, since.ago)));
    }
    Check { name: "audit", title: "Audit log", badge, facts }
}

fn counted(number: usize) -> String {
    grouped(u64::try_from(number).unwrap_or(u64::MAX))
}

fn seconds(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    format!("{duration:.0?}").replace("µs", " µs").replace("ms", " ms")
}

fn approximately(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
