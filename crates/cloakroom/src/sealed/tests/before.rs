//! A way to keep ends of a principal that locked people out: what was not read has the greatest of all numbers, and is merged with
//! what was; and an end counts as met where another of the same principal was. For tests of the tests.

use cloakroom_core::SessionId;
use cloakroom_store::{RevocationEntry, Scope, SealedContents};

use super::crossing::Keeps;
use crate::sealed::mirror::dues::{Acknowledged, Followed};

#[derive(Clone, Copy)]
struct Mark {
    number: u64,
    nonce: u64,
    met_in: u32,
}

#[derive(Default)]
pub(super) struct Before {
    all: Option<Mark>,
    but: Option<(Option<SessionId>, Mark)>,
    unmet: Vec<(RevocationEntry, u64)>,
    offers: Vec<RevocationEntry>,
    history: u32,
}

impl Mark {
    fn widen(&mut self, other: Self) {
        if self.nonce >> 32 == other.nonce >> 32 {
            (self.number, self.met_in) = (self.number.min(other.number), self.met_in.max(other.met_in));
        } else if other.number > self.number {
            *self = other;
        }
    }

    fn outdoes(&self, other: &Self) -> bool {
        self.number != UNREAD && self.number >= other.number
    }
}

impl Before {
    fn add(&mut self, entry: &RevocationEntry, number: u64, met_in: u32) {
        let Scope::Principal { except, .. } = &entry.scope else { return };
        let mark = Mark { number, nonce: entry.nonce, met_in };
        let Some(except) = except else {
            let all = self.widen(mark);
            self.but = self.but.filter(|(_, but)| !all.outdoes(but));
            return;
        };
        match &mut self.but {
            None if self.all.is_some_and(|all| all.outdoes(&mark)) => {}
            None => self.but = Some((Some(*except), mark)),
            Some((known, but)) if *known == Some(*except) => but.widen(mark),
            Some((known, but)) => {
                let older = if but.number <= mark.number {
                    *known = Some(*except);
                    std::mem::replace(but, mark)
                } else {
                    mark
                };
                self.widen(older);
            }
        }
    }

    fn widen(&mut self, mark: Mark) -> Mark {
        let all = self.all.get_or_insert(mark);
        all.widen(mark);
        *all
    }

    fn has_met(&self, entry: &RevocationEntry) -> bool {
        let Scope::Principal { except, .. } = &entry.scope else { return true };
        let but = self.but.filter(|(known, _)| known == except).map(|(_, mark)| mark);
        but.or(self.all).is_none_or(|mark| mark.met_in == self.history)
    }
}

impl Keeps for Before {
    fn send(&mut self, _: &[RevocationEntry]) -> Followed {
        Followed::No
    }

    fn withdraw(&mut self, _: &[RevocationEntry]) {}

    fn acknowledge(&mut self, entries: &[RevocationEntry], _: Followed, yes: Acknowledged) {
        for entry in entries {
            self.add(entry, UNREAD, 0);
            self.unmet.push((entry.clone(), yes.reading));
        }
    }

    fn owe(&mut self, _: &[RevocationEntry]) {}

    fn take_in(&mut self, page: &[(u64, RevocationEntry)], history: u32) {
        page.iter().for_each(|(number, entry)| self.add(entry, *number, history));
    }

    fn settle(&mut self, reading: u64, history: u32) {
        self.history = history;
        let mut unmet = std::mem::take(&mut self.unmet);
        unmet.retain(|(entry, begun)| {
            let is_met = self.has_met(entry);
            if !is_met && *begun < reading {
                self.offers.push(entry.clone());
            }
            !is_met && *begun >= reading
        });
        self.unmet = unmet;
    }

    fn next(&mut self) -> Vec<RevocationEntry> {
        std::mem::take(&mut self.offers).into_iter().filter(|entry| !self.has_met(entry)).collect()
    }

    fn covers(&self, contents: &SealedContents) -> bool {
        let but = self.but.filter(|(except, _)| *except != Some(contents.record.id)).map(|(_, mark)| mark);
        self.all.into_iter().chain(but).any(|mark| contents.known < mark.number)
    }

    fn has_unread(&self) -> bool {
        self.all.into_iter().chain(self.but.map(|(_, mark)| mark)).any(|mark| mark.number == UNREAD)
    }
}

const UNREAD: u64 = u64::MAX;
