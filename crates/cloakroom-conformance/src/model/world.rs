//! What is true, kept in the simplest way: a list of sessions, a list of ends of everything.
//!
//! Where the contract leaves a choice (when a tombstone past its retention is forgotten, which call reports a session
//! that time ended), the world allows each, and remembers which was taken.

use std::sync::Arc;

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict,
    idle_expires_at, judge,
};
use cloakroom_store::{Ended, Live, Lookup, Retired, Selector, Version};

/// Why the store and the model are not equal.
pub(super) type Disagreement = String;

/// Everything that is true.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    /// The latest instant at which anything was asked: what was over by then may be forgotten when it is due.
    pub(super) latest: Timestamp,
    pub(super) sessions: Vec<Session>,
    epochs: Vec<Epoch>,
}

/// A session, from insert until nothing is left of it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) record: SessionRecord,
    pub(super) digest: TokenDigest,
    pub(super) version: Version,
    pub(super) last_seen_at: Timestamp,
    pub(super) retired: Vec<OldToken>,
    /// Its end, once it is settled: by a decision, or by a time that the store has written down.
    pub(super) tombstone: Option<Tombstone>,
    pub(super) is_reported: bool,
    pub(super) is_gone: bool,
    /// How many ends of everything came before it.
    epochs_before: usize,
}

/// A token that was exchanged.
#[derive(Clone, Debug)]
pub(super) struct OldToken {
    pub(super) digest: TokenDigest,
    pub(super) rotated_at: Timestamp,
    pub(super) is_gone: bool,
}

/// When what need not be kept goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removal {
    /// With the sweep.
    Now,
    /// Some time after its retention.
    InItsOwnTime,
}

/// An end of everything, or of everything issued before an instant.
#[derive(Debug)]
struct Epoch {
    selector: Selector,
    reason: EndReason,
    now: Timestamp,
}

impl Session {
    pub(super) fn principal(&self) -> Option<PrincipalId> {
        self.record.principal.as_ref().map(|principal| principal.id().clone())
    }

    pub(super) fn buried(&self, reason: EndReason, ended_at: Timestamp) -> Tombstone {
        Tombstone { session: self.record.id, principal: self.principal(), ended_at, reason }
    }

    pub(super) fn live(&self) -> Live {
        Live { record: Arc::new(self.record.clone()), version: self.version, last_seen_at: self.last_seen_at }
    }

    /// The end that time alone brings by `now`.
    pub(super) fn expiry(&self, now: Timestamp) -> Option<Tombstone> {
        match judge(&self.record, self.last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some(self.buried(reason, at)),
        }
    }

    pub(super) fn kept_until(&self, ended_at: Timestamp) -> Timestamp {
        ended_at.plus(self.record.lifetime.tombstone_retention)
    }
}

impl World {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, latest: now, sessions: Vec::new(), epochs: Vec::new() }
    }

    pub(super) fn add(&mut self, record: SessionRecord, digest: TokenDigest) {
        self.sessions.push(Session {
            digest,
            version: Version::FIRST,
            last_seen_at: record.created_at,
            record,
            retired: Vec::new(),
            tombstone: None,
            is_reported: false,
            is_gone: false,
            epochs_before: self.epochs.len(),
        });
    }

    pub(super) fn end_everything(&mut self, selector: Selector, reason: EndReason) {
        self.epochs.push(Epoch { selector, reason, now: self.now });
    }

    /// The earliest instant of issue that no end of everything so far is about.
    pub(super) fn issued_from(&self) -> Timestamp {
        let instants = self.epochs.iter().filter_map(|epoch| match epoch.selector {
            Selector::IssuedBefore(instant) => Some(instant),
            _ => None,
        });
        instants.max().unwrap_or(Timestamp::from_millis(i64::MIN))
    }

    /// The latest instant at which everything was ended: what comes here later and was issued until then has ended too.
    pub(super) fn everything_ended_at(&self) -> Option<Timestamp> {
        let all = self.epochs.iter().filter(|epoch| matches!(epoch.selector, Selector::All));
        all.map(|epoch| epoch.now).max()
    }

    /// What became of `session` by now; `None` while it lives. What came first is what it was.
    pub(super) fn fate(&self, session: &Session) -> Option<Tombstone> {
        if let Some(tombstone) = &session.tombstone {
            return Some(tombstone.clone());
        }
        let about = |epoch: &&Epoch| match epoch.selector {
            Selector::IssuedBefore(instant) => session.record.created_at < instant,
            _ => true,
        };
        match self.epochs.iter().skip(session.epochs_before).find(about) {
            Some(epoch) if idle_expires_at(&session.record, session.last_seen_at) <= epoch.now => {
                session.expiry(epoch.now)
            }
            Some(epoch) => Some(session.buried(epoch.reason, epoch.now)),
            None => session.expiry(self.now),
        }
    }

    pub(super) fn is_live(&self, session: &Session) -> bool {
        self.fate(session).is_none()
    }

    /// Whether what is left of a session that ended at `ended_at` may have been forgotten.
    pub(super) fn may_be_forgotten(&self, session: &Session, ended_at: Timestamp) -> bool {
        session.kept_until(ended_at) <= self.latest
    }

    pub(super) fn position(&self, id: SessionId) -> Option<usize> {
        self.sessions.iter().position(|session| session.record.id == id)
    }

    /// Every digest ever filed, in the order of filing.
    pub(super) fn tokens(&self) -> Vec<TokenDigest> {
        let of = |session: &Session| {
            let old: Vec<TokenDigest> = session.retired.iter().map(|old| old.digest).collect();
            old.into_iter().chain([session.digest])
        };
        self.sessions.iter().flat_map(of).collect()
    }

    /// The session whose present or former token this is.
    pub(super) fn owner(&self, digest: TokenDigest) -> Option<usize> {
        let has = |session: &Session| {
            session.digest == digest || session.retired.iter().any(|old| old.digest == digest)
        };
        self.sessions.iter().position(has)
    }

    /// What a look-up of `digest` may find now: one thing, or two where what is left may have been forgotten.
    pub(super) fn lookup(&self, digest: TokenDigest) -> Vec<Lookup> {
        let Some(session) = self.owner(digest).and_then(|owner| self.sessions.get(owner)) else {
            return vec![Lookup::Unknown];
        };
        if let Some(old) = session.retired.iter().find(|old| old.digest == digest) {
            let retired = Lookup::Retired(Retired { session: session.record.id, rotated_at: old.rotated_at });
            let may_be_forgotten = self.may_be_forgotten(session, old.rotated_at);
            return if old.is_gone { vec![Lookup::Unknown] } else { remains(retired, may_be_forgotten) };
        }
        match self.fate(session) {
            None => vec![Lookup::Live(session.live())],
            Some(_) if session.is_gone => vec![Lookup::Unknown],
            Some(tombstone) => {
                let may_be_forgotten = self.may_be_forgotten(session, tombstone.ended_at);
                remains(Lookup::Ended(tombstone), may_be_forgotten)
            }
        }
    }

    /// Takes note of ends that the store reported. `required` are those it had to report now; besides them it may
    /// report what time or an end of everything ended, each session once.
    pub(super) fn hear(
        &mut self,
        reports: &[Ended],
        mut required: Vec<Tombstone>,
    ) -> Result<(), Disagreement> {
        for report in reports {
            let tombstone = Tombstone::from(report.clone());
            let position =
                self.position(report.session).ok_or_else(|| format!("reported {report:?}: unknown"))?;
            let expected = required.iter().position(|required| *required == tombstone);
            let session = self.sessions.get(position).expect("a position just found");
            let found_over = self.fate(session).as_ref() == Some(&tombstone) && !session.is_reported;
            match expected {
                Some(index) => drop(required.swap_remove(index)),
                None if found_over => {}
                None => return Err(format!("reported {report:?}; the model has {:?}", self.fate(session))),
            }
            self.settle(position, tombstone, true);
        }
        if required.is_empty() { Ok(()) } else { Err(format!("not reported: {required:?}")) }
    }

    /// From now on this is the session's end, whatever any clock says.
    pub(super) fn settle(&mut self, position: usize, tombstone: Tombstone, reported: bool) {
        if let Some(session) = self.sessions.get_mut(position) {
            session.tombstone.get_or_insert(tombstone);
            session.is_reported |= reported;
        }
    }

    /// Everything due by now is done: what is over has been reported, what need not be kept is gone.
    pub(super) fn all_swept(&mut self, removal: Removal) -> Result<(), Disagreement> {
        for position in 0..self.sessions.len() {
            let Some(session) = self.sessions.get(position) else { continue };
            let Some(tombstone) = self.fate(session) else { continue };
            if !session.is_reported {
                return Err(format!("nothing more to sweep, but this was never reported: {tombstone:?}"));
            }
            let due = removal == Removal::Now && session.kept_until(tombstone.ended_at) <= self.now;
            let now = self.now;
            if let Some(session) = self.sessions.get_mut(position) {
                session.is_gone |= due;
                let lifetime = session.record.lifetime;
                // A store may have put the removal off to the instant at which the session, when it looked, was
                // going to end at the latest.
                let nothing_keeps_it = session.is_gone && lifetime.absolute_expires_at <= now;
                for old in &mut session.retired {
                    old.is_gone |=
                        nothing_keeps_it && old.rotated_at.plus(lifetime.tombstone_retention) <= now;
                }
            }
        }
        Ok(())
    }
}

fn remains(found: Lookup, may_be_forgotten: bool) -> Vec<Lookup> {
    if may_be_forgotten { vec![found, Lookup::Unknown] } else { vec![found] }
}
