//! Starting a sealed session.

use std::sync::Arc;

use cloakroom_core::{EndReason, PrincipalId, Route, SessionId, SessionRecord, Timestamp};
use cloakroom_store::{Ended, Live, SealedContents, Selector, StoreError, Verb, Version};

use super::end::Entered;
use super::entries::Asked;
use super::seal::Seal;
use super::tally::Cause;
use super::{Seals, WhenUnreachable};
use crate::revoke::Known;
use crate::{ActiveSession, Issue, IssueOutcome, Issued, SessionError, Sessions};

impl Sessions {
    /// Starts a sealed session: sealed first, so that what is too large fails before anything ends; then what it replaces is
    /// ended, and only then is the token handed out.
    pub(crate) async fn issue_sealed(
        &self,
        seals: &Seals,
        issue: Issue,
    ) -> Result<IssueOutcome, SessionError> {
        // Strangers do not wait for the list, unless everything was ended here a moment ago, and they would be among it.
        let principal = issue.principal_id();
        let has_unread = || seals.mirror().is_some_and(|mirror| mirror.after(None).has_unread);
        if principal.is_some() || has_unread() {
            self.know_the_list(seals, principal).await.map_err(SessionError::Store)?;
        }
        let now = self.now();
        let (record, known) = self.record_of(seals, &issue, now)?;
        let contents = SealedContents {
            record: Arc::new(record),
            version: Version::FIRST,
            last_seen_at: now,
            known,
            core: seals.new_core()?,
        };
        let token = seals.seal(&contents, now)?;
        let ended = match &issue.replaced {
            Some(old) => self
                .end_replaced_sealed(seals, old, contents.record.id, now)
                .await
                .map_err(SessionError::Store)?,
            None => Vec::new(),
        };
        self.report_issue(issue, contents.record.id, &ended, now);
        let seal = Seal::of(&contents, None);
        let SealedContents { record, version, last_seen_at, .. } = contents;
        let session = ActiveSession::sealed(Live { record, version, last_seen_at }, seal);
        Ok(IssueOutcome::Issued(Issued { token, session, ended }))
    }

    /// Reads the list, so that whoever signs in after their sessions were ended is not taken for one of those: whether that was done
    /// elsewhere, or here and has to be read back.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read, or an end of theirs that holds here is not in it: what is begun now would be covered.
    async fn know_the_list(&self, seals: &Seals, principal: Option<&PrincipalId>) -> Result<(), StoreError> {
        let Some(mirror) = seals.mirror() else { return Ok(()) };
        match mirror.know(principal).await {
            Err(_) if seals.policy.when_unreachable() == WhenUnreachable::Open => {
                mirror.metrics().unproven.increment(1);
                Ok(())
            }
            read => read,
        }
    }

    /// The record, issued after everything that is known to have ended others: their clocks may be ahead of this one, and a
    /// millisecond may hold both.
    fn record_of(
        &self,
        seals: &Seals,
        issue: &Issue,
        now: Timestamp,
    ) -> Result<(SessionRecord, u64), SessionError> {
        let principal = issue.principal_id();
        let route = match principal {
            Some(principal) => Route::of_principal(principal),
            None => self.random_route().map_err(SessionError::Random)?,
        };
        let id = self.new_id(route).map_err(SessionError::Random)?;
        let mut record = issue.record(id, self, now);
        let Some(mirror) = seals.mirror() else { return Ok((record, 0)) };
        let after = mirror.after(principal);
        if let Some(instant) = after.instant {
            record.created_at = record.created_at.max(instant.plus(INSTANT));
        }
        Ok((record, after.number))
    }

    /// Ends the session that is replaced, where there is a list to write that into.
    async fn end_replaced_sealed(
        &self,
        seals: &Seals,
        old: &Known,
        newcomer: SessionId,
        now: Timestamp,
    ) -> Result<Vec<Ended>, StoreError> {
        if seals.mirror().is_none() {
            return Ok(Vec::new());
        }
        let selector = Selector::One(old.session);
        let (known, newcomer, reason) = (Some(old), Some(newcomer), EndReason::Replaced);
        let (cause, is_again) = (Some(Cause::User), false);
        let asked = Asked { selector: &selector, known, newcomer, cause, is_again, reason, now };
        let Entered { ending, widened } = self.ask(Verb::End, seals.end(asked)).await?;
        self.report_widened(seals, widened, now);
        Ok(ending.ended)
    }
}

/// The least that an instant is after another.
pub(super) const INSTANT: std::time::Duration = std::time::Duration::from_millis(1);
