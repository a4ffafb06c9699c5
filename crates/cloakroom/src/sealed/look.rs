//! Sealed sessions of open streams: there is nobody to ask for them but time and the list.

use cloakroom_store::StoreError;

use super::entries::core_name;
use super::judgement::Judgement;
use super::mirror::Covered;
use super::seal::Claim;
use super::{By, Seals};
use crate::{ActiveSession, Sessions};

impl Sessions {
    /// Returns when it can be told from memory whether a session stands: at once, or when the list was read.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot, and must not be guessed.
    pub(crate) async fn stands(&self, seals: &Seals, session: &ActiveSession) -> Result<(), StoreError> {
        let Some(((mirror, contents), binding)) =
            seals.mirror().zip(session.contents()).zip(session.binding())
        else {
            return Ok(());
        };
        let facts = || {
            let (claim, now) = (Claim { contents: &contents, core: core_name(binding) }, self.now());
            seals.facts(&contents, &mirror.look(&claim, now), By::Memory, now)
        };
        let judgement = match facts().at_once() {
            Ok(judgement) => judgement,
            Err(need) => {
                let read = mirror.refresh(need).await;
                facts().after(read)?
            }
        };
        if judgement == Judgement::Ahead { Err(seals.ahead()) } else { Ok(()) }
    }

    /// What has become of a session, by time and by what is known of the list.
    pub(crate) fn standing(&self, seals: &Seals, session: &ActiveSession) -> Option<Covered> {
        let contents = session.contents()?;
        seals.over(session, &contents, self.now())
    }
}
