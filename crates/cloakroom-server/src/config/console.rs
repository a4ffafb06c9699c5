//! `[console]`: what staff sees, and how fresh their proof of identity has to be.

use std::time::Duration;

use super::read::Reader;
use super::units::format_duration;

/// What staff sees, and how fresh their proof of identity has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// Whether the role `support` sees from which addresses people signed in.
    pub support_sees_addresses: bool,
    /// For how long after a proof of identity staff may change something without another.
    pub fresh_within: Duration,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { support_sees_addresses: false, fresh_within: Duration::from_secs(5 * 60) }
    }
}

/// Reads the section.
pub(super) fn read_console(r: &mut Reader<'_>) -> ConsoleConfig {
    let default = ConsoleConfig::default();
    ConsoleConfig {
        support_sees_addresses: r.get("console.support_sees_addresses").unwrap_or_default(),
        fresh_within: fresh_within(r).unwrap_or(default.fresh_within),
    }
}

fn fresh_within(r: &mut Reader<'_>) -> Option<Duration> {
    let key = "console.fresh_within";
    let within: Duration = r.get(key)?;
    if (FRESH_AT_LEAST..=FRESH_AT_MOST).contains(&within) {
        return Some(within);
    }
    let (least, most) = (format_duration(FRESH_AT_LEAST), format_duration(FRESH_AT_MOST));
    r.problem(key, format!("`{key}` is not between {least} and {most}"), format!("write {least} to {most}"));
    None
}

/// Shorter than it takes to confirm anything.
const FRESH_AT_LEAST: Duration = Duration::from_secs(1);
/// Longer, and a screen left alone would be as good as a password.
const FRESH_AT_MOST: Duration = Duration::from_secs(3_600);
