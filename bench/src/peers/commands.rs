//! The commands that a subject sends to Redis for each request.

use std::collections::BTreeMap;

use crate::error::Outcome;
use crate::monitor::Monitor;
use crate::statistics::{each, number};

use super::case::Case;
use super::server::Running;
use super::subject::SESSIONS_EACH;

/// How often each command was sent, for each request.
pub(super) type Commands = BTreeMap<String, f64>;

/// Counts the commands that requests of this case make a subject send. `None` where it has no Redis.
pub(super) fn count(running: &mut Running, case: Case) -> Outcome<Option<Commands>> {
    let Some(redis) = &running.redis else { return Ok(None) };
    let port = redis.port();
    // The first of a kind may prepare something: connections, scripts.
    running.requests(case, 2)?;
    if case.follows_a_read() {
        running.requests(Case::ColdRead, SESSIONS_EACH)?;
    }
    let mut monitor = Monitor::start(port)?;
    let requests = running.requests(case, REQUESTS_EACH)?;
    let counted = monitor.finish()?;
    Ok(Some(counted.into_iter().map(|(command, count)| (command, each(number(count), requests))).collect()))
}

/// Requests on each connection whose commands are counted.
const REQUESTS_EACH: usize = 20;
