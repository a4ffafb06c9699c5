//! What is written into the list for what is decided here.

use std::time::Duration;

use cloakroom_core::{EndReason, PrincipalId, SessionId, SessionToken, Timestamp};
use cloakroom_store::{
    ErrorKind, RevocationEntry, Scope, SealedContents, Selector, StoreError, Verb, Version,
};

use super::seal::CoreName;
use super::tally::Room;
use super::{Mirror, SealedStore, Seals, WhenUnreachable};
use crate::SessionError;
use crate::revoke::Known;

impl Seals {
    /// The entry by which `selector` is ended, or `None` where it is left to time.
    ///
    /// Where one principal has ended so many sessions one by one that their ends would crowd every node's memory, this one ends all
    /// of theirs but `except`: the one that is begun in its place.
    pub(super) fn entry_of_end(
        &self,
        mirror: &Mirror,
        selector: &Selector,
        known: Option<&Known>,
        except: Option<SessionId>,
        ending: (EndReason, Timestamp),
    ) -> Result<Option<RevocationEntry>, StoreError> {
        let (reason, now) = ending;
        let longest = now.plus(self.longest_life);
        let known = |session: &SessionId| known.filter(|known| known.session == *session);
        let (scope, until) = match selector {
            Selector::One(session) => match known(session) {
                None => (Scope::Session(*session), longest),
                Some(Known { principal: None, absolute_expires_at, .. }) => {
                    let is_crowded = mirror.entries() >= ENTRIES_MAX;
                    if is_crowded || !self.tally.has_anonymous_room(*absolute_expires_at, now) {
                        mirror.metrics().left_to_time.increment(1);
                        return Ok(None);
                    }
                    (Scope::Session(*session), *absolute_expires_at)
                }
                Some(Known { principal: Some(principal), absolute_expires_at, .. }) => {
                    if self.tally.has_room(principal, *absolute_expires_at, now) {
                        (Scope::Session(*session), *absolute_expires_at)
                    } else {
                        (all_of(principal, except), longest)
                    }
                }
            },
            Selector::Principal { principal, except } => (all_of(principal, *except), longest),
            Selector::IssuedBefore(instant) => (Scope::IssuedBefore(*instant), longest),
            // Whatever is added to `Selector` one day: rather too many are ended than too few.
            _ => (Scope::All, longest),
        };
        let nonce = mirror.nonce().map_err(|error| {
            StoreError::new(ErrorKind::Internal, SealedStore::NAME, Verb::End).caused_by(error)
        })?;
        Ok(Some(RevocationEntry { scope, at: now, until, reason, nonce }))
    }

    /// How a token of `old` is exchanged for another, under which version.
    ///
    /// The first few exchanges are of the token alone, each an entry in every node's memory. Further ones are a floor below which no
    /// state counts any more, however many there are: it lies above whatever a copy of the old token may have been changed into.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where one principal, or strangers together, exchange so many tokens that the list would be theirs.
    pub(super) fn exchange_of(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        core: CoreName,
        now: Timestamp,
    ) -> Result<(Scope, Version), StoreError> {
        let session = old.record.id;
        let until = self.until_of_copies(mirror, old, now);
        let room = match &old.record.principal {
            Some(principal) => self.tally.room_for_exchange(principal.id(), until, now),
            None if self.tally.has_anonymous_room(until, now) => Room::Ample,
            None => Room::None,
        };
        let is_crowded =
            || mirror.entries() >= ENTRIES_MAX || mirror.exchanges_of(session) >= EXCHANGES_APART;
        let next = old.version.next();
        match room {
            Room::None => Err(full(Verb::Rekey)),
            Room::Ample if era(next) == era(old.version) && !is_crowded() => {
                Ok((Scope::Token { session, core }, next))
            }
            Room::Ample | Room::Little => {
                let version = Version::from_u64((era(old.version) + 1) << ERA_BITS);
                Ok((Scope::Floor { session, version }, version))
            }
        }
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
        let until = self.until_of_copies(mirror, old, now);
        let nonce = mirror.nonce().map_err(SessionError::Random)?;
        Ok(RevocationEntry { scope, at: now, until, reason: EndReason::Replaced, nonce })
    }

    fn until_of_copies(&self, mirror: &Mirror, old: &SealedContents, now: Timestamp) -> Timestamp {
        let lifetime = old.record.lifetime;
        match self.policy.when_unreachable() {
            WhenUnreachable::Open => lifetime.absolute_expires_at,
            WhenUnreachable::Closed => {
                let idle = now.max(old.last_seen_at).plus(lifetime.idle_timeout).plus(mirror.lease());
                idle.plus(CLOCKS_APART_MAX).min(lifetime.absolute_expires_at)
            }
        }
    }
}

/// How the list names the core that `binding` stands for.
pub(super) fn core_name(binding: &SessionToken) -> CoreName {
    let digest = binding.digest();
    let (name, _) = digest.hash().split_first_chunk().expect("a hash has more than sixteen bytes");
    *name
}

/// There is no room for one more entry.
pub(super) fn full(verb: Verb) -> StoreError {
    StoreError::new(ErrorKind::Full, SealedStore::NAME, verb)
}

fn all_of(principal: &PrincipalId, except: Option<SessionId>) -> Scope {
    Scope::Principal { principal: principal.clone(), except }
}

/// Entries stay for so long after the instant at which no token can meet them any more: as far as two nodes' clocks may differ.
pub(super) const CLOCKS_APART_MAX: Duration = Duration::from_secs(600);
/// The part of a version that changes of a session leave as it is: only an exchange of its token by a floor begins another.
const fn era(version: Version) -> u64 {
    version.as_u64() >> ERA_BITS
}

/// More changes than anybody makes between two exchanges: at a thousand in a second they take seven weeks.
const ERA_BITS: u32 = 32;
/// Exchanged tokens of one session that are kept apart. Beyond them a floor stands for all.
const EXCHANGES_APART: usize = 16;
/// Entries in every node's memory, a hundred megabytes or so, beyond which ends of strangers are left to time, and exchanges are
/// floors. Nobody's end is refused or widened because others crowd: each principal has a share.
const ENTRIES_MAX: usize = 1 << 20;
