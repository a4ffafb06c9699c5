//! Checking the log: every number, link, hash, seal, and the checkpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

use cloakroom_core::Timestamp;

use crate::{
    Along, AuditError, AuditRow, AuditStore, Checkpoint, Head, KeyId, Order, Seal, Span, TrustedKeys, Walk,
};

/// What became of checking a log.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// It is as it was written.
    Intact(Box<Verified>),
    /// It is not; the first event where that shows.
    Broken(Broken),
}

/// A log that is as it was written.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// How many events there are.
    pub events: u64,
    /// The first that is left, with when it happened.
    pub first: Option<(u64, Timestamp)>,
    /// The last, with when it happened.
    pub last: Option<(u64, Timestamp)>,
    /// How many were removed before the first, behind a checkpoint, and whose.
    pub removed: Option<(u64, KeyId)>,
    /// The last event that a believed key sealed: what comes after is chained, but nobody vouches for it yet.
    pub sealed: Option<u64>,
    /// How many seals there are of each believed key.
    pub keys: BTreeMap<KeyId, u64>,
    /// How many seals there are of each other key: they prove nothing.
    pub unknown: BTreeMap<KeyId, u64>,
}

/// What is wrong with a log, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The event where it shows.
    pub seq: u64,
    /// What it is.
    pub damage: Damage,
}

/// What can be wrong with a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// The event's fields do not have its hash: one of them was changed, or the hash.
    Changed,
    /// The event does not follow the one before: one of the two was replaced, moved or put between.
    Unlinked,
    /// It is missing, and so are those after it up to this one.
    Missing {
        /// The last that is missing.
        through: u64,
    },
    /// An event stands where only removed ones were.
    Inserted,
    /// A seal vouches for another event with this number.
    NotAsSealed {
        /// Whose seal.
        key: KeyId,
        /// When it was made.
        at: Timestamp,
    },
    /// A seal names a believed key, which did not sign it.
    ForgedSeal {
        /// The key that is named.
        key: KeyId,
    },
    /// The log ends before this event, which had been sealed.
    CutOff {
        /// Whose seal.
        key: KeyId,
        /// When it was made.
        at: Timestamp,
        /// The last event there is.
        last: u64,
    },
    /// The checkpoint up to this event was signed by no believed key.
    ForgedCheckpoint {
        /// The key that it names.
        key: KeyId,
        /// Whether that key is believed.
        is_trusted: bool,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match &self.damage {
            Damage::Changed => write!(f, "event {seq} was changed: it does not have its hash"),
            Damage::Unlinked => {
                let before = seq.saturating_sub(1);
                write!(f, "event {seq} does not follow event {before}: one of them was replaced or moved")
            }
            Damage::Missing { through } if *through == seq => write!(f, "event {seq} is missing"),
            Damage::Missing { through } => write!(f, "events {seq} to {through} are missing"),
            Damage::Inserted => write!(f, "event {seq} was put in where events had been removed"),
            Damage::NotAsSealed { key, at } => write!(
                f,
                "event {seq} is not the one that key {key} sealed at {at}: it or an earlier one was written anew"
            ),
            Damage::ForgedSeal { key } => write!(f, "the seal on event {seq} was not signed by key {key}"),
            Damage::CutOff { key, at, last } => write!(
                f,
                "event {seq} is missing: key {key} sealed it at {at}, but the log ends with event {last}"
            ),
            Damage::ForgedCheckpoint { key, is_trusted: true } => {
                write!(f, "the checkpoint up to event {seq} was not signed by key {key}")
            }
            Damage::ForgedCheckpoint { key, is_trusted: false } => {
                write!(f, "the checkpoint up to event {seq} names key {key}, which is not trusted")
            }
        }
    }
}

impl std::error::Error for Broken {}

/// Somebody who goes along a chain, event by event.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    head: Head,
}

impl From<Head> for Follower {
    fn from(head: Head) -> Self {
        Self { head }
    }
}

impl Follower {
    /// Where it is.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Whether `row` has the number and the link of the next event.
    #[must_use]
    pub fn is_followed_by(&self, row: &AuditRow) -> bool {
        row.seq == self.head.seq.saturating_add(1) && row.prev == self.head.hash
    }

    /// Goes on to `row`.
    ///
    /// # Errors
    /// [`Broken`] where that is not the next event of the chain.
    pub fn check(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let expected = self.head.seq.saturating_add(1);
        let broken = |damage| Err(Broken { seq: row.seq, damage });
        if row.seq < expected {
            return broken(Damage::Inserted);
        }
        if row.seq > expected {
            let through = row.seq.saturating_sub(1);
            return Err(Broken { seq: expected, damage: Damage::Missing { through } });
        }
        if row.computed_hash() != row.hash {
            return broken(Damage::Changed);
        }
        if row.prev != self.head.hash {
            return broken(Damage::Unlinked);
        }
        self.head = row.head();
        Ok(())
    }
}

/// Checks a log from its first event to its last. `anchor` is a seal that was kept elsewhere; `progress` is told how many
/// events were checked so far.
///
/// # Errors
/// [`AuditError`] where it cannot be read: then nothing is known.
///
/// # Cost
/// Reads everything once, in pages: memory does not grow with the log. Events that are appended meanwhile are checked too.
pub async fn verify(
    store: &dyn AuditStore,
    trusted: &TrustedKeys,
    anchor: Option<Seal>,
    progress: impl FnMut(u64),
) -> Result<Verdict, AuditError> {
    let mut verified = Verified::default();
    // Read before the events: what is sealed is there by then.
    let mut seals = store.seals().await?;
    seals.extend(anchor);
    seals.sort_by(|a, b| (a.seq, &a.key).cmp(&(b.seq, &b.key)));
    let mut start = Head::START;
    if let Some(checkpoint) = store.checkpoint().await? {
        if !checkpoint.is_genuine(trusted) {
            let is_trusted = trusted.trusts(&checkpoint.key);
            let damage = Damage::ForgedCheckpoint { key: checkpoint.key, is_trusted };
            return Ok(Verdict::Broken(Broken { seq: checkpoint.through, damage }));
        }
        start = checkpoint.head();
        verified.removed = Some((checkpoint.removed, checkpoint.key));
    }
    let checked = Checking { trusted, seals: seals.into_iter().peekable(), start, verified };
    checked.run(store, progress).await
}

struct Checking<'a> {
    trusted: &'a TrustedKeys,
    /// In the order of their numbers.
    seals: std::iter::Peekable<std::vec::IntoIter<Seal>>,
    start: Head,
    verified: Verified,
}

impl Checking<'_> {
    async fn run(
        mut self,
        store: &dyn AuditStore,
        mut progress: impl FnMut(u64),
    ) -> Result<Verdict, AuditError> {
        let mut follower = Follower::from(self.start);
        let mut after = 0;
        loop {
            let span = Span { after, ..Span::ALL };
            let walk = Walk { along: Along::Log, span, order: Order::OldestFirst, limit: STEP };
            let rows = store.walk(walk).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in &rows {
                if row.seq > follower.head().seq.saturating_add(1)
                    && let Some(checkpoint) = self.removed_meanwhile(store, row).await?
                {
                    follower = Follower::from(checkpoint.head());
                }
                let checked = follower.check(row).and_then(|()| self.check_seals(row.head()));
                if let Err(broken) = checked {
                    return Ok(Verdict::Broken(broken));
                }
                self.verified.events = self.verified.events.saturating_add(1);
                self.verified.first.get_or_insert((row.seq, row.at));
                self.verified.last = Some((row.seq, row.at));
            }
            progress(self.verified.events);
        }
        Ok(match self.check_end(follower.head()) {
            Ok(()) => Verdict::Intact(Box::new(self.verified)),
            Err(broken) => Verdict::Broken(broken),
        })
    }

    /// The checkpoint right before `row`, where the events that are missing before it were removed since this began.
    async fn removed_meanwhile(
        &mut self,
        store: &dyn AuditStore,
        row: &AuditRow,
    ) -> Result<Option<Checkpoint>, AuditError> {
        let found = store.checkpoint().await?;
        let found = found
            .filter(|found| found.through.saturating_add(1) == row.seq && found.is_genuine(self.trusted));
        if let Some(checkpoint) = &found {
            self.verified.removed = Some((checkpoint.removed, checkpoint.key.clone()));
        }
        Ok(found)
    }

    /// Compares the seals on an event, and forgets those of events that were removed.
    fn check_seals(&mut self, head: Head) -> Result<(), Broken> {
        while let Some(seal) = self.seals.next_if(|seal| seal.seq <= head.seq) {
            if self.vouches(&seal)? && seal.seq == head.seq {
                if seal.hash != head.hash {
                    let damage = Damage::NotAsSealed { key: seal.key, at: seal.at };
                    return Err(Broken { seq: seal.seq, damage });
                }
                self.verified.sealed = Some(seal.seq);
            }
        }
        Ok(())
    }

    fn check_end(&mut self, head: Head) -> Result<(), Broken> {
        while let Some(seal) = self.seals.next() {
            if self.vouches(&seal)? && seal.seq > head.seq {
                let damage = Damage::CutOff { key: seal.key, at: seal.at, last: head.seq };
                return Err(Broken { seq: seal.seq, damage });
            }
        }
        Ok(())
    }

    /// Whether a seal is a believed key's.
    fn vouches(&mut self, seal: &Seal) -> Result<bool, Broken> {
        if !self.trusted.trusts(&seal.key) {
            *self.verified.unknown.entry(seal.key.clone()).or_default() += 1;
            return Ok(false);
        }
        if !seal.is_genuine(self.trusted) {
            return Err(Broken { seq: seal.seq, damage: Damage::ForgedSeal { key: seal.key.clone() } });
        }
        *self.verified.keys.entry(seal.key.clone()).or_default() += 1;
        Ok(true)
    }
}

/// Rows read at a time: a megabyte at most.
const STEP: NonZeroU16 = NonZeroU16::new(1_000).expect("not zero");

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::{Batch, Draft, MemoryAudit, Prune, SEED_BYTES, SealingKey, WriterId};

    /// What a store in memory answers, which it does at once.
    fn now<T>(answer: crate::AuditFuture<'_, T>) -> T {
        match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.unwrap(),
            Poll::Pending => panic!("memory does not wait"),
        }
    }

    #[tokio::test]
    async fn events_removed_while_the_log_is_checked_are_not_missed_and_others_are() {
        let key = SealingKey::from_seed(&[1; SEED_BYTES]).unwrap();
        let trusted = TrustedKeys::new([*key.public()]);
        let stranger = SealingKey::from_seed(&[2; SEED_BYTES]).unwrap();
        for (by, is_intact) in [(&key, true), (&stranger, false)] {
            let store = MemoryAudit::default();
            let batch = |number, drafts| Batch {
                writer: WriterId::from_random([1; 16]),
                number,
                at: Timestamp::EPOCH,
                drafts,
            };
            let drafts = vec![Draft::new("a", Timestamp::EPOCH); 2_500];
            let rows = now(store.append(Arc::new(batch(1, drafts))));
            now(store.put_seal(Seal::new(rows[2_499].head(), Timestamp::EPOCH, &key)));
            let mut is_pruned = false;
            let verdict = verify(&store, &trusted, None, |_| {
                if !std::mem::replace(&mut is_pruned, true) {
                    let checkpoint = Checkpoint::new(rows[1_499].head(), 1_500, Timestamp::EPOCH, by);
                    let batch = batch(2, vec![Draft::new(crate::names::PRUNED, Timestamp::EPOCH)]);
                    now(store.prune(Arc::new(Prune { follows: None, checkpoint, batch }))).unwrap();
                }
            });
            let verdict = verdict.await.unwrap();
            match verdict {
                Verdict::Intact(verified) => {
                    assert!(is_intact);
                    assert_eq!(
                        (verified.sealed, verified.last.map(|last| last.0)),
                        (Some(2_500), Some(2_501))
                    );
                }
                Verdict::Broken(broken) => {
                    assert!(!is_intact, "{broken}");
                    assert_eq!(broken, Broken { seq: 1_001, damage: Damage::Missing { through: 1_500 } });
                }
            }
        }
    }
}
