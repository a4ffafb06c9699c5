//! What is known of the list about sessions and principals.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Room;

use cloakroom_core::{PrincipalId, SessionId, Timestamp};
use cloakroom_store::{Scope, Version};

use super::ends::Ends;
use super::mark::Mark;
use crate::sealed::entries::era;
use crate::sealed::seal::{Claim, CoreName};

/// Ends of sessions and principals, merged: what is covered by a later entry is forgotten, so that one session takes at most an
/// end, a floor and its exchanged tokens, and one principal two ends that were read, however often they come.
///
/// Nothing here is ever taken back: entries are added, widened, and forgotten when no token can meet them any more.
#[derive(Debug, Default)]
pub(super) struct Book {
    ends: HashMap<SessionId, Mark>,
    tokens: HashMap<SessionId, Vec<(CoreName, Mark)>>,
    floors: HashMap<SessionId, (Version, Mark)>,
    principals: HashMap<PrincipalId, Ends>,
    length: usize,
}

impl Book {
    /// The ends that cover a session by its id.
    pub(super) fn end_of(&self, session: SessionId) -> Option<&Mark> {
        self.ends.get(&session)
    }

    /// The ends of all sessions of a principal.
    pub(super) fn ends_of(&self, principal: &PrincipalId) -> Option<&Ends> {
        self.principals.get(principal)
    }

    /// Since when a token counts for nothing any more, though its session may go on.
    pub(super) fn copy_is_over(&self, claim: &Claim<'_>) -> Option<&Mark> {
        let session = claim.contents.record.id;
        let exchanged = self.tokens.get(&session).and_then(|tokens| of_core(tokens, &claim.core));
        let floor = self.floors.get(&session).filter(|(floor, _)| claim.contents.version < *floor);
        exchanged.or_else(|| floor.map(|(_, mark)| mark))
    }

    pub(super) fn has_floor(&self, session: SessionId) -> bool {
        self.floors.contains_key(&session)
    }

    /// Whether a token was exchanged. A floor of its own era says that it holds the state of before a change, and no more.
    pub(super) fn was_exchanged(&self, claim: &Claim<'_>) -> bool {
        let session = claim.contents.record.id;
        let alone = self.tokens.get(&session).is_some_and(|tokens| of_core(tokens, &claim.core).is_some());
        alone || self.floors.get(&session).is_some_and(|(floor, _)| era(claim.contents.version) < era(*floor))
    }

    /// How many tokens of a session were exchanged that might still be presented.
    pub(super) fn exchanges_of(&self, session: SessionId) -> usize {
        self.tokens.get(&session).map_or(0, Vec::len)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Takes in what an entry says of a session or a principal.
    pub(super) fn add(&mut self, scope: &Scope, mark: Mark) {
        let (before, after) = match scope {
            Scope::Session(session) => self.add_end(*session, mark),
            Scope::Token { session, core } => {
                let tokens = self.tokens.entry(*session).or_default();
                let before = tokens.len();
                match tokens.iter_mut().find(|(known, _)| known == core) {
                    Some((_, known)) => known.keep_earliest(mark),
                    None => tokens.push((*core, mark)),
                }
                (before, tokens.len())
            }
            Scope::Floor { session, version } => self.add_floor(*session, *version, mark),
            Scope::Principal { principal, except } => {
                let ends = self.principals.entry(principal.clone()).or_default();
                let before = ends.len();
                ends.add(*except, mark);
                (before, ends.len())
            }
            _ => (0, 0),
        };
        self.length = (self.length + after).saturating_sub(before);
    }

    fn add_end(&mut self, session: SessionId, mark: Mark) -> (usize, usize) {
        match self.ends.entry(session) {
            Room::Occupied(mut known) => {
                known.get_mut().keep_earliest(mark);
                (1, 1)
            }
            Room::Vacant(room) => {
                room.insert(mark);
                (0, 1)
            }
        }
    }

    fn add_floor(&mut self, session: SessionId, version: Version, mark: Mark) -> (usize, usize) {
        match self.floors.entry(session) {
            Room::Occupied(mut known) => {
                let (floor, known) = known.get_mut();
                if version > *floor {
                    *floor = version;
                    known.replace_by(mark);
                } else if version == *floor {
                    known.keep_earliest(mark);
                } else {
                    known.until = known.until.max(mark.until);
                }
                (1, 1)
            }
            Room::Vacant(room) => {
                room.insert((version, mark));
                (0, 1)
            }
        }
    }

    /// Forgets what no token can meet any more at `now`.
    pub(super) fn forget_over(&mut self, now: Timestamp) {
        self.ends.retain(|_, mark| mark.lasts(now));
        self.tokens.retain(|_, tokens| {
            tokens.retain(|(_, mark)| mark.lasts(now));
            !tokens.is_empty()
        });
        self.floors.retain(|_, (_, mark)| mark.lasts(now));
        self.principals.retain(|_, ends| {
            ends.forget_over(now);
            ends.len() > 0
        });
        self.length = self.ends.len()
            + self.tokens.values().map(Vec::len).sum::<usize>()
            + self.floors.len()
            + self.principals.values().map(Ends::len).sum::<usize>();
    }

    /// Tells of every entry.
    pub(super) fn for_each(&self, mut tell: impl FnMut(Scope, &Mark)) {
        for (session, mark) in &self.ends {
            tell(Scope::Session(*session), mark);
        }
        for (session, tokens) in &self.tokens {
            tokens
                .iter()
                .for_each(|(core, mark)| tell(Scope::Token { session: *session, core: *core }, mark));
        }
        for (session, (version, mark)) in &self.floors {
            tell(Scope::Floor { session: *session, version: *version }, mark);
        }
        for (principal, ends) in &self.principals {
            let of = |except| Scope::Principal { principal: principal.clone(), except };
            ends.each().for_each(|(except, mark)| tell(of(except), mark));
        }
    }

    /// What is known of what an entry about `scope` says, where another entry may say the same: not of ends of all sessions, each of
    /// which covers others.
    pub(super) fn mark_of(&self, scope: &Scope) -> Option<Mark> {
        match scope {
            Scope::Session(session) => self.ends.get(session).copied(),
            Scope::Token { session, core } => {
                self.tokens.get(session).and_then(|tokens| of_core(tokens, core)).copied()
            }
            Scope::Floor { session, .. } => self.floors.get(session).map(|(_, mark)| *mark),
            _ => None,
        }
    }
}

fn of_core<'a>(tokens: &'a [(CoreName, Mark)], core: &CoreName) -> Option<&'a Mark> {
    tokens.iter().find(|(known, _)| known == core).map(|(_, mark)| mark)
}
