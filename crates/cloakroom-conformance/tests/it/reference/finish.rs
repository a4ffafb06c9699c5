//! end, list, count.

use cloakroom_core::{EndReason, PrincipalId, SessionId, Timestamp};
use cloakroom_store::{
    Counts, Cursor, EndRequest, Ending, ListFilter, ListItem, ListOrder, ListPage, ListQuery, Parts,
    Selector, StateFilter,
};

use super::Defect;
use super::shelf::{Entry, Epoch, Filed, Shelf};

impl Shelf {
    /// The sessions `request` names one by one.
    pub(crate) fn named(&self, request: &EndRequest<'_>) -> Vec<SessionId> {
        match request.selector {
            Selector::One(id) => vec![*id],
            Selector::Principal { principal, except } => {
                let loose = self.has(Defect::PrincipalsAreComparedLoosely);
                let same = |entry: &&Entry| {
                    entry.principal().is_some_and(|own| match loose {
                        true => own.as_str().eq_ignore_ascii_case(principal.as_str()),
                        false => own == *principal,
                    })
                };
                let kept = |id: &SessionId| *except == Some(*id) && !self.has(Defect::EndForgetsTheException);
                self.entries
                    .values()
                    .filter(same)
                    .map(|entry| entry.record.id)
                    .filter(|id| !kept(id))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn end(&mut self, request: &EndRequest<'_>, named: &[SessionId]) -> Ending {
        let reason = if self.has(Defect::ReasonsAreLost) { EndReason::SignedOut } else { request.reason };
        if matches!(request.selector, Selector::One(_) | Selector::Principal { .. }) {
            let mut ended = Vec::new();
            for (number, id) in named.iter().enumerate() {
                self.watches.muted |= (number > 0 && self.has(Defect::WatchTellsOneOfMany))
                    || (number >= 200 && self.has(Defect::WatchTellsNoMoreThanFits));
                ended.extend(self.bury(*id, request.now, reason));
            }
            self.watches.muted &=
                !self.has(Defect::WatchTellsOneOfMany) && !self.has(Defect::WatchTellsNoMoreThanFits);
            return Ending { ended, swept_later: 0 };
        }
        let lives =
            |shelf: &Self| shelf.entries.values().filter(|e| shelf.fate(e, request.now).is_none()).count();
        let before = lives(self);
        let (selector, now) = (request.selector.clone(), request.now);
        let is_missed = match selector {
            Selector::All => self.has(Defect::WatchMissesEndsOfAll),
            _ => self.has(Defect::WatchMissesIssuedBefore),
        };
        self.epochs.push(Epoch { selector, inserted: self.inserted, reason, now });
        if !is_missed {
            let few = self.has(Defect::WatchTellsOnePartOfAll);
            self.note_anything(if few { Parts::ALL.without(Parts::one(ALICES)) } else { Parts::ALL });
        }
        let swept_later =
            if self.has(Defect::AllCountsTheDead) { self.entries.len() } else { before - lives(self) };
        Ending { ended: Vec::new(), swept_later: swept_later.try_into().unwrap() }
    }

    pub(crate) fn list(&self, query: &ListQuery, now: Timestamp) -> ListPage {
        let mut rows: Vec<ListItem> =
            self.entries.values().filter_map(|entry| self.item(entry, now)).collect();
        let order = if self.has(Defect::ListKnowsOneOrder) { ListOrder::NewestFirst } else { query.order };
        rows.sort_by(|one, other| order.compare(one.cursor(), other.cursor()));
        if let Some(after) = query.after {
            rows.retain(|item| match self.defect {
                Some(Defect::ListSkipsTies) => {
                    item.cursor().created_at != after.created_at && query.is_behind(item.cursor())
                }
                Some(Defect::ListRepeatsTheLast) => item.cursor() == after || query.is_behind(item.cursor()),
                // As many as were there before it, from the first: what was filed before them moves them on.
                Some(Defect::ListCountsFromOneEnd) if order == ListOrder::OldestFirst => {
                    item.cursor().created_at.as_millis() > after.created_at.as_millis() - 3
                }
                _ => query.is_behind(item.cursor()),
            });
        }
        self.page(rows, query)
    }

    /// The first rows that are wanted, within the bound.
    fn page(&self, rows: Vec<ListItem>, query: &ListQuery) -> ListPage {
        let limit = usize::from(query.limit.get());
        let bound = if self.has(Defect::ListHasNoBound) { usize::MAX } else { ListQuery::MOST_READ.into() };
        let (mut items, mut read, mut reached) = (Vec::new(), 0, query.after);
        let all = rows.len();
        for item in rows.into_iter().take(bound) {
            if items.len() > limit {
                break;
            }
            read += 1;
            reached = Some(item.cursor());
            items.extend(Some(item).filter(|item| self.passes(&query.filter, item)));
        }
        let more = items.len() > limit || (items.len() == limit && self.has(Defect::ListPromisesMore));
        items.truncate(limit);
        let last = items.last().map(ListItem::cursor);
        let next = match self.defect {
            _ if more => last,
            _ if read == all => None,
            Some(Defect::ListEndsAtItsBound) => None,
            Some(Defect::ListSkipsBehindItsBound) => reached.map(|reached| match query.order {
                ListOrder::NewestFirst => Cursor { session: SessionId::from_bytes([0; 16]), ..reached },
                ListOrder::OldestFirst => Cursor { session: SessionId::from_bytes([255; 16]), ..reached },
            }),
            _ => reached,
        };
        ListPage { items, next, read: read.try_into().unwrap() }
    }

    fn item(&self, entry: &Entry, now: Timestamp) -> Option<ListItem> {
        let created_at = entry.record.created_at;
        if entry.damaged && entry.tombstone.is_none() {
            return None;
        }
        match self.fate(entry, now) {
            Some(tombstone) if entry.tombstone.is_none() && self.has(Defect::ListShowsTheExpired) => {
                let _ = tombstone;
                Some(ListItem::Live(entry.live()))
            }
            Some(tombstone) => Some(ListItem::Ended { tombstone, created_at }),
            None => Some(ListItem::Live(entry.live())),
        }
    }

    fn passes(&self, filter: &ListFilter, item: &ListItem) -> bool {
        let cursor = item.cursor();
        let (live, ip, owner) = match item {
            ListItem::Live(live) => {
                let ip = live.record.device.as_ref().and_then(|device| device.ip());
                (true, ip, live.record.principal.as_ref().map(|principal| principal.id().clone()))
            }
            ListItem::Ended { tombstone, .. } => (false, None, tombstone.principal.clone()),
        };
        let state = match filter.state {
            StateFilter::Active => live,
            StateFilter::Ended => !live,
            StateFilter::Any => true,
        };
        let text = owner.as_ref().map(|owner| owner.as_str().to_owned()).unwrap_or_default();
        let begins = |beginning: &PrincipalId| match self.defect {
            Some(Defect::ListForgetsTheBeginning) => true,
            Some(Defect::ListTakesBeginningsLoosely) => {
                text.to_lowercase().starts_with(&beginning.as_str().to_lowercase())
            }
            Some(Defect::ListTakesBeginningsForPatterns) => {
                let mut letters = text.chars();
                beginning
                    .as_str()
                    .chars()
                    .all(|wanted| letters.next().is_some_and(|letter| wanted == '_' || letter == wanted))
            }
            Some(Defect::ListAsksForOneNameOnly) if filter.principal.is_some() => true,
            _ => text.starts_with(beginning.as_str()),
        };
        let address = filter.ip.is_none() || ip == filter.ip || self.has(Defect::ListForgetsTheAddress);
        state
            && address
            && filter.session.is_none_or(|session| session == cursor.session)
            && (filter.principal.is_none() || owner == filter.principal)
            && filter.principal_prefix.as_ref().is_none_or(begins)
            && filter.issued_from.is_none_or(|from| cursor.created_at >= from)
            && filter.issued_before.is_none_or(|before| cursor.created_at < before)
    }

    pub(crate) fn count(&self, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries.values() {
            let ended = self.fate(entry, now).is_some();
            *match (ended, entry.record.is_anonymous()) {
                (true, _) => &mut counts.tombstones,
                (false, true) => &mut counts.anonymous,
                (false, false) => &mut counts.signed_in,
            } += 1;
        }
        if self.has(Defect::CountTakesTokensForSessions) {
            let retired =
                self.digests.values().filter(|filed| matches!(filed, Filed::Retired { .. })).count();
            counts.signed_in += u64::try_from(retired).unwrap();
        }
        counts
    }
}

/// The part of the principal that most cases are about.
const ALICES: u8 = 249;
