//! Asks the store and the world the same, step by step.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom_core::EndReason::{Replaced as ReplacedBySignIn, SessionLimit as OverLimit};
use cloakroom_core::{OnLimit, SessionId, SessionLimit, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Capabilities, Ended, Inserted, Lookup, Selector};

use super::step::{Call, Insert, Step};
use super::world::{Disagreement, Session, World};
use crate::case::{Context, Tested};
use crate::fixtures::{Filing, Fixtures, T0, principal_id};
use crate::subject::Subject;

/// A store, and what is true.
pub(super) struct Play<'a> {
    context: &'a Context,
    handles: Vec<Subject>,
    pub(super) claims: Capabilities,
    pub(super) world: World,
    pub(super) fixtures: Fixtures,
}

impl<'a> Play<'a> {
    pub(super) async fn new(context: &'a Context) -> Self {
        let store = context.open().await;
        let (claims, world) = (store.capabilities(), World::new(T0));
        let mut play = Self { context, handles: vec![store], claims, world, fixtures: Fixtures::new(1) };
        play.open_second().await;
        play
    }

    async fn open_second(&mut self) {
        if self.claims.shared {
            self.handles.push(self.context.open().await);
        }
    }

    /// Plays one step, then compares everything there is.
    pub(super) async fn step(&mut self, step: &Step) -> Result<(), Disagreement> {
        if matches!(step.call, Call::Restart) {
            self.restart().await;
        } else {
            let store = self.handle(step.through_second);
            self.call(&store, &step.call).await.map_err(|why| format!("{:?}: {why}", step.call))?;
        }
        let store = self.handle(!step.through_second);
        self.compare(&store).await.map_err(|why| format!("after {:?}: {why}", step.call))
    }

    fn handle(&self, second: bool) -> Subject {
        self.handles
            .get(usize::from(second))
            .or(self.handles.first())
            .expect("a handle is always open")
            .clone()
    }

    async fn restart(&mut self) {
        if self.claims.durable {
            self.handles.drain(..).for_each(Subject::close);
            self.handles.push(self.context.open().await);
            self.open_second().await;
        }
    }

    async fn call(&mut self, store: &Subject, call: &Call) -> Result<(), Disagreement> {
        match call {
            Call::Wait(millis) => self.wait(store, *millis).await,
            Call::Insert(insert) => self.insert(store, insert).await,
            Call::InsertTaken { token, by_id } => self.insert_taken(store, *token, *by_id).await,
            Call::Replace { token, version, value } => self.replace(store, *token, *version, *value).await,
            Call::Rekey { token, version, to } => self.rekey(store, *token, *version, *to).await,
            Call::Touch(touches) => self.touch(store, touches).await,
            Call::EndOne { session, reason } => match self.session(*session) {
                Some(id) => self.end_named(store, &Selector::One(id), *reason).await,
                None => Ok(()),
            },
            Call::EndPrincipal { who, except, reason } => {
                let Some(name) = NAMES.get(*who) else { return Ok(()) };
                let except = except.and_then(|number| self.session(number));
                let selector = Selector::Principal { principal: principal_id(name), except };
                self.end_named(store, &selector, *reason).await
            }
            Call::EndIssuedBefore { instant, reason } => {
                let selector = Selector::IssuedBefore(shifted(self.world.now, *instant));
                self.end_everything(store, selector, *reason).await
            }
            Call::EndAll { reason } => self.end_everything(store, Selector::All, *reason).await,
            Call::List(list) if self.claims.listing => self.list(store, list).await,
            Call::Sweep { limit } => self.sweep(store, *limit).await,
            Call::Come { insert, version, seen } => self.come(store, insert, *version, *seen).await,
            Call::Tell { limit } if self.claims.listing => self.tell(store, *limit).await,
            Call::List(_) | Call::Tell { .. } | Call::Restart => Ok(()),
        }
    }

    pub(super) fn token(&self, number: usize) -> Option<TokenDigest> {
        pick(&self.world.tokens(), number).copied()
    }

    pub(super) fn session(&self, number: usize) -> Option<SessionId> {
        pick(&self.world.sessions, number).map(|session| session.record.id)
    }

    /// Whether a store must still know `digest`.
    pub(super) fn is_surely_taken(&self, digest: TokenDigest) -> bool {
        !self.world.lookup(digest).contains(&Lookup::Unknown)
    }

    async fn wait(&mut self, store: &Subject, millis: i64) -> Result<(), Disagreement> {
        self.world.now = shifted(self.world.now, millis);
        self.world.latest = self.world.latest.max(self.world.now);
        // A store may write down that time ended a session as soon as it comes upon it, and then a clock that steps
        // back finds it ended; or it may not, and then the session lives by that clock. Both are right.
        let latest = self.world.latest;
        for position in 0..self.world.sessions.len() {
            let Some(session) = self.world.sessions.get(position) else { continue };
            let Some(over) = session.expiry(latest).filter(|_| self.world.is_live(session)) else { continue };
            let forgotten = self.world.may_be_forgotten(session, over.ended_at);
            match store.look_up(session.digest, self.world.now).await {
                Lookup::Ended(found) if found == over => self.world.settle(position, over, false),
                Lookup::Unknown if forgotten => self.world.settle(position, over, false),
                _ => {}
            }
        }
        Ok(())
    }

    async fn insert(&mut self, store: &Subject, insert: &Insert) -> Result<(), Disagreement> {
        let filing = self.filing(insert);
        let owner = filing.principal();
        let mut limit = insert.limit.filter(|_| self.claims.limits && owner.is_some());
        let own: Vec<&Session> = self.world.sessions.iter().filter(|own| own.principal() == owner).collect();
        let replaces = insert.replaces.filter(|_| owner.is_some());
        let mut replaces = replaces.and_then(|number| pick(&own, number)).copied();
        if filing.record.created_at.plus(filing.record.lifetime.idle_timeout) <= self.world.now {
            // Issued by a clock so far behind that it is over: nobody has to go for it, and nobody asks for that.
            (limit, replaces) = (None, None);
        }
        let replaced = replaces.map(|session| session.record.id);
        let beside = |session: &&Session| session.principal() == owner && Some(session.record.id) != replaced;
        let beside: Vec<&Session> =
            self.world.sessions.iter().filter(beside).filter(|session| self.world.is_live(session)).collect();
        let allowed = limit.map_or(usize::MAX, |(max, _)| usize::try_from(max).unwrap_or(usize::MAX));
        let too_many = (beside.len() + 1).saturating_sub(allowed);
        let on_limit = limit.map_or(OnLimit::Refuse, |(_, on_limit)| on_limit);
        let limit =
            limit.and_then(|(max, on_limit)| Some(SessionLimit { max: NonZeroU32::new(max)?, on_limit }));
        let answer = store.try_file(&filing, limit, replaced, self.world.now).await;
        if too_many > 0 && on_limit == OnLimit::Refuse {
            return agree(&answer, &[Inserted::LimitReached]);
        }
        let Inserted::Done { ended } = &answer else {
            return Err(format!("answered {answer:?}, expected Done"));
        };
        let mut required = put_out(ended, &beside, too_many, on_limit, self.world.now)?;
        let replaced = replaces.filter(|session| self.world.is_live(session));
        required.extend(replaced.map(|session| session.buried(ReplacedBySignIn, self.world.now)));
        self.world.hear(ended, required)?;
        self.world.add(filing.record, filing.digest);
        Ok(())
    }

    pub(super) fn filing(&mut self, insert: &Insert) -> Filing {
        let mut filing = match NAMES.get(insert.who) {
            Some(name) => self.fixtures.signed_in(name),
            None => self.fixtures.anonymous(),
        };
        if let Some(address) = insert.address {
            filing = filing.with_ip(ip(address));
        }
        // Whether a session that is filed late is about an earlier end of what was issued before, nobody promises.
        let issued = shifted(self.world.now, insert.skew).max(self.world.issued_from());
        filing
            .issued_at(issued)
            .with_idle_timeout(Duration::from_millis(insert.idle))
            .with_absolute_at(issued.plus(Duration::from_millis(insert.life)))
            .with_retention(Duration::from_millis(insert.retention))
    }

    async fn insert_taken(&mut self, store: &Subject, token: usize, by_id: bool) -> Result<(), Disagreement> {
        let Some(digest) = self.token(token) else { return Ok(()) };
        let Some(owner) = self.world.owner(digest).and_then(|owner| self.world.sessions.get(owner)) else {
            return Ok(());
        };
        let mut filing = Filing { record: owner.record.clone(), digest };
        if !self.is_surely_taken(if by_id { owner.digest } else { digest }) {
            return Ok(());
        }
        if by_id {
            filing.digest = self.fixtures.next_digest(&filing);
        } else {
            filing.record.id = self.fixtures.session_id(filing.record.id.route());
        }
        let answer = store.try_file(&filing, None, None, self.world.now).await;
        agree(&answer, &[Inserted::AlreadyExists])
    }
}

/// The tombstones of those who had to go, which the store chose: as many as too many, and none that should have gone
/// stayed.
fn put_out(
    ended: &[Ended],
    beside: &[&Session],
    too_many: usize,
    on_limit: OnLimit,
    now: Timestamp,
) -> Result<Vec<Tombstone>, Disagreement> {
    let rank = |session: &Session| match on_limit {
        OnLimit::EndIdlest => session.last_seen_at,
        _ => session.record.created_at,
    };
    let went =
        |session: &Session| ended.iter().any(|e| e.session == session.record.id && e.reason == OverLimit);
    let (gone, stayed): (Vec<&Session>, Vec<&Session>) =
        beside.iter().copied().partition(|session| went(session) && too_many > 0);
    if gone.len() != too_many {
        return Err(format!("{too_many} had to go, these went: {ended:?}"));
    }
    let latest_gone = gone.iter().map(|session| rank(session)).max();
    if latest_gone.is_some_and(|latest| stayed.iter().any(|session| rank(session) < latest)) {
        return Err(format!("others had to go before these ({on_limit:?}): {ended:?}"));
    }
    Ok(gone.into_iter().map(|session| session.buried(OverLimit, now)).collect())
}

/// `answer` is one of those possible.
pub(super) fn agree<T: PartialEq + std::fmt::Debug>(answer: &T, possible: &[T]) -> Result<(), Disagreement> {
    if possible.contains(answer) {
        Ok(())
    } else {
        Err(format!("answered {answer:?}, the model {possible:?}"))
    }
}

pub(super) fn shifted(instant: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(instant.as_millis().saturating_add(millis))
}

fn pick<T>(from: &[T], number: usize) -> Option<&T> {
    from.get(number.checked_rem(from.len())?)
}

/// One of a few addresses.
pub(super) fn ip(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

/// Whose sessions there are; whoever is not here is anonymous.
pub(super) const NAMES: [&str; 3] = ["alice", "Alice", "bob"];
/// What their names begin with, or not.
pub(super) const BEGINNINGS: [&str; 3] = ["a", "A", "b_b"];
