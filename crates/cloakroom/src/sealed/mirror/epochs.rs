//! What is known of the list about everything at once.

use cloakroom_core::Timestamp;
use cloakroom_store::Scope;

use super::book::widened;
use super::mark::Mark;

/// Ends of everything, merged: at most two.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    issued_before: Option<(Timestamp, Mark)>,
    all: Option<Mark>,
}

impl Epochs {
    /// The end of everything that did not know of it.
    pub(super) fn all(&self) -> Option<Mark> {
        self.all
    }

    /// The end of what was issued before an instant, and that instant.
    pub(super) fn issued_before(&self) -> Option<(Timestamp, Mark)> {
        self.issued_before
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.all.is_some()) + usize::from(self.issued_before.is_some())
    }

    pub(super) fn add(&mut self, scope: &Scope, mark: Mark) {
        match (scope, &mut self.issued_before) {
            (Scope::IssuedBefore(instant), Some((known, covering))) => {
                if *instant > *known {
                    *known = *instant;
                    covering.becomes(mark);
                } else if *instant == *known {
                    covering.first(mark);
                } else {
                    covering.until = covering.until.max(mark.until);
                }
            }
            (Scope::IssuedBefore(instant), none) => *none = Some((*instant, mark)),
            // A scope that this version does not know: rather too many are ended than too few.
            _ => {
                widened(&mut self.all, mark);
            }
        }
    }

    pub(super) fn forget_over(&mut self, now: Timestamp) {
        self.issued_before = self.issued_before.filter(|(_, mark)| mark.lasts(now));
        self.all = self.all.filter(|mark| mark.lasts(now));
    }

    pub(super) fn for_each(&self, mut tell: impl FnMut(Scope, &Mark)) {
        if let Some((instant, mark)) = &self.issued_before {
            tell(Scope::IssuedBefore(*instant), mark);
        }
        self.all.iter().for_each(|mark| tell(Scope::All, mark));
    }

    pub(super) fn mark_of(&self, scope: &Scope) -> Option<Mark> {
        match scope {
            Scope::IssuedBefore(_) => self.issued_before.map(|(_, mark)| mark),
            _ => self.all,
        }
    }
}
