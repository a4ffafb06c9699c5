//! What is written into the list for what is decided here.

use std::time::Duration;

use cloakroom_core::{EndReason, Lifetime, PrincipalId, SessionId, SessionToken, Timestamp};
use cloakroom_store::{
    ErrorKind, RevocationEntry, Scope, SealedContents, Selector, StoreError, Verb, Version,
};

use super::seal::CoreName;
use super::tally::{Cause, Kind, PRINCIPAL_EXCHANGES_APART, Room};
use super::{Mirror, SealedStore, Seals, WhenUnreachable};
use crate::revoke::Known;
use crate::{Actor, Refused, SessionError};

/// An end that is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) selector: &'a Selector,
    pub(super) known: Option<&'a Known>,
    /// The session that is begun in the place of the one that ends.
    pub(super) newcomer: Option<SessionId>,
    /// Whose room it takes, where it takes any: staff's ends are not counted.
    pub(super) cause: Option<Cause>,
    /// It was decided, and told, before this.
    pub(super) is_again: bool,
    pub(super) reason: EndReason,
    pub(super) now: Timestamp,
}

/// What is written for it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) entries: Vec<RevocationEntry>,
    pub(super) room: Option<Room>,
    /// Whose sessions all end for want of room, where one was to.
    pub(super) widened: Option<PrincipalId>,
}

/// How a token is exchanged for another.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// The old one is over by an entry about this, in this room; what follows has this version.
    Written { scope: Scope, version: Version, rooms: Vec<Room> },
    /// Nothing is written down, and nobody is signed in: copies of the old one are left to time.
    LeftToTime(Version),
    /// There is no room, and identity was proven: what it holds is new, and the token stays.
    Kept(Version),
}

impl Exchanged {
    pub(super) const fn version(&self) -> Version {
        match self {
            Self::Written { version, .. } | Self::LeftToTime(version) | Self::Kept(version) => *version,
        }
    }
}

impl Cause {
    /// For whom something ends that `actor` ends for this reason.
    pub(super) fn of(actor: &Actor, reason: EndReason) -> Option<Self> {
        match (actor, reason) {
            (Actor::User(_), EndReason::PasswordChanged) => Some(Self::Password),
            (Actor::User(_), _) => Some(Self::User),
            (Actor::System, _) => Some(Self::System),
            _ => None,
        }
    }
}

impl Seals {
    /// What is written for an end, or `None` where it is left to time.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where one principal ends everything of theirs so often that the list would be theirs; with how long to wait.
    pub(super) fn plan_of_end(&self, mirror: &Mirror, asked: &Asked<'_>) -> Result<Option<Plan>, StoreError> {
        let (now, longest) = (asked.now, asked.now.plus(self.longest_life));
        let known = |session: &SessionId| asked.known.filter(|known| known.session == *session);
        let mut room = None;
        let (scope, until) = match asked.selector {
            Selector::One(session) => match known(session) {
                None => (Scope::Session(*session), longest),
                Some(known @ Known { principal: Some(principal), lifetime, .. }) => match asked.cause {
                    Some(cause) => return self.plan_of_one(mirror, asked, known, principal, cause).map(Some),
                    None => (Scope::Session(*session), lifetime.absolute_expires_at),
                },
                Some(Known { principal: None, lifetime, .. }) => {
                    let until = lifetime.absolute_expires_at;
                    let is_crowded = mirror.entries() >= ENTRIES_MAX;
                    let end = Kind::End(Cause::User);
                    room = (!is_crowded).then(|| self.tally.take(end, None, until, now).ok()).flatten();
                    if room.is_none() {
                        mirror.metrics().left_to_time.increment(1);
                        return Ok(None);
                    }
                    (Scope::Session(*session), until)
                }
            },
            Selector::Principal { principal, except } => {
                // What the product ends of all that somebody has, an application has decided.
                if let Some(cause @ (Cause::User | Cause::Password)) = asked.cause {
                    let taken = self.tally.take(Kind::Wide(cause), Some(principal), longest, now);
                    // Once more for what was decided a moment ago, and had room then.
                    room = match taken {
                        Err(_) if asked.is_again => None,
                        taken => Some(taken.map_err(|wait| full(Verb::End, wait))?),
                    };
                }
                (all_of(principal, *except), longest)
            }
            Selector::IssuedBefore(instant) => (Scope::IssuedBefore(*instant), longest),
            // Whatever is added to `Selector` one day: rather too many are ended than too few.
            _ => (Scope::All, longest),
        };
        let entries = vec![entry(mirror, scope, asked, until)?];
        Ok(Some(Plan { entries, room, widened: None }))
    }

    /// What is written for the end of one session of `principal`, of which everything is known.
    ///
    /// Where this principal has ended so many sessions one by one that their ends would crowd every node's memory, this one ends all
    /// of theirs but the one that is begun in its place. The others are told of the limit. The one that was meant is told why it
    /// ended, for as long as answers to its client may be on their way. Where too much of that is in the list, and all of theirs ended
    /// within a minute, what began since then ends by itself.
    fn plan_of_one(
        &self,
        mirror: &Mirror,
        asked: &Asked<'_>,
        known: &Known,
        principal: &PrincipalId,
        cause: Cause,
    ) -> Result<Plan, StoreError> {
        let now = asked.now;
        let own = Scope::Session(known.session);
        let whole = known.lifetime.absolute_expires_at;
        let brief = self.until_idle(mirror, &known.lifetime, known.last_seen_at, now);
        let longest = now.plus(self.longest_life);
        let take = |kind, until| self.tally.take(kind, Some(principal), until, now);
        let alone = |room, until| {
            let entries = vec![entry(mirror, own.clone(), asked, until)?];
            Ok(Plan { entries, room: Some(room), widened: None })
        };
        if let Ok(room) = take(Kind::End(cause), whole) {
            return alone(room, whole);
        }
        if let Ok(room) = take(Kind::BriefEnd(cause), brief) {
            return alone(room, brief);
        }
        let room = match take(Kind::Wide(cause), longest) {
            Ok(room) => room,
            Err(wait) => {
                let room = take(Kind::LastEnd(cause), brief).map_err(|_| full(Verb::End, wait))?;
                return alone(room, brief);
            }
        };
        let others = Asked { reason: EndReason::SessionLimit, ..*asked };
        let a_while = now.plus(mirror.lease()).plus(CLOCKS_APART_MAX);
        let entries = vec![
            entry(mirror, own, asked, a_while)?,
            entry(mirror, all_of(principal, asked.newcomer), &others, longest)?,
        ];
        Ok(Plan { entries, room: Some(room), widened: Some(principal.clone()) })
    }

    /// How a token of `old` is exchanged for another, and the room that this takes.
    ///
    /// The first few exchanges are of the token alone, each an entry in every node's memory. Further ones are a floor below which no
    /// state counts any more, however many there are: it lies above whatever a copy of the old token may have been changed into.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where one principal exchanges so many tokens that the list would be theirs; with how long to wait.
    pub(super) fn exchange_of(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        core: CoreName,
        why: Kind,
        now: Timestamp,
    ) -> Result<Exchanged, StoreError> {
        let session = old.record.id;
        let room = match self.room_for_copies(mirror, old, why, now) {
            Ok(room) => room,
            Err(error) => return Self::exchange_without_room(mirror, old, why, error),
        };
        let has_ample = || old.record.principal.is_none() || room.number <= PRINCIPAL_EXCHANGES_APART;
        let is_crowded =
            || mirror.entries() >= ENTRIES_MAX || mirror.exchanges_of(session) >= EXCHANGES_APART;
        let next = old.version.next();
        if era(next) == era(old.version) && has_ample() && !is_crowded() {
            let scope = Scope::Token { session, core };
            return Ok(Exchanged::Written { scope, version: next, rooms: vec![room] });
        }
        match self.room_for_floor(mirror, old, now) {
            Ok(floor) => {
                let version = Version::from_u64((era(old.version) + 1) << ERA_BITS);
                let rooms = floor.into_iter().chain([room]).collect();
                Ok(Exchanged::Written { scope: Scope::Floor { session, version }, version, rooms })
            }
            Err(error) => Self::exchange_without_room(mirror, old, why, error),
        }
    }

    /// How a token is exchanged where nothing can be written down of it.
    fn exchange_without_room(
        mirror: &Mirror,
        old: &SealedContents,
        why: Kind,
        error: StoreError,
    ) -> Result<Exchanged, StoreError> {
        if old.record.principal.is_none() {
            mirror.metrics().left_to_time.increment(1);
            return Ok(Exchanged::LeftToTime(old.version.next()));
        }
        if why == Kind::Proof {
            return Self::changed(old.version).map(Exchanged::Kept).ok_or_else(used_up);
        }
        Err(error)
    }

    /// Room for an entry by which copies of `old` count for nothing any more.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where there is none.
    fn room_for_copies(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        kind: Kind,
        now: Timestamp,
    ) -> Result<Room, StoreError> {
        let until = self.until_idle(mirror, &old.record.lifetime, old.last_seen_at, now);
        let principal = old.record.principal.as_ref().map(|principal| principal.id());
        let verb = if kind == Kind::Change { Verb::Replace } else { Verb::Rekey };
        self.tally.take(kind, principal, until, now).map_err(|wait| full(verb, wait))
    }

    /// Room for the floor of a session: one, however often it rises.
    fn room_for_floor(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        now: Timestamp,
    ) -> Result<Option<Room>, StoreError> {
        if old.record.principal.is_none() || mirror.has_floor(old.record.id) {
            return Ok(None);
        }
        self.room_for_copies(mirror, old, Kind::Floor, now).map(Some)
    }

    /// Room for the floor that comes with a change of a session.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where there is none.
    pub(super) fn room_for_change(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        now: Timestamp,
    ) -> Result<Vec<Room>, StoreError> {
        let floor = self.room_for_floor(mirror, old, now)?;
        Ok(floor.into_iter().chain([self.room_for_copies(mirror, old, Kind::Change, now)?]).collect())
    }

    /// The version after a change; `None` where the next exchange of the token has to come first.
    pub(super) fn changed(version: Version) -> Option<Version> {
        let next = version.next();
        (era(next) == era(version)).then_some(next)
    }

    /// The entry by which copies of a token, or of a state, count for nothing any more.
    ///
    /// They are idle after the idle timeout: no node seals them anew once it knows. Nodes that go on without knowing may, for as
    /// long as the session lives.
    pub(super) fn entry_of_copies(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        scope: Scope,
        now: Timestamp,
    ) -> Result<RevocationEntry, SessionError> {
        let until = self.until_idle(mirror, &old.record.lifetime, old.last_seen_at, now);
        let nonce = mirror.nonce().map_err(SessionError::Random)?;
        Ok(RevocationEntry { scope, at: now, until, reason: EndReason::Replaced, nonce })
    }

    /// Until when a token that was sealed by now may be presented without being idle, wherever it is.
    fn until_idle(
        &self,
        mirror: &Mirror,
        lifetime: &Lifetime,
        last_seen_at: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        match self.policy.when_unreachable() {
            WhenUnreachable::Open => lifetime.absolute_expires_at,
            WhenUnreachable::Closed => {
                let idle = now.max(last_seen_at).plus(lifetime.idle_timeout).plus(mirror.lease());
                idle.plus(CLOCKS_APART_MAX).min(lifetime.absolute_expires_at)
            }
        }
    }
}

fn entry(
    mirror: &Mirror,
    scope: Scope,
    asked: &Asked<'_>,
    until: Timestamp,
) -> Result<RevocationEntry, StoreError> {
    let nonce = mirror.nonce().map_err(|error| {
        StoreError::new(ErrorKind::Internal, SealedStore::NAME, Verb::End).caused_by(error)
    })?;
    Ok(RevocationEntry { scope, at: asked.now, until, reason: asked.reason, nonce })
}

/// How the list names the core that `binding` stands for.
pub(super) fn core_name(binding: &SessionToken) -> CoreName {
    let digest = binding.digest();
    let (name, _) = digest.hash().split_first_chunk().expect("a hash has more than sixteen bytes");
    *name
}

/// There is no room for one more entry of one principal before so long.
fn full(verb: Verb, wait: Duration) -> StoreError {
    StoreError::new(ErrorKind::Full, SealedStore::NAME, verb).caused_by(Refused::of_share(wait))
}

/// There is no version after this one.
pub(super) fn used_up() -> StoreError {
    StoreError::new(ErrorKind::Full, SealedStore::NAME, Verb::Replace)
}

fn all_of(principal: &PrincipalId, except: Option<SessionId>) -> Scope {
    Scope::Principal { principal: principal.clone(), except }
}

/// Entries stay for so long after the instant at which no token can meet them any more: as far as two nodes' clocks may differ.
pub(super) const CLOCKS_APART_MAX: Duration = Duration::from_secs(600);

/// The part of a version that changes of a session leave as it is: only an exchange of its token by a floor begins another.
pub(super) const fn era(version: Version) -> u64 {
    version.as_u64() >> ERA_BITS
}

/// More changes than anybody makes between two exchanges: at a thousand in a second they take seven weeks.
const ERA_BITS: u32 = 32;
/// Exchanged tokens of one session that are kept apart. Beyond them a floor stands for all.
const EXCHANGES_APART: usize = 16;
/// Entries in every node's memory beyond which ends of strangers are left to time, and exchanges are floors: a hundred megabytes where
/// all are ends, three hundred where each is the first exchanged token of a session, which has room for four. Nobody's end is refused or
/// widened because others crowd: each principal has a share.
const ENTRIES_MAX: usize = 1 << 20;
