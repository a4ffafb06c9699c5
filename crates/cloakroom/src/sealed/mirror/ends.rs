//! Ends of those who did not know of them: of all sessions of a principal, or of everything.

use cloakroom_core::{SessionId, Timestamp};

use super::mark::{How, Mark};
use crate::sealed::seal::Claim;

/// What was read is merged, in the order of the list, into two ends at most; what was written here and not read yet is held
/// beside them, each end by itself. They never mix: only what was read has a number, and only numbers are compared.
///
/// | comes | it is held | it is one of the two | it is neither |
/// |---|---|---|---|
/// | from here, acknowledged | that stays | that stays: it was read already | it is held: everybody is covered but whom it excepts |
/// | from the list, with its number | not any more; then as on the right | that keeps its earlier number, and has been met again | it is merged: whoever did not know of it is covered but whom it excepts |
///
/// So nothing is held after its entry was read, whatever the order of answers, and once everything was read this says what the
/// list says.
///
/// Merging: `but` is the last of those that except a session, and `all` what covers everybody. Where another session is excepted, the
/// earlier end goes into `all`: whom it excepted was there before the later one, which covers it.
#[derive(Clone, Default, Debug)]
pub(super) struct Ends {
    all: Option<Mark>,
    but: Option<(SessionId, Mark)>,
    held: Vec<(Option<SessionId>, Mark)>,
}

impl Ends {
    /// The earliest of those that cover a session most surely.
    pub(super) fn covering(&self, claim: &Claim<'_>) -> Option<(How, Mark)> {
        let session = Some(claim.contents.record.id);
        let theirs = self.each().filter(|(except, _)| *except != session);
        theirs
            .filter_map(|(_, mark)| Some((mark.news_to(claim)?, *mark)))
            .min_by_key(|(how, mark)| (*how, mark.at))
    }

    /// Every end, and whom it excepts.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<SessionId>, &Mark)> {
        let all = self.all.iter().map(|mark| (None, mark));
        let but = self.but.iter().map(|(except, mark)| (Some(*except), mark));
        all.chain(but).chain(self.held.iter().map(|(except, mark)| (*except, mark)))
    }

    pub(super) fn len(&self) -> usize {
        self.each().count()
    }

    /// Takes in what was read where it has a number, and else what was acknowledged here.
    pub(super) fn add(&mut self, except: Option<SessionId>, mark: Mark) {
        if mark.number.is_some() {
            self.held.retain(|(_, held)| !held.is_again(&mark));
        }
        if except.is_none()
            && let Some((_, but)) = self.but.take_if(|(_, but)| but.is_again(&mark))
        {
            // Offered anew by a node where it covers everybody by now.
            self.cover_everybody(but);
        }
        match self.same_end(&mark) {
            Some(known) => known.meet_again(mark),
            None if mark.number.is_none() => self.held.push((except, mark)),
            None => self.merge(except, mark),
        }
    }

    fn same_end(&mut self, mark: &Mark) -> Option<&mut Mark> {
        let read = self.all.iter_mut().chain(self.but.iter_mut().map(|(_, mark)| mark));
        read.chain(self.held.iter_mut().map(|(_, mark)| mark)).find(|known| known.is_again(mark))
    }

    /// Another end was read.
    fn merge(&mut self, except: Option<SessionId>, mark: Mark) {
        match (except, &mut self.but) {
            (None, _) => self.cover_everybody(mark),
            (Some(except), Some((known, but))) if *known == except => but.cover_both(mark),
            (Some(except), Some((known, but))) => {
                let earlier = if !mark.is_before(but) {
                    *known = except;
                    std::mem::replace(but, mark)
                } else {
                    mark
                };
                self.cover_everybody(earlier);
            }
            (Some(except), None) => self.but = Some((except, mark)),
        }
        self.but = self.but.filter(|(_, but)| !self.all.is_some_and(|all| all.outdoes(but)));
    }

    fn cover_everybody(&mut self, mark: Mark) {
        match &mut self.all {
            Some(all) => all.cover_both(mark),
            None => self.all = Some(mark),
        }
    }

    pub(super) fn forget_over(&mut self, now: Timestamp) {
        self.all = self.all.filter(|mark| mark.lasts(now));
        self.but = self.but.filter(|(_, mark)| mark.lasts(now));
        self.held.retain(|(_, mark)| mark.lasts(now));
    }
}
