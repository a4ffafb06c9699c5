//! Who came first of several that exchange one token, where that cannot be told at once.

use cloakroom_core::{EndReason, Timestamp};
use cloakroom_store::{RevocationEntry, Scope, SealedContents, StoreError};

use super::mirror::Covered;
use super::seal::{Claim, CoreName};
use super::{Mirror, Seals};

/// A token was exchanged for another. Of two exchanges of one token, on whichever nodes, at most one is given a successor that lives:
///
/// | first in the list | then | lives |
/// |---|---|---|
/// | of the token alone | of the token alone | the first: it decided when the token was over |
/// | a floor | the same floor | the first, for the same reason |
/// | a floor | of the token alone | the floor's, unless it has read of the other; the other's lies below the floor |
/// | of the token alone | a floor | none: the first one's lies below the floor, and the floor's finds the token exchanged |
pub(super) struct Exchange<'a> {
    /// What was written down.
    pub(super) entry: RevocationEntry,
    /// The core of the token that was exchanged.
    pub(super) old: CoreName,
    /// What its successor holds.
    pub(super) contents: &'a SealedContents,
    /// The core of its successor.
    pub(super) new: CoreName,
}

/// An exchange after which the list could not be read. Its successor was handed out, or its client would have neither.
#[derive(Debug)]
pub(crate) struct Doubt {
    entry: RevocationEntry,
    old: CoreName,
    contents: SealedContents,
    new: CoreName,
    /// By which the successor is over, if another came first.
    undoing: RevocationEntry,
    /// By which the session is over, if the successor was exchanged meanwhile: nobody knows by whom, nor for what.
    ending: RevocationEntry,
}

/// What is to be done where another came first.
enum Remedy<'a> {
    /// Nothing: it is over.
    None,
    /// What was done is on its way.
    Coming,
    Write(&'a RevocationEntry),
}

/// What has become of a doubt.
enum Turned {
    /// The entry was not read yet.
    Open,
    /// It came first.
    Won,
    /// Another did.
    Lost,
}

impl Exchange<'_> {
    /// When the old token was exchanged by another entry than this one that counts, as far as was read.
    pub(super) fn lost_to_another(&self, mirror: &Mirror) -> Option<Timestamp> {
        let Self { entry, old, contents, new } = self;
        let token = Scope::Token { session: contents.record.id, core: *old };
        let of_token = RevocationEntry { scope: token, ..entry.clone() };
        let by_another = mirror.exchanged_before(entry).or_else(|| mirror.exchanged_before(&of_token));
        by_another.or_else(|| match mirror.covers(&Claim { contents, core: *new }) {
            Some(Covered::Retired(retired)) => Some(retired.rotated_at),
            _ => None,
        })
    }

    /// Who came first is to be decided when the list was read. Without random bits it stays as it is: the successor is handed out.
    pub(super) fn leave_in_doubt(self, seals: &Seals, mirror: &Mirror, now: Timestamp) {
        let Self { entry, old, contents, new } = self;
        let scope = Scope::Token { session: contents.record.id, core: new };
        let session = Scope::Session(contents.record.id);
        let undoing = seals.entry_of_copies(mirror, contents, scope, now);
        if let (Ok(undoing), Ok(ending)) = (undoing, seals.entry_of_copies(mirror, contents, session, now)) {
            let (until, reason) = (contents.record.lifetime.absolute_expires_at, EndReason::Compromised);
            let ending = RevocationEntry { until, reason, ..ending };
            mirror.doubt(Doubt { entry, old, contents: contents.clone(), new, undoing, ending });
        }
    }
}

impl Doubt {
    fn turned(&self, mirror: &Mirror) -> Turned {
        let Self { entry, old, contents, new, .. } = self;
        let exchange = Exchange { entry: entry.clone(), old: *old, contents, new: *new };
        match exchange.lost_to_another(mirror) {
            Some(_) => Turned::Lost,
            None if mirror.is_due(entry) => Turned::Open,
            None => Turned::Won,
        }
    }

    /// What ends the successor. One that was exchanged in its turn, before this came, lives on in another.
    fn remedy(&self, mirror: &Mirror) -> Remedy<'_> {
        match mirror.covers(&Claim { contents: &self.contents, core: self.new }) {
            None => Remedy::Write(&self.undoing),
            Some(Covered::Ended(_)) => Remedy::None,
            Some(Covered::Retired(_)) if mirror.exchanged_before(&self.undoing).is_some() => {
                Remedy::Write(&self.ending)
            }
            Some(Covered::Retired(_)) if mirror.is_due(&self.undoing) => Remedy::Coming,
            Some(Covered::Retired(_)) => Remedy::None,
        }
    }
}

impl Mirror {
    /// An exchange is to be judged when the list was read.
    fn doubt(&self, doubt: Doubt) {
        let mut doubts = self.doubts().lock();
        if doubts.len() < MOST_DOUBTS {
            doubts.push(doubt);
        }
    }

    /// The list was read: successors are over of tokens that another had exchanged before.
    ///
    /// # Errors
    /// [`StoreError`] where that could not be written down; it is tried again.
    pub(super) async fn settle_doubts(&self) -> Result<(), StoreError> {
        let mut against = Vec::new();
        self.doubts().lock().retain(|doubt| match doubt.turned(self) {
            Turned::Open => true,
            Turned::Won => false,
            Turned::Lost => match doubt.remedy(self) {
                Remedy::None => false,
                Remedy::Coming => true,
                Remedy::Write(entry) => {
                    if against.len() < UNDONE_AT_ONCE {
                        against.push(entry.clone());
                    }
                    true
                }
            },
        });
        if against.is_empty() { Ok(()) } else { self.write(&against).await }
    }
}

/// Doubts that are kept; the exchanges of further ones stay as they are.
const MOST_DOUBTS: usize = 4_096;
/// Successors that are ended in one call.
const UNDONE_AT_ONCE: usize = 256;
