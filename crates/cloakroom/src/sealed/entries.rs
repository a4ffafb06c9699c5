//! What is written into the list for what is decided here.

use std::time::Duration;

use cloakroom_core::{EndReason, PrincipalId, SessionId, SessionToken, Timestamp};
use cloakroom_store::{
    ErrorKind, RevocationEntry, Scope, SealedContents, Selector, StoreError, Verb, Version,
};

use super::seal::CoreName;
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
        let is_crowded = mirror.entries() >= ENTRIES_MAX;
        let known = |session: &SessionId| known.filter(|known| known.session == *session);
        let (scope, until) = match selector {
            Selector::One(session) => match known(session) {
                None if is_crowded => return Err(full(Verb::End)),
                None => (Scope::Session(*session), longest),
                Some(Known { principal: None, absolute_expires_at, .. }) => {
                    if is_crowded || !self.tally.has_anonymous_room(*absolute_expires_at, now) {
                        mirror.metrics().left_to_time.increment(1);
                        return Ok(None);
                    }
                    (Scope::Session(*session), *absolute_expires_at)
                }
                Some(Known { principal: Some(principal), absolute_expires_at, .. }) => {
                    if !is_crowded && self.tally.has_room(principal, *absolute_expires_at, now) {
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

    /// The entry by which a token is exchanged for another.
    pub(super) fn entry_of_exchange(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        core: CoreName,
        now: Timestamp,
    ) -> Result<RevocationEntry, SessionError> {
        let scope = Scope::Token { session: old.record.id, core };
        self.entry_of_copies(mirror, old, scope, now)
    }

    /// The entry by which states before `version` count for nothing any more.
    pub(super) fn entry_of_floor(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        version: Version,
        now: Timestamp,
    ) -> Result<RevocationEntry, SessionError> {
        let scope = Scope::Floor { session: old.record.id, version };
        self.entry_of_copies(mirror, old, scope, now)
    }

    /// Copies of a token that counts for nothing any more are idle after the idle timeout: no node seals them anew once it knows.
    /// Nodes that go on without knowing may, for as long as the session lives.
    fn entry_of_copies(
        &self,
        mirror: &Mirror,
        old: &SealedContents,
        scope: Scope,
        now: Timestamp,
    ) -> Result<RevocationEntry, SessionError> {
        if mirror.entries() >= ENTRIES_MAX {
            return Err(SessionError::Store(full(Verb::Rekey)));
        }
        let lifetime = old.record.lifetime;
        let until = match self.policy.when_unreachable() {
            WhenUnreachable::Open => lifetime.absolute_expires_at,
            WhenUnreachable::Closed => {
                let idle = now.max(old.last_seen_at).plus(lifetime.idle_timeout).plus(mirror.lease());
                idle.plus(CLOCKS_APART_MAX).min(lifetime.absolute_expires_at)
            }
        };
        let nonce = mirror.nonce().map_err(SessionError::Random)?;
        Ok(RevocationEntry { scope, at: now, until, reason: EndReason::Replaced, nonce })
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
/// Entries that every node keeps in memory, at most: about a hundred megabytes. Beyond them ends of a principal's session end all
/// of the principal's, which takes no more room; those of strangers are left to time; and what can be said only by an entry of its
/// own is refused as full.
const ENTRIES_MAX: usize = 1 << 20;
