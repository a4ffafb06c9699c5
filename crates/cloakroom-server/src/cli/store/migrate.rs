//! `store migrate`: every session from one store to another, while servers keep running.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Beginning, Carried, CarriedPage, MovingStore};
use cloakroom_core::Timestamp;
use cloakroom_store::{Counts, ExportCursor, ExportQuery, Store};
use serde_json::json;

use super::patience::patiently;
use super::progress::{BookmarkFile, ProgressLine};
use crate::cli::output::counted;
use crate::cli::{CliError, ExitCode, GlobalArgs, Host, with_sources};
use crate::config::{Config, StoreUrl, format_duration};
use crate::stores;

/// Runs `store migrate`.
pub(super) async fn run(
    from: &StoreUrl,
    to: &StoreUrl,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<ExitCode, CliError> {
    check_addresses(from, to, config)?;
    let clock = Arc::clone(&host.clock);
    let old = patiently(&*clock, host.stderr, || stores::open_bare(from, config)).await?;
    let new = patiently(&*clock, host.stderr, || stores::open_bare(to, config)).await?;
    let file = BookmarkFile::new(&config.data_dir, from, to);
    let mut mover = Mover { both: MovingStore::new(Arc::clone(&old), Arc::clone(&new)), file, host };
    let since = mover.begin(to).await?;
    if !old.capabilities().listing {
        return Wait::new(from, since, config, mover.host).write(global, mover.host);
    }
    let walked = mover.walk(&*old).await?;
    // Every session was looked at in the new store: where they cannot be counted, that has to do.
    let in_old = mover.count(&*old).await?;
    let in_new = if new.capabilities().listing { mover.count(&*new).await? } else { None };
    mover.file.remove()?;
    Report { walked, in_old, in_new }.write(to, global, host).map(|()| ExitCode::Done)
}

/// Refuses a move that would sign people out of the servers of this configuration.
pub(super) fn check_servers(from: &StoreUrl, to: &StoreUrl, config: &Config) -> Result<(), CliError> {
    let remedy = "set `store` to the new store and `store_moving_from` to the old one, restart every server, then run this without \
                  --from and --to; where no server runs, add --offline";
    match &config.store_moving_from {
        None if config.store == *from => {
            let cause = format!(
                "servers of this configuration know {from} alone: whoever is signed in there would be signed out"
            );
            Err(CliError::failed(cause, remedy))
        }
        Some(moving_from) if moving_from != from || config.store != *to => {
            let cause = format!("servers of this configuration move from {moving_from} to {}", config.store);
            Err(CliError::failed(cause, remedy))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_addresses(from: &StoreUrl, to: &StoreUrl, config: &Config) -> Result<(), CliError> {
    if from == to {
        return Err(CliError::usage("both addresses are the same", "name two stores with --from and --to"));
    }
    for url in [from, to] {
        if url.is_sealed() {
            let cause = "sealed sessions are in their cookies: nobody but their clients has them to move";
            let remedy = "change `store` and restart every server; people sign in again";
            return Err(CliError::usage(cause, remedy));
        }
        if url.is_in_the_server() {
            let cause = "sessions in memory live inside a server, where this command cannot reach them";
            return Err(CliError::usage(cause, "name stores that last"));
        }
    }
    if let StoreUrl::Sqlite { path } = from {
        let path = path.clone().unwrap_or_else(|| config.default_sessions_path());
        if !path.exists() {
            let cause = format!("there is no store at {from}");
            return Err(CliError::failed(cause, "check --from and --data-dir"));
        }
    }
    Ok(())
}

struct Mover<'a, 'h> {
    both: MovingStore,
    file: BookmarkFile,
    host: &'a mut Host<'h>,
}

impl Mover<'_, '_> {
    /// Tells every server that moving has begun. Nobody waits until they have noticed: what a server files in the old store
    /// that has not, it brings over itself before it answers. Since when it has.
    async fn begin(&mut self, to: &StoreUrl) -> Result<Timestamp, CliError> {
        let clock = Arc::clone(&self.host.clock);
        let begin = || self.both.begin(clock.now());
        match patiently(&*clock, self.host.stderr, begin).await? {
            Beginning::Begun { since } => Ok(since),
            Beginning::TargetWasLeft => {
                let cause = format!("sessions were moved away from {to} before: it knows them as gone");
                let remedy =
                    "move into another file, schema, database or key prefix, or empty this one first";
                Err(CliError::failed(cause, remedy))
            }
            Beginning::SameStore => {
                let cause = format!("{to} is the store that sessions are to leave, under another address");
                Err(CliError::usage(cause, "name two stores with --from and --to"))
            }
        }
    }

    /// Moves what is there, from where the last run stopped, then proves that everything has moved.
    async fn walk(&mut self, old: &dyn Store) -> Result<Walked, CliError> {
        let bookmark = self.file.read().and_then(|bookmark| bookmark.cursor);
        let after = bookmark.and_then(|cursor| ExportCursor::new(cursor).ok());
        let resumed = after.is_some();
        let expected = self.count(old).await?.map(|counts| {
            let live = counts.anonymous.saturating_add(counts.signed_in);
            // A session that has moved is met once more, as what is left of it.
            live.saturating_mul(2).saturating_add(counts.tombstones)
        });
        let first = self.pass(after, expected).await?;
        self.verify(Walked { done: first, passes: 1, looked_at: first.seen(), resumed }).await
    }

    /// Looks at everything again until there is nothing left to do: then it is proved to have moved.
    async fn verify(&mut self, mut walked: Walked) -> Result<Walked, CliError> {
        let expected = walked.done.seen();
        while walked.passes < MAX_PASSES {
            if walked.passes > 1 {
                // What the last pass met may have come from servers that have not noticed. They bring it over themselves; only
                // the passes shall not be used up before all have.
                tokio::time::sleep(PAUSE_BETWEEN_PASSES).await;
            }
            let again = self.pass(None, Some(expected)).await?;
            walked.passes = walked.passes.saturating_add(1);
            walked.looked_at = walked.looked_at.saturating_add(again.seen());
            let mut all = walked.done.plus(again);
            // What the last pass saw, not what all of them did.
            (all.settled, all.damaged, all.kept_out) = (again.settled, again.damaged, again.kept_out);
            walked.done = all;
            if again.is_settled() {
                return Ok(walked);
            }
        }
        let kept_out = walked.done.kept_out;
        if kept_out > 0 {
            let cause = format!("the new store keeps {} out", counted(kept_out, "live session"));
            let remedy = "run this again; if they left the new store in an earlier move, move into another place instead";
            return Err(CliError::failed(cause, remedy));
        }
        let cause = format!("after {MAX_PASSES} passes there is still something new in the old store");
        Err(CliError::failed(
            cause,
            "restart the servers that do not have `store_moving_from` yet, then run this again",
        ))
    }

    async fn pass(
        &mut self,
        mut after: Option<ExportCursor>,
        expected: Option<u64>,
    ) -> Result<Carried, CliError> {
        let mut line = ProgressLine::new(self.host.is_watched, expected, self.host.clock.monotonic());
        let mut done = Carried::default();
        loop {
            let page = self.page(after).await?;
            done = done.plus(page.done);
            line.show(&done, self.host.clock.monotonic(), self.host.stderr)?;
            after = page.next;
            self.file.write(after.as_ref())?;
            if after.is_none() {
                line.clear(self.host.stderr)?;
                return Ok(done);
            }
        }
    }

    /// How many there are, to be told: a store of tens of millions may take too long to say, which is no reason not to move.
    async fn count(&mut self, store: &dyn Store) -> Result<Option<Counts>, CliError> {
        match store.count(self.host.clock.now()).await {
            Ok(counts) => Ok(Some(counts)),
            Err(error) => {
                writeln!(self.host.stderr, "note: {}; going on without", with_sources(&error))?;
                Ok(None)
            }
        }
    }

    /// One page, again where a store fails for a while.
    async fn page(&mut self, after: Option<ExportCursor>) -> Result<CarriedPage, CliError> {
        let (query, clock) = (ExportQuery::new(after, PAGE), Arc::clone(&self.host.clock));
        let page = patiently(&*clock, self.host.stderr, || self.both.carry(&query, clock.now())).await;
        page.map_err(|error| error.after("some sessions have moved and the same call goes on"))
    }
}

/// A store that cannot list is emptied by time alone.
struct Wait<'a> {
    from: &'a StoreUrl,
    since: Timestamp,
    /// The longest that a session may last.
    longest: Duration,
    /// Whatever was left in the old store is over.
    safe_from: Timestamp,
    is_over: bool,
}

impl<'a> Wait<'a> {
    fn new(from: &'a StoreUrl, since: Timestamp, config: &Config, host: &Host<'_>) -> Self {
        let longest = config.policy.timeouts().absolute;
        let longest = config.policy.remember_me().map_or(longest, |timeouts| timeouts.absolute.max(longest));
        let safe_from = since.plus(longest).plus(MARGIN);
        Self { from, since, longest, safe_from, is_over: safe_from <= host.clock.now() }
    }

    fn write(&self, global: &GlobalArgs, host: &mut Host<'_>) -> Result<ExitCode, CliError> {
        let Self { from, since, safe_from, is_over, .. } = self;
        let longest = format_duration(self.longest);
        if global.json {
            let report = json!({
                "verified": is_over,
                "listed": false,
                "begun_at": since.to_string(),
                "safe_from": safe_from.to_string(),
            });
            writeln!(host.stdout, "{report:#}")?;
        } else if *is_over {
            writeln!(
                host.stdout,
                "{from} cannot list its sessions. Moving began at {since}, and none of them lasts longer than {longest}: what is left \
                 there is over.\n{FORGET}"
            )?;
        } else {
            writeln!(
                host.stdout,
                "{from} cannot list its sessions. Moving began at {since}: since then new sessions are filed in the new store, and \
                 others move when they change.\n\
                 Keep `store_moving_from` on every server until {safe_from}: by then whatever is left in the old store, {longest} old \
                 at most, is over. From then on this call ends with exit code 0 instead of 3."
            )?;
        }
        Ok(if *is_over { ExitCode::Done } else { ExitCode::Begun })
    }
}

/// What was done, and how often everything was looked at.
#[derive(Clone, Copy)]
struct Walked {
    done: Carried,
    passes: u32,
    /// Entries, in all passes.
    looked_at: u64,
    /// Whether the first pass went on where an earlier run had stopped.
    resumed: bool,
}

struct Report {
    walked: Walked,
    /// `None` where a store cannot count, or took too long.
    in_old: Option<Counts>,
    in_new: Option<Counts>,
}

impl Report {
    fn write(&self, to: &StoreUrl, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
        let Walked { done, passes, looked_at, resumed } = self.walked;
        let Carried { sessions, tombstones, retired, ended, damaged, settled, .. } = done;
        let live = |counts: &Counts| counts.anonymous.saturating_add(counts.signed_in);
        if global.json {
            let counts = |counts: &Counts| json!({ "signed_in": counts.signed_in, "anonymous": counts.anonymous, "tombstones": counts.tombstones });
            let report = json!({
                "verified": true,
                "resumed": resumed,
                "passes": passes,
                "looked_at": looked_at,
                "moved": { "sessions": sessions, "tombstones": tombstones, "retired_tokens": retired },
                "ended_late": ended,
                "there_already": settled,
                "damaged": damaged,
                "old": self.in_old.as_ref().map(counts),
                "new": self.in_new.as_ref().map(counts),
            });
            writeln!(host.stdout, "{report:#}")?;
            return Ok(());
        }
        if resumed {
            writeln!(host.stdout, "Went on where an earlier run had stopped.")?;
        }
        writeln!(
            host.stdout,
            "Moved {}, {} and {} to {to}; looked at everything again and found nothing left to do ({passes} passes).",
            counted(sessions, "session"),
            counted(tombstones, "tombstone"),
            counted(retired, "exchanged token"),
        )?;
        let told = |counts: &Option<Counts>, unknown: &str| {
            counts.as_ref().map_or_else(|| unknown.to_owned(), |counts| counted(live(counts), "live session"))
        };
        let (old, new) =
            (told(&self.in_old, "uncounted sessions"), told(&self.in_new, "cannot count its own"));
        writeln!(host.stdout, "The old store has {old} left, the new one {new}.")?;
        if ended > 0 {
            writeln!(
                host.stdout,
                "{} had ended in the old store alone and ended in the new one now.",
                counted(ended, "session")
            )?;
        }
        if damaged > 0 {
            writeln!(
                host.stderr,
                "warning: {} cannot be read and stayed behind",
                counted(damaged, "damaged record")
            )?;
        }
        writeln!(host.stdout, "{FORGET}")?;
        Ok(())
    }
}

const FORGET: &str = "Now restart each server without `store_moving_from`.";
/// What servers filed in the old store until they noticed, and clocks that differ.
const MARGIN: Duration = Duration::from_secs(60);
const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
/// One to move, one to prove it, and a few for what servers still filed in the old store meanwhile.
const MAX_PASSES: u32 = 6;
/// Together longer than a server takes to notice: it asks once a second.
const PAUSE_BETWEEN_PASSES: Duration = Duration::from_secs(1);
