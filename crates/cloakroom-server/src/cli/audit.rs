//! `audit …`: checking and exporting the audit log beside a running server.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use cloakroom_audit::{AuditQuery, AuditStore, Broken, KeyId, PublicKey, Verdict, Verified, page, verify};
use serde_json::{Value, json};

use super::output::counted;
use super::{AuditCommand, AuditFormat, CliError, ExportArgs, GlobalArgs, Host};
use crate::audit;
use crate::config::Config;
use crate::export::{CSV_HEAD, csv_line, json_line};

/// Runs `audit …`.
pub(super) async fn run(
    command: &AuditCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let Some(log) = audit::open_existing(config).await? else {
        let cause = format!("there is no audit log yet at {}", config.accounts);
        return Err(CliError::failed(cause, "check --config and --data-dir, or start the server first"));
    };
    match command {
        AuditCommand::Verify => check(&*log, config, global, host).await,
        AuditCommand::Export(args) => export(&*log, args, host).await,
    }
}

async fn check(
    log: &dyn AuditStore,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let (trusted, own) = audit::trusted(config).await?;
    let anchor = audit::anchor(config).read().await?;
    let removed = log.checkpoint().await?.map_or(0, |checkpoint| checkpoint.through);
    let expected = log.head().await?.seq.saturating_sub(removed);
    let mut line = Line::new(expected);
    let verdict = verify(log, &trusted, anchor, |checked| line.show(checked, host)).await;
    line.clear(host);
    match verdict? {
        Verdict::Intact(verified) => {
            let text = if global.json {
                format!("{:#}\n", intact_json(&verified))
            } else {
                intact(&verified, own.as_ref())
            };
            Ok(host.stdout.write_all(text.as_bytes())?)
        }
        Verdict::Broken(broken) => {
            if global.json {
                writeln!(host.stdout, "{:#}", broken_json(&broken))?;
            }
            let remedy = "keep a copy of the database as it is; what was exported or sent to a sink before tells what stood there";
            Err(CliError::failed(format!("the audit log is not as it was written: {broken}"), remedy))
        }
    }
}

/// What is known of a log that is as it was written.
fn intact(verified: &Verified, own: Option<&PublicKey>) -> String {
    let mut text = match (verified.first, verified.last) {
        (Some((first, from)), Some((last, to))) => format!(
            "The audit log is intact: {}, from {first} ({from}) to {last} ({to}).\n",
            counted(verified.events, "event")
        ),
        _ => "The audit log is empty.\n".to_owned(),
    };
    if let Some((removed, key)) = &verified.removed {
        let events = counted(*removed, "event");
        text.push_str(&format!("  Before that {events} were removed, behind a checkpoint of key {key}.\n"));
    }
    let last = verified.last.map_or(0, |(last, _)| last);
    text.push_str(&match verified.sealed {
        Some(sealed) => {
            let open = last.saturating_sub(sealed);
            let after = if open == 0 { "all of it".to_owned() } else { format!("{} after it are not yet", counted(open, "event")) };
            format!("  Sealed up to event {sealed}; {after}.\n")
        }
        None if verified.events > 0 => {
            "  No trusted key has sealed it: whoever can write the database could have written all of it anew.\n".to_owned()
        }
        None => String::new(),
    });
    for (key, seals) in &verified.keys {
        let whose = if own.is_some_and(|own| own.id() == *key) { " (this node)" } else { "" };
        text.push_str(&format!("  Key {key}{whose}: {}.\n", counted(*seals, "seal")));
    }
    for (key, seals) in &verified.unknown {
        let seals = counted(*seals, "seal");
        text.push_str(&format!(
            "  Key {key} is not trusted: {seals} prove nothing. If it is another node's, list it in `audit.trusted_keys`.\n"
        ));
    }
    text
}

fn intact_json(verified: &Verified) -> Value {
    let place = |place: Option<(u64, _)>| {
        place.map(|(seq, at): (u64, cloakroom::Timestamp)| json!({ "seq": seq, "at": at.to_string() }))
    };
    let keys = |keys: &BTreeMap<KeyId, u64>| -> Vec<Value> {
        keys.iter().map(|(key, seals)| json!({ "key": key.as_str(), "seals": seals })).collect()
    };
    json!({
        "intact": true,
        "events": verified.events,
        "first": place(verified.first),
        "last": place(verified.last),
        "sealed_through": verified.sealed,
        "removed": verified.removed.as_ref().map(|(removed, key)| json!({ "events": removed, "key": key.as_str() })),
        "keys": keys(&verified.keys),
        "unknown_keys": keys(&verified.unknown),
    })
}

fn broken_json(broken: &Broken) -> Value {
    json!({ "intact": false, "seq": broken.seq, "damage": broken.to_string() })
}

async fn export(log: &dyn AuditStore, args: &ExportArgs, host: &mut Host<'_>) -> Result<(), CliError> {
    let mut query = AuditQuery::latest();
    query.after = Some(0);
    query.since = args.since;
    query.until = args.until;
    query.principal = args.principal.clone();
    query.event = args.event.clone();
    query.limit = STEP;
    if args.format == AuditFormat::Csv {
        host.stdout.write_all(CSV_HEAD.as_bytes())?;
    }
    let mut line = Line::new(log.head().await?.seq);
    loop {
        let found = page(log, &query).await?;
        let mut text = String::new();
        for event in &found.events {
            text.push_str(&match args.format {
                AuditFormat::Jsonl => json_line(event),
                AuditFormat::Csv => csv_line(event),
            });
        }
        host.stdout.write_all(text.as_bytes())?;
        let Some(next) = found.next else { break };
        query.after = Some(next);
        line.show(next, host);
    }
    line.clear(host);
    Ok(host.stdout.flush()?)
}

/// One line for whoever watches a long command.
struct Line {
    expected: u64,
    shown: Option<Duration>,
}

impl Line {
    const fn new(expected: u64) -> Self {
        Self { expected, shown: None }
    }

    /// Shows how far it is, a few times a second. A terminal that takes nothing stops no work.
    fn show(&mut self, done: u64, host: &mut Host<'_>) {
        let now = host.clock.monotonic();
        if !host.is_watched || self.shown.is_some_and(|shown| now.saturating_sub(shown) < EVERY) {
            return;
        }
        self.shown = Some(now);
        let _ = write!(host.stderr, "\r\x1b[K{done} of about {} events", self.expected.max(done));
        let _ = host.stderr.flush();
    }

    /// Leaves the line free for what comes.
    fn clear(&self, host: &mut Host<'_>) {
        if self.shown.is_some() {
            let _ = write!(host.stderr, "\r\x1b[K");
        }
    }
}

const STEP: NonZeroU16 = NonZeroU16::new(1_000).expect("not zero");
const EVERY: Duration = Duration::from_millis(250);
