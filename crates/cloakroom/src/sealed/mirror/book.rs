//! What is known of the list: every end that a token could still meet.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use cloakroom_core::{EndReason, PrincipalId, SessionId, Timestamp, Tombstone};
use cloakroom_store::{Retired, RevocationEntry, Scope, Version};

use crate::sealed::seal::{Claim, CoreName};

/// A complete copy of the list, merged: what is covered by a later entry is forgotten, so that one session takes at most an
/// end, a floor and its exchanged tokens, and one principal two ends, however often they come.
///
/// Nothing here is ever taken back: entries are added, widened, and forgotten when no token can meet them any more.
#[derive(Debug, Default)]
pub(crate) struct Book {
    ends: HashMap<SessionId, Mark>,
    tokens: HashMap<SessionId, Vec<(CoreName, Mark)>>,
    floors: HashMap<SessionId, (Version, Mark)>,
    principals: HashMap<PrincipalId, PrincipalEnds>,
    issued_before: Option<(Timestamp, Mark)>,
    all: Option<Mark>,
    length: usize,
}

/// One end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// Its number in the list; [`UNNUMBERED`] as long as it was not read there.
    number: u64,
    at: Timestamp,
    until: Timestamp,
    reason: EndReason,
    nonce: u64,
    /// The history of the list in which it was last met; zero for none.
    met_in: u32,
}

/// The ends of all sessions of a principal. Of several that except different sessions only the last still excepts one: the
/// others' were there before it, so that it covers them.
#[derive(Clone, Copy, Default, Debug)]
struct PrincipalEnds {
    all: Option<Mark>,
    but: Option<(SessionId, Mark)>,
}

/// What the list says of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Covered {
    /// Its session has ended.
    Ended(Tombstone),
    /// It was exchanged for another, or holds a state that counts for nothing any more.
    Retired(Retired),
}

/// What a new session has to come after, so that what ended others does not cover it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct After {
    pub(crate) number: u64,
    pub(crate) instant: Option<Timestamp>,
}

impl Book {
    /// What the list says of a token; `None` where nothing covers it.
    pub(crate) fn covers(&self, claim: &Claim<'_>) -> Option<Covered> {
        let record = &claim.contents.record;
        let end = self.end_of(claim);
        if let Some(mark) = end {
            let principal = record.principal.as_ref().map(|principal| principal.id().clone());
            return Some(Covered::Ended(Tombstone {
                session: record.id,
                principal,
                ended_at: mark.at,
                reason: mark.reason,
            }));
        }
        let exchanged = self.tokens.get(&record.id).and_then(|tokens| of_core(tokens, &claim.core));
        let floor = self.floors.get(&record.id).filter(|(floor, _)| claim.version() < *floor);
        let mark = exchanged.or_else(|| floor.map(|(_, mark)| mark))?;
        Some(Covered::Retired(Retired { session: record.id, rotated_at: mark.at }))
    }

    /// The earliest end that covers a session.
    fn end_of(&self, claim: &Claim<'_>) -> Option<&Mark> {
        let record = &claim.contents.record;
        let own = self.ends.get(&record.id);
        let principal = record.principal.as_ref().and_then(|principal| self.principals.get(principal.id()));
        let (all, but) = principal.map_or((None, None), |ends| (ends.all.as_ref(), ends.but.as_ref()));
        let but = but.filter(|(except, _)| *except != record.id).map(|(_, mark)| mark);
        let unknowing = [all, but, self.all.as_ref()].into_iter().flatten();
        let unknowing =
            unknowing.filter(|mark| claim.contents.known < mark.number || record.created_at <= mark.at);
        let before = self.issued_before.as_ref().filter(|(instant, _)| record.created_at < *instant);
        let covering = own.into_iter().chain(unknowing).chain(before.map(|(_, mark)| mark));
        covering.min_by_key(|mark| mark.at)
    }

    /// When this session ended, where it is known that it did.
    pub(crate) fn knows_end_of(&self, session: SessionId) -> bool {
        self.ends.contains_key(&session)
    }

    /// How many tokens of a session were exchanged that might still be presented.
    pub(crate) fn exchanges_of(&self, session: SessionId) -> usize {
        self.tokens.get(&session).map_or(0, Vec::len)
    }

    /// What a session of `principal` has to come after.
    pub(crate) fn after(&self, principal: Option<&PrincipalId>) -> After {
        let ends = principal.and_then(|principal| self.principals.get(principal));
        let (all, but) = ends.map_or((None, None), |ends| (ends.all, ends.but.map(|(_, mark)| mark)));
        let marks = [all, but, self.all].into_iter().flatten();
        let mut after = After { number: 0, instant: None };
        for mark in marks {
            if mark.number != UNNUMBERED {
                after.number = after.number.max(mark.number);
            }
            after.instant = after.instant.max(Some(mark.at));
        }
        if let Some((instant, _)) = self.issued_before {
            after.instant = after.instant.max(Some(instant));
        }
        after
    }

    /// Takes an entry in, read under `number` in the history `met_in`, or written by this node and not read yet.
    pub(crate) fn add(&mut self, entry: &RevocationEntry, number: Option<u64>, met_in: u32) {
        let mark = Mark {
            number: number.unwrap_or(UNNUMBERED),
            at: entry.at,
            until: entry.until,
            reason: entry.reason,
            nonce: entry.nonce,
            met_in,
        };
        let added = match &entry.scope {
            Scope::Session(session) => match self.ends.entry(*session) {
                Place::Occupied(mut known) => known.get_mut().first(mark),
                Place::Vacant(place) => {
                    place.insert(mark);
                    1
                }
            },
            Scope::Token { session, core } => {
                let tokens = self.tokens.entry(*session).or_default();
                match tokens.iter_mut().find(|(known, _)| known == core) {
                    Some((_, known)) => known.first(mark),
                    None => {
                        tokens.push((*core, mark));
                        1
                    }
                }
            }
            Scope::Floor { session, version } => match self.floors.entry(*session) {
                Place::Occupied(mut known) => {
                    let (floor, known) = known.get_mut();
                    let until = known.until.max(mark.until);
                    if *version > *floor {
                        (*floor, *known) = (*version, mark);
                    } else if *version == *floor {
                        known.first(mark);
                    }
                    known.until = until;
                    0
                }
                Place::Vacant(place) => {
                    place.insert((*version, mark));
                    1
                }
            },
            Scope::Principal { principal, except } => {
                let ends = self.principals.entry(principal.clone()).or_default();
                let before = ends.len();
                ends.add(*except, mark);
                self.length = self.length.saturating_sub(before);
                ends.len()
            }
            Scope::IssuedBefore(instant) => match &mut self.issued_before {
                Some((known, covering)) => {
                    if *instant > *known {
                        let until = covering.until.max(mark.until);
                        (*known, *covering) = (*instant, Mark { until, ..mark });
                    } else if *instant == *known {
                        covering.first(mark);
                    } else {
                        covering.until = covering.until.max(mark.until);
                    }
                    0
                }
                none @ None => {
                    *none = Some((*instant, mark));
                    1
                }
            },
            Scope::All => add_to(&mut self.all, mark),
            // A scope that this version does not know cannot be made by it either; what cannot be read is an error before.
            _ => 0,
        };
        self.length += added;
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Forgets what no token can meet any more at `now`.
    pub(crate) fn forget_over(&mut self, now: Timestamp) {
        let lives = |mark: &Mark| mark.until > now;
        self.ends.retain(|_, mark| lives(mark));
        self.tokens.retain(|_, tokens| {
            tokens.retain(|(_, mark)| lives(mark));
            !tokens.is_empty()
        });
        self.floors.retain(|_, (_, mark)| lives(mark));
        self.principals.retain(|_, ends| {
            ends.all = ends.all.filter(lives);
            ends.but = ends.but.filter(|(_, mark)| lives(mark));
            ends.len() > 0
        });
        self.issued_before = self.issued_before.filter(|(_, mark)| lives(mark));
        self.all = self.all.filter(lives);
        self.length = self.ends.len()
            + self.tokens.values().map(Vec::len).sum::<usize>()
            + self.floors.len()
            + self.principals.values().map(PrincipalEnds::len).sum::<usize>()
            + usize::from(self.issued_before.is_some())
            + usize::from(self.all.is_some());
    }

    /// What was not met in the history `met_in`, in the order in which it was once met: what the list has lost, or never had.
    pub(crate) fn lacking(&self, met_in: u32) -> Vec<RevocationEntry> {
        let mut lacking = Vec::new();
        let mut note = |scope: Scope, mark: &Mark| {
            if mark.met_in != met_in {
                lacking.push((mark.number, mark.entry(scope)));
            }
        };
        for (session, mark) in &self.ends {
            note(Scope::Session(*session), mark);
        }
        for (session, tokens) in &self.tokens {
            tokens
                .iter()
                .for_each(|(core, mark)| note(Scope::Token { session: *session, core: *core }, mark));
        }
        for (session, (version, mark)) in &self.floors {
            note(Scope::Floor { session: *session, version: *version }, mark);
        }
        for (principal, ends) in &self.principals {
            let of = |except| Scope::Principal { principal: principal.clone(), except };
            ends.all.iter().for_each(|mark| note(of(None), mark));
            ends.but.iter().for_each(|(except, mark)| note(of(Some(*except)), mark));
        }
        if let Some((instant, mark)) = &self.issued_before {
            note(Scope::IssuedBefore(*instant), mark);
        }
        self.all.iter().for_each(|mark| note(Scope::All, mark));
        lacking.sort_by_key(|(number, _)| *number);
        lacking.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Whether an entry was met in the history `met_in`, or is covered by what was.
    pub(crate) fn has_met(&self, scope: &Scope, met_in: u32) -> bool {
        let mark = match scope {
            Scope::Session(session) => self.ends.get(session),
            Scope::Token { session, core } => {
                self.tokens.get(session).and_then(|tokens| of_core(tokens, core))
            }
            Scope::Floor { session, .. } => self.floors.get(session).map(|(_, mark)| mark),
            Scope::Principal { principal, except } => {
                self.principals.get(principal).and_then(|ends| match (except, &ends.but) {
                    (Some(except), Some((known, mark))) if except == known => Some(mark),
                    _ => ends.all.as_ref(),
                })
            }
            Scope::IssuedBefore(_) => self.issued_before.as_ref().map(|(_, mark)| mark),
            Scope::All => self.all.as_ref(),
            _ => None,
        };
        mark.is_none_or(|mark| mark.met_in == met_in)
    }
}

impl Mark {
    /// The same is told once more: what was decided first counts, for as long as either lasts.
    fn first(&mut self, other: Self) -> usize {
        let (until, met_in) = (self.until.max(other.until), self.met_in.max(other.met_in));
        if other.number < self.number {
            *self = other;
        }
        (self.until, self.met_in) = (until, met_in);
        0
    }

    /// Whether this is the same decision as `other`, perhaps offered anew to a list that had lost it.
    fn is_again(&self, other: &Self) -> bool {
        self.nonce >> OFFER_BITS == other.nonce >> OFFER_BITS
    }

    /// Covers what either covers of sessions that did not know of them.
    fn widen(&mut self, other: Self) {
        if self.is_again(&other) {
            self.number = self.number.min(other.number);
            self.met_in = self.met_in.max(other.met_in);
        } else {
            let (at, number) = (self.at.max(other.at), self.number.max(other.number));
            let until = self.until.max(other.until);
            if other.number > self.number {
                *self = other;
            }
            (self.at, self.number, self.until) = (at, number, until);
        }
    }

    fn entry(&self, scope: Scope) -> RevocationEntry {
        let Self { at, until, reason, nonce, .. } = *self;
        RevocationEntry { scope, at, until, reason, nonce }
    }
}

impl PrincipalEnds {
    fn len(&self) -> usize {
        usize::from(self.all.is_some()) + usize::from(self.but.is_some())
    }

    fn add(&mut self, except: Option<SessionId>, mark: Mark) {
        let Some(except) = except else {
            add_to(&mut self.all, mark);
            // What excepts a session is of no use any more beside a later end that excepts none.
            self.but = self.but.filter(|(_, but)| but.number > mark.number || but.at > mark.at);
            return;
        };
        match &mut self.but {
            None => {
                let is_moot = self.all.is_some_and(|all| {
                    all.number != UNNUMBERED && all.number >= mark.number && all.at >= mark.at
                });
                if !is_moot {
                    self.but = Some((except, mark));
                }
            }
            Some((known, but)) if *known == except => but.widen(mark),
            Some((known, but)) => {
                let older = if but.number <= mark.number {
                    *known = except;
                    std::mem::replace(but, mark)
                } else {
                    mark
                };
                add_to(&mut self.all, older);
            }
        }
    }
}

/// Adds to what covers everybody; how many more entries there are.
fn add_to(place: &mut Option<Mark>, mark: Mark) -> usize {
    match place {
        Some(known) => {
            known.widen(mark);
            0
        }
        None => {
            *place = Some(mark);
            1
        }
    }
}

fn of_core<'a>(tokens: &'a [(CoreName, Mark)], core: &CoreName) -> Option<&'a Mark> {
    tokens.iter().find(|(known, _)| known == core).map(|(_, mark)| mark)
}

/// The number of what was not read from the list yet: later than everything that any session could have known.
const UNNUMBERED: u64 = u64::MAX;
/// Bits of a nonce that are drawn anew when an entry is offered again; the others stay, and tell that it is the same end.
pub(crate) const OFFER_BITS: u32 = 32;
