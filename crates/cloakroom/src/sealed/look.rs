//! Sealed sessions of open streams: there is nobody to ask for them but time and the list.

use cloakroom_store::StoreError;

use super::mirror::Covered;
use super::{Need, Seals, WhenUnreachable};
use crate::{ActiveSession, Sessions};

impl Sessions {
    /// Returns when it can be told from memory whether a session stands: at once, or when the list was read.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot, and must not be guessed.
    pub(crate) async fn stands(&self, seals: &Seals, session: &ActiveSession) -> Result<(), StoreError> {
        let Some(mirror) = seals.mirror() else { return Ok(()) };
        if mirror.is_trusted() || self.standing(seals, session).is_some() {
            return Ok(());
        }
        match mirror.refresh(Need::Trust).await {
            Err(_) if seals.policy.when_unreachable() == WhenUnreachable::Open => Ok(()),
            read => read,
        }
    }

    /// What has become of a session, by time and by what is known of the list.
    pub(crate) fn standing(&self, seals: &Seals, session: &ActiveSession) -> Option<Covered> {
        let contents = session.contents()?;
        seals.over(session, &contents, self.now())
    }
}
