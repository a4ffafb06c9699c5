//! The steps that only look.

use std::net::IpAddr;
use std::num::NonZeroU16;

use cloakroom_core::TokenDigest;
use cloakroom_store::{Counts, Cursor, ListFilter, ListItem, ListOrder, ListQuery, Lookup, StateFilter};

use super::play::{BEGINNINGS, NAMES, Play, agree, ip, shifted};
use super::step::List;
use super::world::{Disagreement, Session};
use crate::fixtures::principal_id;
use crate::subject::Subject;

impl Play<'_> {
    /// Everything there is, asked for.
    pub(super) async fn compare(&self, store: &Subject) -> Result<(), Disagreement> {
        for digest in self.world.tokens() {
            self.compare_token(store, digest).await?;
        }
        if self.claims.listing { self.compare_counts(store.total(self.world.now).await) } else { Ok(()) }
    }

    async fn compare_token(&self, store: &Subject, digest: TokenDigest) -> Result<(), Disagreement> {
        let answer = store.look_up(digest, self.world.now).await;
        agree::<Lookup>(&answer, &self.world.lookup(digest)).map_err(|why| format!("{digest:?}: {why}"))
    }

    /// Exact for what lives and for what is buried; what is over and not yet swept may count as either.
    fn compare_counts(&self, counts: Counts) -> Result<(), Disagreement> {
        let (mut least, mut most) = (Counts::default(), Counts::default());
        for session in &self.world.sessions {
            let kind = |counts: &mut Counts| match session.record.is_anonymous() {
                true => counts.anonymous += 1,
                false => counts.signed_in += 1,
            };
            match self.world.fate(session) {
                None => {
                    kind(&mut least);
                    kind(&mut most);
                }
                Some(tombstone) => {
                    let settled =
                        session.is_reported && !self.world.may_be_forgotten(session, tombstone.ended_at);
                    least.tombstones += u64::from(settled);
                    most.tombstones += u64::from(!session.is_gone);
                    if !session.is_reported {
                        kind(&mut most);
                    }
                }
            }
        }
        let within = |of: fn(&Counts) -> u64| (of(&least)..=of(&most)).contains(&of(&counts));
        if within(|c| c.anonymous) && within(|c| c.signed_in) && within(|c| c.tombstones) {
            return Ok(());
        }
        Err(format!("counted {counts:?}; at least {least:?}, at most {most:?}"))
    }

    pub(super) async fn list(&self, store: &Subject, list: &List) -> Result<(), Disagreement> {
        let mut filter = ListFilter::default();
        filter.session = list.session.and_then(|number| self.session(number));
        filter.principal = list.who.and_then(|who| NAMES.get(who)).map(|name| principal_id(name));
        filter.principal_prefix =
            list.beginning.and_then(|name| BEGINNINGS.get(name)).map(|name| principal_id(name));
        filter.state = list.state;
        filter.ip = list.address.map(ip);
        filter.issued_from = list.from.map(|millis| shifted(self.world.now, millis));
        filter.issued_before = list.before.map(|millis| shifted(self.world.now, millis));
        let limit = NonZeroU16::new(list.limit).unwrap_or(NonZeroU16::MIN);
        let query = ListQuery::new(filter.clone()).ordered(list.order).with_limit(limit);
        let items = store.pages(&query, self.world.now).await;
        let in_order = |one: &Cursor, next: &Cursor| match list.order {
            ListOrder::NewestFirst => next < one,
            ListOrder::OldestFirst => one < next,
        };
        if !items.iter().map(ListItem::cursor).is_sorted_by(in_order) {
            return Err(format!("out of order: {items:?}"));
        }
        for item in &items {
            self.belongs(item, &filter)?;
        }
        let listed = |session: &Session| items.iter().any(|item| item.cursor().session == session.record.id);
        match self
            .world
            .sessions
            .iter()
            .find(|session| self.must_be_listed(session, &filter) && !listed(session))
        {
            None => Ok(()),
            Some(missing) => Err(format!("missing in {items:?}: {missing:?}")),
        }
    }

    fn belongs(&self, item: &ListItem, filter: &ListFilter) -> Result<(), Disagreement> {
        let cursor = item.cursor();
        let Some(session) = self.world.position(cursor.session).and_then(|at| self.world.sessions.get(at))
        else {
            return Err(format!("lists {item:?}, which never was"));
        };
        let right = match (item, self.world.fate(session)) {
            (ListItem::Live(live), None) => *live == session.live() && filter.state != StateFilter::Ended,
            (ListItem::Ended { tombstone, created_at }, Some(fate)) => {
                let place = [session.record.created_at, fate.ended_at].contains(created_at);
                *tombstone == fate && place && filter.state != StateFilter::Active && !session.is_gone
            }
            _ => false,
        };
        let meets = filter.session.is_none_or(|id| id == session.record.id)
            && (filter.ip.is_none()
                || (matches!(item, ListItem::Live(_)) && issued_to(session) == filter.ip))
            && (filter.principal.is_none() || session.principal() == filter.principal)
            && begins(session, filter)
            && filter.issued_from.is_none_or(|from| cursor.created_at >= from)
            && filter.issued_before.is_none_or(|before| cursor.created_at < before);
        if right && meets { Ok(()) } else { Err(format!("lists {item:?}, but has {session:?}")) }
    }

    /// What lives and meets every condition; what ended, where no choice of the store makes a difference.
    fn must_be_listed(&self, session: &Session, filter: &ListFilter) -> bool {
        let (state, instants) = match self.world.fate(session) {
            None => (StateFilter::Active, [session.record.created_at; 2]),
            Some(over) if session.is_reported && !self.world.may_be_forgotten(session, over.ended_at) => {
                (StateFilter::Ended, [session.record.created_at, over.ended_at])
            }
            Some(_) => return false,
        };
        [state, StateFilter::Any].contains(&filter.state)
            && (filter.ip.is_none() || (state == StateFilter::Active && issued_to(session) == filter.ip))
            && filter.session.is_none_or(|id| id == session.record.id)
            && (filter.principal.is_none() || session.principal() == filter.principal)
            && begins(session, filter)
            && instants.iter().all(|instant| filter.issued_from.is_none_or(|from| *instant >= from))
            && instants.iter().all(|instant| filter.issued_before.is_none_or(|before| *instant < before))
    }
}

fn begins(session: &Session, filter: &ListFilter) -> bool {
    let Some(beginning) = &filter.principal_prefix else { return true };
    session.principal().is_some_and(|principal| principal.as_str().starts_with(beginning.as_str()))
}

fn issued_to(session: &Session) -> Option<IpAddr> {
    session.record.device.as_ref().and_then(|device| device.ip())
}
