//! `[audit]`: how the audit log is kept, for how long, and where events go besides.

use std::path::PathBuf;
use std::time::Duration;

use cloakroom_audit::{
    DEFAULT_EVENTS_MAX, DEFAULT_QUEUE, DEFAULT_RETENTION, DEFAULT_WAIT, OnFull, PublicKey, SyslogAddress,
};
use figment::value::Value;

use super::read::{Reader, Setting, words};
use super::units::format_duration;

/// How the audit log is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuditConfig {
    /// What happens to events that find no room in the queue.
    pub on_full: OnFull,
    /// Most events that wait to be written.
    pub queue: usize,
    /// For how long a new request waits for room in the queue, where it waits.
    pub wait: Duration,
    /// For how long events are kept.
    pub retention: Duration,
    /// Most events kept.
    pub events_max: u64,
    /// The file of the key that seals the log; `None` for `audit.key` in the data directory.
    pub key_file: Option<PathBuf>,
    /// Public keys of other nodes, and of former keys of this one, whose seals are believed.
    pub trusted_keys: Vec<PublicKey>,
    /// A file that gets a line of JSON for each event.
    pub file: Option<PathBuf>,
    /// Where syslog messages are sent.
    pub syslog: Option<SyslogAddress>,
    /// The socket of journald.
    pub journald: Option<PathBuf>,
}

/// Reads the section.
pub(super) fn read_audit(r: &mut Reader<'_>) -> AuditConfig {
    let queue =
        r.get::<u32>("audit.queue").map_or(DEFAULT_QUEUE, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if !QUEUES.contains(&queue) {
        let (least, most) = (QUEUES.start(), QUEUES.end());
        let cause = format!("`audit.queue` is outside of {least} to {most}");
        r.problem("audit.queue", cause, format!("the default is {DEFAULT_QUEUE}"));
    }
    let wait = r.get("audit.wait").unwrap_or(DEFAULT_WAIT);
    if wait.is_zero() || wait > LONGEST_WAIT {
        let cause = format!("`audit.wait` is outside of 1ms to {}", format_duration(LONGEST_WAIT));
        r.problem("audit.wait", cause, format!("the default is \"{}\"", format_duration(DEFAULT_WAIT)));
    }
    let retention = r.get("audit.retention").unwrap_or(DEFAULT_RETENTION);
    if retention < SHORTEST_RETENTION {
        let cause = "`audit.retention` is shorter than an hour: nobody could look back at anything";
        r.problem(
            "audit.retention",
            cause,
            format!("the default is \"{}\"", format_duration(DEFAULT_RETENTION)),
        );
    }
    let events_max = r.get::<u32>("audit.events_max").map_or(DEFAULT_EVENTS_MAX, u64::from);
    if events_max < FEWEST_EVENTS {
        let cause = format!(
            "`audit.events_max` is below {FEWEST_EVENTS}: whoever makes noise would push out what matters"
        );
        r.problem("audit.events_max", cause, format!("the default is {DEFAULT_EVENTS_MAX}"));
    }
    AuditConfig {
        on_full: r.get("audit.on_full").unwrap_or_default(),
        queue,
        wait,
        retention,
        events_max,
        key_file: r.get("audit.key_file"),
        trusted_keys: r.get("audit.trusted_keys").unwrap_or_default(),
        file: r.get("audit.file"),
        syslog: r.get("audit.syslog"),
        journald: r.get("audit.journald"),
    }
}

words!(OnFull, "\"count\" or \"block\"", "count" => OnFull::Count, "block" => OnFull::Block);

impl Setting for PublicKey {
    const EXPECTED: &'static str = "public keys as `cloakroom doctor` prints them: \"ed25519:…\"";

    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        text.parse().map_err(|_| format!("has \"{}\", which is no public key", text.escape_debug()))
    }
}

impl Setting for SyslogAddress {
    const EXPECTED: &'static str =
        "a socket or a machine, such as \"/dev/log\" or \"udp://logs.example.org:514\"";

    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        text.parse().map_err(|_| format!("is \"{}\", which is neither", text.escape_debug()))
    }
}

/// From a handful of requests to half a gigabyte of memory.
const QUEUES: std::ops::RangeInclusive<usize> = 64..=1_048_576;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const SHORTEST_RETENTION: Duration = Duration::from_secs(3_600);
const FEWEST_EVENTS: u64 = 10_000;
