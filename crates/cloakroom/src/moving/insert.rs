//! New sessions while others are on the way: the limit holds across both stores.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroU32};

use cloakroom_core::{EndReason, OnLimit, PrincipalId, SessionId, SessionLimit};
use cloakroom_store::{
    EndRequest, Ended, InsertRequest, Inserted, ListFilter, ListItem, ListQuery, Live, Selector, Store,
    StoreError, Verb,
};

use super::{MovingStore, maybe};

impl MovingStore {
    /// Files a new session in the new store, and makes room for it in both.
    ///
    /// Whoever files a session in the old store from now on brings it over and keeps the limit
    /// [then](Self::insert_in_old). So the room that its sessions take only shrinks: what is left of the limit is decided by
    /// the new store, atomically. A session that moves in between is counted in both for a moment, which may end one more or
    /// refuse one, and never allows one too many.
    pub(super) async fn insert_in_new(&self, request: InsertRequest<'_>) -> Result<Inserted, StoreError> {
        let (limit, mut ended) = match self.limited(&request) {
            Some((limit, principal)) => match self.make_room(&request, limit, principal).await? {
                Some(room) => room,
                None => return Ok(Inserted::LimitReached),
            },
            None => (request.limit, Vec::new()),
        };
        let answer = self.new.insert(InsertRequest { limit, ..request }).await;
        // Sessions that ended for it in the old store stay ended, whatever comes now.
        match if ended.is_empty() { answer? } else { answer.map_err(maybe)? } {
            Inserted::Done { ended: in_new } => {
                ended.extend(in_new);
                if let Some(replaced) = request.replaces
                    && !ended.iter().any(|ended| ended.session == replaced)
                {
                    // It may be anywhere on its way, and have arrived since.
                    let selector = Selector::One(replaced);
                    let end =
                        EndRequest { selector: &selector, reason: EndReason::Replaced, now: request.now };
                    ended.extend(self.end_both(end).await.map_err(maybe)?.ended);
                }
                Ok(Inserted::Done { ended })
            }
            refused => Ok(refused),
        }
    }

    /// Whose sessions are limited across both stores, and to how many: where the old store can say what it has.
    pub(super) fn limited(&self, request: &InsertRequest<'_>) -> Option<(SessionLimit, PrincipalId)> {
        let principal = request.record.principal.as_ref().filter(|_| self.old.capabilities().listing)?;
        Some((request.limit?, principal.id().clone()))
    }

    /// What the old store leaves of the limit, and what ended there for it; `None` where nothing is left and nothing may
    /// end.
    async fn make_room(
        &self,
        request: &InsertRequest<'_>,
        limit: SessionLimit,
        principal: PrincipalId,
    ) -> Result<Option<(Option<SessionLimit>, Vec<Ended>)>, StoreError> {
        let mut in_old = self.live_of(&*self.old, &principal, request).await?;
        if in_old.is_empty() {
            return Ok(Some((Some(limit), Vec::new())));
        }
        // A new store that cannot list makes room of what is left to it by itself, whoever is older in the other one.
        let in_new = match self.new.capabilities().listing {
            true => self.live_of(&*self.new, &principal, request).await?,
            false => Vec::new(),
        };
        let moved: HashSet<SessionId> = in_new.iter().map(|live| live.record.id).collect();
        in_old.retain(|live| !moved.contains(&live.record.id));
        let max = usize::try_from(limit.max.get()).unwrap_or(usize::MAX);
        let mut ended = Vec::new();
        if limit.on_limit != OnLimit::Refuse {
            let all = in_old.iter().chain(&in_new);
            let excess = (in_old.len() + in_new.len() + 1).saturating_sub(max);
            for id in least(all, limit.on_limit, excess) {
                if moved.contains(&id) {
                    // The new store ends it in the same step as it files the newcomer.
                    continue;
                }
                let selector = Selector::One(id);
                let end =
                    EndRequest { selector: &selector, reason: EndReason::SessionLimit, now: request.now };
                let ending = self.old.end(end).await;
                ended.extend(if ended.is_empty() { ending? } else { ending.map_err(maybe)? }.ended);
                in_old.retain(|live| live.record.id != id);
            }
        }
        let left = max.saturating_sub(in_old.len());
        let left = u32::try_from(left).ok().and_then(NonZeroU32::new);
        Ok(left.map(|max| (Some(SessionLimit { max, ..limit }), ended)))
    }

    /// The live sessions of a principal, but for the one that is replaced.
    pub(super) async fn live_of(
        &self,
        store: &dyn Store,
        principal: &PrincipalId,
        request: &InsertRequest<'_>,
    ) -> Result<Vec<Live>, StoreError> {
        let mut filter = ListFilter::default();
        filter.principal = Some(principal.clone());
        let mut query = ListQuery::new(filter).with_limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = store.list(&query, request.now).await?;
            found.extend(page.items.into_iter().filter_map(|item| match item {
                ListItem::Live(live) if Some(live.record.id) != request.replaces => Some(live),
                ListItem::Live(_) | ListItem::Ended { .. } => None,
            }));
            match page.next {
                Some(_) if found.len() >= MAX_LISTED => {
                    let error = StoreError::new(cloakroom_store::ErrorKind::Full, store.name(), Verb::List);
                    return Err(
                        error.caused_by("too many sessions of one principal to keep a limit while moving")
                    );
                }
                Some(next) => query.after = Some(next),
                None => return Ok(found),
            }
        }
    }
}

/// The `count` sessions that go first.
pub(super) fn least<'a>(
    all: impl Iterator<Item = &'a Live>,
    on_limit: OnLimit,
    count: usize,
) -> Vec<SessionId> {
    let mut all: Vec<_> = all
        .map(|live| {
            let age = match on_limit {
                OnLimit::EndIdlest => live.last_seen_at,
                OnLimit::EndOldest | OnLimit::Refuse => live.record.created_at,
            };
            (age, live.record.created_at, live.record.id)
        })
        .collect();
    all.sort_unstable();
    all.into_iter().take(count).map(|(_, _, id)| id).collect()
}

const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
/// More sessions of one principal than any limit is meant for.
const MAX_LISTED: usize = 50_000;
