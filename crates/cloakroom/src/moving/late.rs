//! What a server does in the old store that has not noticed that moving has begun.
//!
//! It cannot know *before* it acts: the mark may come in between, and a call may be on its way for as long as it likes. So it
//! looks afterwards, and only then answers. Where the old store has no mark, the change was there before the mark: every pass
//! begins after it and finds the session. Where it has one, passes may have gone by: the session is brought home here.

use std::collections::HashMap;

use cloakroom_core::{EndReason, OnLimit, SessionId};
use cloakroom_store::{
    EndRequest, Ended, ErrorKind, InsertRequest, Inserted, Live, RekeyRequest, Rekeyed, Selector, StoreError,
    Verb,
};

use super::insert::least;
use super::{MovingStore, maybe};

impl MovingStore {
    /// Files a new session in the old store, and brings it to the new one where moving has begun by then.
    pub(super) async fn insert_in_old(&self, request: InsertRequest<'_>) -> Result<Inserted, StoreError> {
        if self.is_limited_by_both(&request)
            && self.stage.is_leaving(&*self.old, &*self.new, request.now).await?
        {
            return self.insert_in_new(request).await;
        }
        match self.old.insert(request).await? {
            Inserted::Done { ended } => self.after_insert(request, ended).await.map_err(maybe),
            // The old store alone has as many as are allowed.
            refused => Ok(refused),
        }
    }

    /// Whether it matters *before* a session is filed in the old store that sessions may be in the new one: it would end one
    /// for a newcomer that is refused, or nobody could count afterwards.
    fn is_limited_by_both(&self, request: &InsertRequest<'_>) -> bool {
        self.limited(request).is_some_and(|(limit, _)| {
            let may_be_in_vain = limit.on_limit == OnLimit::Refuse && request.replaces.is_some();
            may_be_in_vain || !self.new.capabilities().listing
        })
    }

    async fn after_insert(
        &self,
        request: InsertRequest<'_>,
        mut ended: Vec<Ended>,
    ) -> Result<Inserted, StoreError> {
        if !self.stage.is_leaving(&*self.old, &*self.new, request.now).await? {
            return Ok(Inserted::Done { ended });
        }
        self.settle(request.digest, request.now).await?;
        match self.excess(&request, &ended).await? {
            Excess::Others(others) => {
                for id in others {
                    ended.extend(self.end_one(id, EndReason::SessionLimit, &request).await?);
                }
            }
            newcomer => {
                self.end_one(request.record.id, EndReason::SessionLimit, &request).await?;
                return self.refusal(newcomer);
            }
        }
        if let Some(replaced) = request.replaces
            && !ended.iter().any(|ended| ended.session == replaced)
        {
            // The old store had no more of it, not even under the seal: it has arrived, or is over.
            ended.extend(self.end_one(replaced, EndReason::Replaced, &request).await?);
        }
        Ok(Inserted::Done { ended })
    }

    /// Who is too many across both stores after the newcomer has arrived in the new one.
    ///
    /// Whoever files a session in the new store after that counts this one; of whoever did before, this counts the session.
    /// Two that come late at once count each other: one more than needed may end or be refused, never one too few.
    async fn excess(&self, request: &InsertRequest<'_>, ended: &[Ended]) -> Result<Excess, StoreError> {
        let Some((limit, principal)) = self.limited(request) else { return Ok(Excess::Others(Vec::new())) };
        if !self.new.capabilities().listing {
            // Whoever took the place of another is none more than before.
            return Ok(if ended.is_empty() { Excess::Uncounted } else { Excess::Others(Vec::new()) });
        }
        // The old store first: what leaves it in between is in the new one by then.
        let mut others: HashMap<SessionId, Live> = HashMap::new();
        for store in [&self.old, &self.new] {
            let lives = self.live_of(&**store, &principal, request).await?;
            others.extend(lives.into_iter().map(|live| (live.record.id, live)));
        }
        others.remove(&request.record.id);
        let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
        let excess = (others.len() + 1).saturating_sub(max);
        if excess > 0 && limit.on_limit == OnLimit::Refuse {
            // To refuse whom the old store let in instead of another would sign its client out of both, and they are none
            // more than before.
            let has_a_place = ended.iter().any(|ended| Some(ended.session) == request.replaces);
            return Ok(if has_a_place { Excess::Others(Vec::new()) } else { Excess::Newcomer });
        }
        Ok(Excess::Others(least(others.values(), limit.on_limit, excess)))
    }

    fn refusal(&self, excess: Excess) -> Result<Inserted, StoreError> {
        match excess {
            Excess::Newcomer | Excess::Others(_) => Ok(Inserted::LimitReached),
            Excess::Uncounted => {
                let error = StoreError::new(ErrorKind::Unavailable, self.new.name(), Verb::Insert);
                Err(error.caused_by("moving began meanwhile: whoever signs in again is counted"))
            }
        }
    }

    async fn end_one(
        &self,
        session: SessionId,
        reason: EndReason,
        request: &InsertRequest<'_>,
    ) -> Result<Vec<Ended>, StoreError> {
        let selector = Selector::One(session);
        Ok(self.end_both(EndRequest { selector: &selector, reason, now: request.now }).await?.ended)
    }

    /// Exchanges a token in the old store. A pass that has been where the new digest is filed, and comes to where the old one
    /// was, misses the session: so it is brought to the new store where moving has begun by then.
    pub(super) async fn rekey_in_old(&self, request: RekeyRequest<'_>) -> Result<Rekeyed, StoreError> {
        let answer = self.old.rekey(request).await?;
        if matches!(answer, Rekeyed::Done(_))
            && self.stage.is_leaving(&*self.old, &*self.new, request.now).await.map_err(maybe)?
        {
            // With its version: what was answered holds in the new store.
            self.settle(request.new, request.now).await.map_err(maybe)?;
        }
        Ok(answer)
    }
}

/// Who has to go for a limit.
enum Excess {
    /// These, or nobody.
    Others(Vec<SessionId>),
    /// The newcomer: it is refused.
    Newcomer,
    /// The newcomer, since nobody can say whether it is one too many: it is asked to come again.
    Uncounted,
}
