//! What is known of the list about everything at once.

use cloakroom_core::Timestamp;
use cloakroom_store::Scope;

use super::ends::Ends;
use super::mark::{How, Mark};
use crate::sealed::seal::Claim;

/// Ends of everything, merged.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    issued_before: Option<(Timestamp, Mark)>,
    all: Ends,
}

impl Epochs {
    /// The earliest of those that cover a session most surely.
    pub(super) fn covering(&self, claim: &Claim<'_>) -> Option<(How, Mark)> {
        let created_at = claim.contents.record.created_at;
        let before = self.issued_before.filter(|(instant, _)| created_at < *instant);
        let before = before.map(|(_, mark)| (How::Surely, mark));
        before.into_iter().chain(self.all.covering(claim)).min_by_key(|(how, mark)| (*how, mark.at))
    }

    /// The ends of everything that did not know of them.
    pub(super) fn all(&self) -> &Ends {
        &self.all
    }

    /// The end of what was issued before an instant, and that instant.
    pub(super) fn issued_before(&self) -> Option<(Timestamp, Mark)> {
        self.issued_before
    }

    pub(super) fn len(&self) -> usize {
        self.all.len() + usize::from(self.issued_before.is_some())
    }

    pub(super) fn add(&mut self, scope: &Scope, mark: Mark) {
        match (scope, &mut self.issued_before) {
            (Scope::IssuedBefore(instant), Some((known, covering))) => {
                if *instant > *known {
                    *known = *instant;
                    covering.replace_by(mark);
                } else if *instant == *known {
                    covering.keep_earliest(mark);
                } else {
                    covering.until = covering.until.max(mark.until);
                }
            }
            (Scope::IssuedBefore(instant), none) => *none = Some((*instant, mark)),
            // A scope that this version does not know: rather too many are ended than too few.
            _ => self.all.add(None, mark),
        }
    }

    pub(super) fn forget_over(&mut self, now: Timestamp) {
        self.issued_before = self.issued_before.filter(|(_, mark)| mark.lasts(now));
        self.all.forget_over(now);
    }

    pub(super) fn for_each(&self, mut tell: impl FnMut(Scope, &Mark)) {
        if let Some((instant, mark)) = &self.issued_before {
            tell(Scope::IssuedBefore(*instant), mark);
        }
        self.all.each().for_each(|(_, mark)| tell(Scope::All, mark));
    }

    /// What is known of what an entry about `scope` says, where another entry may say the same.
    pub(super) fn mark_of(&self, scope: &Scope) -> Option<Mark> {
        match scope {
            Scope::IssuedBefore(_) => self.issued_before.map(|(_, mark)| mark),
            _ => None,
        }
    }
}
