//! Sealing the log, and removing what is older than it has to be.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Timestamp;

use super::{AuditLog, metrics};
use crate::anchor::Anchor;
use crate::verify::Follower;
use crate::{
    Along, AuditError, AuditRow, AuditStore, Batch, Checkpoint, Draft, Head, Order, Prune, Seal, SealingKey,
    Span, TrustedKeys, Walk, WriterId, names,
};

/// Seals what it has followed itself, and nothing else: a history that was written anew behind its back is not what it
/// vouched for before, and is never sealed.
pub(super) struct Keeper {
    key: Option<SealingKey>,
    trusted: TrustedKeys,
    anchor: Option<Anchor>,
    state: State,
    sealed: u64,
    sealed_at: Duration,
    pruned_at: Duration,
    has_more_to_prune: bool,
}

/// What it knows of the chain.
enum State {
    /// Nothing yet.
    New,
    /// It was as it should be up to here.
    Followed(Follower),
    /// It was changed: nothing is sealed or removed any more.
    Broken,
}

/// How far the chain was followed.
enum Reached {
    /// To its end.
    End(Head),
    /// Some way.
    NotYet,
    /// To where it was changed.
    Damage,
}

impl Keeper {
    pub(super) fn new(log: &AuditLog) -> Self {
        let options = &log.0.options;
        let now = options.clock.monotonic();
        Self {
            key: options.key.clone(),
            trusted: options.trusted.and(options.key.as_ref().map(|key| *key.public())),
            anchor: options.anchor.clone().map(Anchor::new),
            state: State::New,
            sealed: 0,
            sealed_at: now,
            pruned_at: now,
            has_more_to_prune: false,
        }
    }

    /// The name of this node: its key's.
    pub(super) fn node(&self) -> String {
        self.key.as_ref().map_or_else(|| "-".to_owned(), |key| key.public().id().to_string())
    }

    /// Rows that this process appended.
    pub(super) fn follow(&mut self, rows: &[AuditRow]) {
        if let State::Followed(follower) = &mut self.state
            && rows.first().is_some_and(|first| follower.is_followed_by(first))
        {
            // Its own rows: their hashes were computed in this process.
            if let Some(last) = rows.last() {
                *follower = Follower::from(last.head());
            }
        }
    }

    /// Seals and prunes where that is due; the rows that were appended by it.
    pub(super) async fn work(
        &mut self,
        log: &AuditLog,
        writer: WriterId,
        number: &mut u64,
    ) -> Vec<Vec<AuditRow>> {
        let now = log.0.options.clock.monotonic();
        if now.saturating_sub(self.sealed_at) >= SEAL_EVERY {
            self.seal(log).await;
        }
        let wait = if self.has_more_to_prune { Duration::ZERO } else { PRUNE_EVERY };
        if now.saturating_sub(self.pruned_at).saturating_sub(PRUNE_PAUSE) < wait {
            return Vec::new();
        }
        (self.pruned_at, self.has_more_to_prune) = (now, true);
        let forgotten = log.0.options.clock.now().minus(COUNTS_KEPT);
        if let Err(error) = log.0.store.forget(forgotten).await {
            tracing::warn!(%error, "old counts of the audit log were not removed");
        }
        let mut appended = Vec::new();
        for _ in 0..PRUNES_AT_ONCE {
            if !self.has_more_to_prune {
                break;
            }
            *number = number.saturating_add(1);
            match self.prune(log, writer, *number).await {
                Ok(Some(rows)) => appended.push(rows),
                Ok(None) => self.has_more_to_prune = false,
                Err(error) => {
                    self.has_more_to_prune = false;
                    tracing::warn!(%error, "old events of the audit log were not removed");
                }
            }
        }
        appended
    }

    /// Seals the log as far as it goes, unless it was changed.
    pub(super) async fn seal(&mut self, log: &AuditLog) {
        let Some(key) = self.key.clone() else { return };
        let followed = self.catch_up(&*log.0.store).await;
        if !matches!(followed, Ok(Reached::NotYet)) {
            self.sealed_at = log.0.options.clock.monotonic();
        }
        match followed {
            Ok(Reached::End(head)) if head.seq > self.sealed => {
                let seal = Seal::new(head, log.0.options.clock.now(), &key);
                if let Err(error) = self.keep(&*log.0.store, seal).await {
                    tracing::warn!(%error, "the audit log was not sealed");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the audit log could not be read to be sealed"),
        }
    }

    async fn keep(&mut self, store: &dyn AuditStore, seal: Seal) -> Result<(), AuditError> {
        store.put_seal(seal.clone()).await?;
        self.sealed = seal.seq;
        match &self.anchor {
            Some(anchor) => anchor.write(&seal).await,
            None => Ok(()),
        }
    }

    /// Follows the chain towards its end.
    async fn catch_up(&mut self, store: &dyn AuditStore) -> Result<Reached, AuditError> {
        if matches!(self.state, State::New) {
            let start = self.start(store).await?;
            self.sealed = start.seq;
            self.state = State::Followed(Follower::from(start));
            if !stands(store, start).await? {
                self.found_changed(&format!("event {} is not the one that this node had sealed", start.seq));
            }
        }
        for _ in 0..STEPS_AT_ONCE {
            let State::Followed(follower) = &mut self.state else { return Ok(Reached::Damage) };
            let span = Span { after: follower.head().seq, ..Span::ALL };
            let walk = Walk { along: Along::Log, span, order: Order::OldestFirst, limit: STEP };
            let rows = store.walk(walk).await?;
            if rows.is_empty() {
                let head = follower.head();
                // What was followed is still there, unless it was removed behind a checkpoint.
                if !stands(store, head).await? {
                    self.found_changed(&format!("event {} is gone", head.seq));
                    return Ok(Reached::Damage);
                }
                metrics::intact(true);
                return Ok(Reached::End(head));
            }
            if let Err(broken) = rows.iter().try_for_each(|row| follower.check(row)) {
                // Another node may have removed what comes next, all of it.
                if let Some(checkpoint) = self.genuine_checkpoint(store).await?
                    && rows.first().is_some_and(|row| row.seq == checkpoint.through.saturating_add(1))
                    && matches!(&self.state, State::Followed(at) if at.head().seq < checkpoint.through)
                {
                    self.state = State::Followed(Follower::from(checkpoint.head()));
                    continue;
                }
                self.found_changed(&broken.to_string());
                return Ok(Reached::Damage);
            }
        }
        Ok(Reached::NotYet)
    }

    /// Where this node's own word ends: its last seal, or else the beginning of what is left.
    async fn start(&self, store: &dyn AuditStore) -> Result<Head, AuditError> {
        let checkpoint = self.genuine_checkpoint(store).await?.map_or(Head::START, |found| found.head());
        let own = self.key.as_ref().map(|key| key.public().id());
        let mut seals = store.seals().await?;
        if let Some(anchor) = &self.anchor {
            seals.extend(anchor.read().await?);
        }
        let genuine =
            seals.iter().filter(|seal| Some(&seal.key) == own.as_ref() && seal.is_genuine(&self.trusted));
        let last = genuine.max_by_key(|seal| seal.seq).map_or(Head::START, Seal::head);
        Ok(if last.seq > checkpoint.seq { last } else { checkpoint })
    }

    async fn genuine_checkpoint(&self, store: &dyn AuditStore) -> Result<Option<Checkpoint>, AuditError> {
        let found = store.checkpoint().await?;
        Ok(found.filter(|checkpoint| checkpoint.is_genuine(&self.trusted)))
    }

    fn found_changed(&mut self, what: &str) {
        metrics::intact(false);
        tracing::error!(
            what,
            "the audit log was changed; it is sealed no longer: run `cloakroom audit verify`"
        );
        self.state = State::Broken;
    }

    /// Removes some of the oldest events where they are older than they have to be, or too many; the rows that tell of it.
    async fn prune(
        &self,
        log: &AuditLog,
        writer: WriterId,
        number: u64,
    ) -> Result<Option<Vec<AuditRow>>, AuditError> {
        let (Some(key), State::Followed(_)) = (&self.key, &self.state) else { return Ok(None) };
        let (store, options) = (&log.0.store, &log.0.options);
        let present = store.checkpoint().await?;
        if present.as_ref().is_some_and(|checkpoint| !checkpoint.is_genuine(&self.trusted)) {
            let error = "the checkpoint of the audit log is signed by no trusted key";
            return Err(AuditError::new("prune", error));
        }
        let (start, removed) =
            present.as_ref().map_or((Head::START, 0), |found| (found.head(), found.removed));
        let kept = store.head().await?.seq.saturating_sub(start.seq);
        let surplus = kept.saturating_sub(options.events_max);
        let now = options.clock.now();
        let oldest = now.minus(options.retention);
        let span = Span { after: start.seq, ..Span::ALL };
        let walk = Walk { along: Along::Log, span, order: Order::OldestFirst, limit: STEP };
        let rows = store.walk(walk).await?;
        let mut follower = Follower::from(start);
        let mut early = Early::default();
        for row in &rows {
            if row.at >= oldest && row.seq.saturating_sub(start.seq) > surplus {
                break;
            }
            // What was changed stays where it is: `verify` has to find it.
            follower.check(row).map_err(|broken| AuditError::new("prune", broken))?;
            if row.at >= oldest {
                early.add(row.at);
            }
        }
        let through = follower.head();
        let count = through.seq.saturating_sub(start.seq);
        if count == 0 {
            return Ok(None);
        }
        let draft = early.draft(now).with("through", through.seq).with("count", count);
        let prune = Prune {
            follows: present.map(|checkpoint| checkpoint.through),
            checkpoint: Checkpoint::new(through, removed.saturating_add(count), now, key),
            batch: Batch { writer, number, at: now, drafts: vec![draft] },
        };
        let appended = store.prune(Arc::new(prune)).await?;
        if appended.is_some() {
            early.tell(count, now, options.events_max);
        }
        Ok(appended)
    }
}

/// Events that are removed before their time, since there are too many.
#[derive(Default)]
struct Early {
    count: u64,
    /// The youngest of them.
    last_at: Option<Timestamp>,
}

impl Early {
    fn add(&mut self, at: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.last_at = self.last_at.max(Some(at));
    }

    /// What the log tells of a removal: whether it came before its time is not to be overlooked.
    fn draft(&self, now: Timestamp) -> Draft {
        match self.last_at {
            None => Draft::new(names::PRUNED, now),
            Some(at) => Draft::new(names::PRUNED_EARLY, now)
                .with("early", self.count)
                .with("age_seconds", now.since(at).as_secs()),
        }
    }

    fn tell(&self, of: u64, now: Timestamp, events_max: u64) {
        metrics::removed(of.saturating_sub(self.count), self.count);
        if let Some(at) = self.last_at {
            tracing::warn!(
                event = names::PRUNED_EARLY,
                count = self.count,
                age_seconds = now.since(at).as_secs(),
                events_max,
                "events of the audit log were removed before their time, since there were too many: \
                 raise `audit.events_max`, and look who causes them"
            );
        }
    }
}

/// Whether the log still has this head in it, or a checkpoint behind it.
async fn stands(store: &dyn AuditStore, head: Head) -> Result<bool, AuditError> {
    if head == Head::START {
        return Ok(true);
    }
    let span = Span { after: head.seq.saturating_sub(1), before: head.seq.saturating_add(1) };
    let walk = Walk { along: Along::Log, span, order: Order::OldestFirst, limit: STEP };
    if let Some(row) = store.walk(walk).await?.first() {
        return Ok(row.hash == head.hash);
    }
    Ok(store.checkpoint().await?.is_some_and(|checkpoint| checkpoint.through >= head.seq))
}

/// How often the log is sealed while events come: so much of its end is only chained.
const SEAL_EVERY: Duration = Duration::from_secs(5);
/// How often is looked for events that are older than they have to be.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Most removals in a row: new events wait meanwhile.
const PRUNES_AT_ONCE: u32 = 5;
/// And then they have this long.
const PRUNE_PAUSE: Duration = Duration::from_secs(1);
/// Most pages followed in a row, for the same reason: who begins with a long log goes on later.
const STEPS_AT_ONCE: u32 = 20;
/// For how long counts and samples are kept.
const COUNTS_KEPT: Duration = Duration::from_secs(35 * 86_400);
/// Rows read, and removed, at a time.
const STEP: std::num::NonZeroU16 = std::num::NonZeroU16::new(1_000).expect("not zero");
