//! The steps that change or end what is there.

use std::collections::BTreeSet;

use cloakroom_core::{AttributeKey, EndReason, TokenDigest};
use cloakroom_store::{Ending, Lookup, Rekeyed, Replaced, Selector, Version};

use super::play::{Play, agree, shifted};
use super::step::Guess;
use super::world::{Disagreement, OldToken, Removal, Session};
use crate::fixtures::Filing;
use crate::subject::Subject;

impl Play<'_> {
    /// The session whose token `digest` is or was, and the version a caller guesses it to have.
    fn guess(&self, digest: TokenDigest, guess: Guess) -> Option<(usize, Version)> {
        let owner = self.world.owner(digest)?;
        let right = self.world.sessions.get(owner)?.version;
        let version = match guess {
            Guess::Right => right,
            Guess::Earlier => Version::from_u64(right.as_u64().saturating_sub(1)),
            Guess::Later => right.next(),
        };
        Some((owner, version))
    }

    pub(super) async fn replace(
        &mut self,
        store: &Subject,
        token: usize,
        guess: Guess,
        value: u8,
    ) -> Result<(), Disagreement> {
        let Some(digest) = self.token(token) else { return Ok(()) };
        let Some((owner, version)) = self.guess(digest, guess) else { return Ok(()) };
        let Some(session) = self.world.sessions.get(owner) else { return Ok(()) };
        let mut record = session.record.clone();
        let key = AttributeKey::new("value").expect("a key");
        record.attributes.insert_bytes(key, vec![value; usize::from(value)].into());
        let possible: Vec<Replaced> = self
            .world
            .lookup(digest)
            .into_iter()
            .map(|found| match found {
                Lookup::Live(live) if live.version == version => Replaced::Done(version.next()),
                Lookup::Live(live) => Replaced::Conflict(live),
                Lookup::Ended(tombstone) => Replaced::Ended(tombstone),
                Lookup::Retired(retired) => Replaced::Retired(retired),
                Lookup::Unknown => Replaced::Unknown,
            })
            .collect();
        let answer = store.change(digest, version, &record, self.world.now).await;
        agree(&answer, &possible)?;
        if let (Replaced::Done(version), Some(session)) = (answer, self.world.sessions.get_mut(owner)) {
            session.record = record;
            session.version = version;
        }
        Ok(())
    }

    pub(super) async fn rekey(
        &mut self,
        store: &Subject,
        token: usize,
        guess: Guess,
        to: Option<usize>,
    ) -> Result<(), Disagreement> {
        let Some(digest) = self.token(token) else { return Ok(()) };
        let Some((owner, version)) = self.guess(digest, guess) else { return Ok(()) };
        let Some(session) = self.world.sessions.get(owner) else { return Ok(()) };
        let now = self.world.now;
        let filing = Filing { record: session.record.clone(), digest };
        let taken = to
            .and_then(|number| self.token(number))
            .filter(|taken| taken.route() == digest.route() && self.is_surely_taken(*taken));
        let fresh = self.fixtures.next_digest(&filing);
        let next = filing.rotated(taken.unwrap_or(fresh), now);
        let mut possible: Vec<Rekeyed> = self
            .world
            .lookup(digest)
            .into_iter()
            .map(|found| match found {
                Lookup::Live(live) if live.version != version => Rekeyed::Conflict(live),
                Lookup::Live(_) if taken.is_some() => Rekeyed::AlreadyExists,
                Lookup::Live(_) => Rekeyed::Done(version.next()),
                Lookup::Ended(tombstone) => Rekeyed::Ended(tombstone),
                Lookup::Retired(retired) => Rekeyed::Retired(retired),
                Lookup::Unknown => Rekeyed::Unknown,
            })
            .collect();
        if taken.is_some() && matches!(possible.as_slice(), [Rekeyed::Conflict(_)]) {
            // Both are so, and nothing says which is noticed first.
            possible.push(Rekeyed::AlreadyExists);
        }
        let answer = store.exchange(digest, version, &next, now).await;
        agree(&answer, &possible)?;
        if let (Rekeyed::Done(version), Some(session)) = (answer, self.world.sessions.get_mut(owner)) {
            session.retired.push(OldToken { digest, rotated_at: now, is_gone: false });
            session.record = next.record;
            session.digest = next.digest;
            session.version = version;
            session.last_seen_at = session.last_seen_at.max(now);
        }
        Ok(())
    }

    pub(super) async fn touch(
        &mut self,
        store: &Subject,
        touches: &[(usize, i64)],
    ) -> Result<(), Disagreement> {
        let named =
            |(token, seen): &(usize, i64)| Some((self.token(*token)?, shifted(self.world.now, *seen)));
        let batch: Vec<_> = touches.iter().filter_map(named).collect();
        let report = store.note(&batch, self.world.now).await;
        let (mut moved, mut effective) = (BTreeSet::new(), 0);
        for (digest, seen_at) in &batch {
            let owner = self.world.sessions.iter().position(|session| session.digest == *digest);
            let live = |session: &&Session| self.world.is_live(session) && session.last_seen_at < *seen_at;
            let Some(position) = owner.filter(|owner| self.world.sessions.get(*owner).filter(live).is_some())
            else {
                continue;
            };
            if let Some(session) = self.world.sessions.get_mut(position) {
                session.last_seen_at = *seen_at;
            }
            moved.insert(position);
            effective += 1;
        }
        let digests: BTreeSet<TokenDigest> = batch.iter().map(|(digest, _)| *digest).collect();
        let all_told = report.touched + report.ignored;
        let exact = digests.len() < batch.len() || all_told == batch.len();
        if (moved.len()..=effective).contains(&report.touched) && all_told <= batch.len() && exact {
            return Ok(());
        }
        Err(format!("answered {report:?}; {} sessions of {} touches moved", moved.len(), batch.len()))
    }

    pub(super) async fn end_named(
        &mut self,
        store: &Subject,
        selector: &Selector,
        reason: EndReason,
    ) -> Result<(), Disagreement> {
        let now = self.world.now;
        let selected = |session: &Session| match selector {
            Selector::One(id) => session.record.id == *id,
            Selector::Principal { principal, except } => {
                session.principal().as_ref() == Some(principal) && *except != Some(session.record.id)
            }
            _ => false,
        };
        let positions: Vec<usize> = (0..self.world.sessions.len())
            .filter(|position| self.world.sessions.get(*position).is_some_and(selected))
            .collect();
        let live = positions.iter().filter_map(|position| self.world.sessions.get(*position));
        let required = live
            .filter(|session| self.world.is_live(session))
            .map(|session| session.buried(reason, now))
            .collect();
        let Ending { ended, swept_later } = store.finish(selector, reason, now).await;
        self.world.hear(&ended, required)?;
        if let Some(other) = ended.iter().find(|ended| {
            !positions
                .iter()
                .filter_map(|at| self.world.sessions.get(*at))
                .any(|own| own.record.id == ended.session)
        }) {
            return Err(format!("ended {other:?}, which was not asked for"));
        }
        for position in positions {
            // Whatever time had ended before is ended for every clock now.
            let fate = self.world.sessions.get(position).and_then(|session| self.world.fate(session));
            if let Some(fate) = fate {
                self.world.settle(position, fate, false);
            }
        }
        agree(&swept_later, &[0])
    }

    pub(super) async fn end_everything(
        &mut self,
        store: &Subject,
        selector: Selector,
        reason: EndReason,
    ) -> Result<(), Disagreement> {
        let about = |session: &&Session| match selector {
            Selector::IssuedBefore(instant) => session.record.created_at < instant,
            _ => true,
        };
        let (live, over): (Vec<&Session>, Vec<&Session>) =
            self.world.sessions.iter().filter(about).partition(|session| self.world.is_live(session));
        let live: Vec<_> = live.iter().map(|session| session.record.id).collect();
        let unreported = over.iter().filter(|session| !session.is_reported).count();
        let Ending { ended, swept_later } = store.finish(&selector, reason, self.world.now).await;
        self.world.end_everything(selector, reason);
        self.world.hear(&ended, Vec::new())?;
        let told = ended.iter().filter(|ended| live.contains(&ended.session)).count();
        let least = live.len() - told;
        let swept_later = usize::try_from(swept_later).unwrap_or(usize::MAX);
        if !store.finds_what_is_over() || (least..=least + unreported).contains(&swept_later) {
            return Ok(());
        }
        Err(format!(
            "{swept_later} swept later; {least} live ones are to be reported, {unreported} that were over"
        ))
    }

    pub(super) async fn sweep(&mut self, store: &Subject, limit: usize) -> Result<(), Disagreement> {
        let swept = store.sweep_round(self.world.now, limit).await;
        if swept.ended.len() > limit || swept.removed > limit {
            return Err(format!("more than {limit}: {swept:?}"));
        }
        self.world.hear(&swept.ended, Vec::new())?;
        // Who cannot find what is over has never done everything.
        let done = !swept.more && store.finds_what_is_over();
        if !done {
            return Ok(());
        }
        self.world.all_swept(if store.removes_by_itself() { Removal::InItsOwnTime } else { Removal::Now })
    }
}
