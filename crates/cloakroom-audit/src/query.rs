//! Searching the log within bounds.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use cloakroom_core::{PrincipalId, SessionId, Timestamp};

use crate::{Along, AuditError, AuditEvent, AuditRow, AuditStore, Order, Period, Span, Walk};

/// Which events: those that meet every condition given, the latest first.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuditQuery {
    /// About this principal, or done by it.
    pub principal: Option<PrincipalId>,
    /// Done by whoever has this id: a principal's, a service key's.
    pub actor: Option<String>,
    /// Done by this kind of actor.
    pub actor_kind: Option<String>,
    /// About this session.
    pub session: Option<SessionId>,
    /// Of this kind; with a `*` at its end, of every kind that begins so.
    pub event: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// At or after this instant.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// Only events after this number, the first of them first: for whoever follows the log.
    pub after: Option<u64>,
    /// Only events before this number: where the page before ended.
    pub before: Option<u64>,
    /// Most events on a page.
    pub limit: NonZeroU16,
}

impl AuditQuery {
    /// The latest 50 events.
    #[must_use]
    pub fn latest() -> Self {
        Self {
            principal: None,
            actor: None,
            actor_kind: None,
            session: None,
            event: None,
            reason: None,
            since: None,
            until: None,
            after: None,
            before: None,
            limit: NonZeroU16::new(50).expect("not zero"),
        }
    }

    /// Whether `row` meets every condition but those on its number.
    fn admits(&self, row: &AuditRow) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted.as_str()))
        };
        let principal = self.principal.as_ref().is_none_or(|wanted| {
            let (wanted, actor) = (Some(wanted.as_str()), row.actor_id.as_deref());
            row.principal.as_deref() == wanted || (row.actor_kind != "service" && actor == wanted)
        });
        let session = self
            .session
            .is_none_or(|wanted| row.session.as_deref().is_some_and(|session| session == wanted.to_string()));
        let event = self.event.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => row.event.starts_with(beginning),
            None => row.event == *wanted,
        });
        principal
            && session
            && event
            && is(&self.actor, row.actor_id.as_deref())
            && is(&self.actor_kind, Some(row.actor_kind.as_str()))
            && is(&self.reason, row.reason.as_deref())
            && self.since.is_none_or(|since| row.at >= since)
            && self.until.is_none_or(|until| row.at < until)
    }

    fn order(&self) -> Order {
        if self.after.is_some() { Order::OldestFirst } else { Order::LatestFirst }
    }

    /// The indexes that together lead to every event that is asked for, the most selective ones there are.
    fn paths(&self) -> Vec<Along> {
        if let Some(session) = self.session {
            return vec![Along::Session(session.to_string())];
        }
        if let Some(principal) = &self.principal {
            return vec![Along::Principal(principal.to_string()), Along::Actor(principal.to_string())];
        }
        if let Some(actor) = &self.actor {
            return vec![Along::Actor(actor.clone())];
        }
        match &self.event {
            Some(event) if !event.ends_with('*') => vec![Along::Event(event.clone())],
            _ => vec![Along::Log],
        }
    }
}

/// A page of events.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct AuditPage {
    /// The events. May be fewer than asked for, or none, although there are more: see [`next`](Self::next).
    pub events: Vec<AuditEvent>,
    /// Pass it back as `before` (as `after` where that was given); `None` where this was the last page.
    pub next: Option<u64>,
    /// How many rows were read.
    pub read: u64,
}

/// Finds a page.
///
/// # Errors
/// [`AuditError`] where the log cannot be read.
///
/// # Cost
/// An index leads to events of one session, principal, actor or kind, and to a period; what else is asked of them is
/// looked at row by row, at most [`PAGE_READS`] rows for a page. A page may then be short and still lead on.
pub async fn page(store: &dyn AuditStore, query: &AuditQuery) -> Result<AuditPage, AuditError> {
    let mut search = Search::begin(store, query).await?;
    let wanted = usize::from(query.limit.get());
    let mut page = AuditPage::default();
    while let Some(row) = search.next(store).await? {
        let seq = row.seq;
        if query.admits(&row) {
            page.events.push(AuditEvent::from(row));
        }
        if page.events.len() == wanted {
            page.next = search.leads_on(store).await?.then_some(seq);
            break;
        }
        if search.read >= PAGE_READS && search.is_unbuffered() {
            page.next = Some(seq);
            break;
        }
    }
    page.read = search.read;
    Ok(page)
}

/// Several walks in step: the rows of all of them in one order, none twice.
struct Search {
    order: Order,
    step: NonZeroU16,
    walks: Vec<Path>,
    read: u64,
}

struct Path {
    along: Along,
    span: Span,
    found: VecDeque<AuditRow>,
    is_done: bool,
}

impl Search {
    async fn begin(store: &dyn AuditStore, query: &AuditQuery) -> Result<Self, AuditError> {
        let mut span =
            Span { after: query.after.unwrap_or(0), before: query.before.unwrap_or(Span::ALL.before) };
        if query.since.is_some() || query.until.is_some() {
            span = span.and(store.span(Period { since: query.since, until: query.until }).await?);
        }
        let path = |along| Path { along, span, found: VecDeque::new(), is_done: span.is_empty() };
        let walks = query.paths().into_iter().map(path).collect();
        // One more than a page: it tells whether there is another page.
        let step = query.limit.saturating_add(1);
        Ok(Self { order: query.order(), step, walks, read: 0 })
    }

    /// The next row of all walks.
    async fn next(&mut self, store: &dyn AuditStore) -> Result<Option<AuditRow>, AuditError> {
        self.fill(store).await?;
        let Some(seq) = self.first() else { return Ok(None) };
        let mut next = None;
        for path in &mut self.walks {
            if path.found.front().is_some_and(|row| row.seq == seq) {
                next = path.found.pop_front();
            }
        }
        Ok(next)
    }

    async fn leads_on(&mut self, store: &dyn AuditStore) -> Result<bool, AuditError> {
        if self.first().is_some() {
            return Ok(true);
        }
        if self.read >= PAGE_READS {
            return Ok(self.walks.iter().any(|path| !path.is_done));
        }
        self.fill(store).await?;
        Ok(self.first().is_some())
    }

    fn is_unbuffered(&self) -> bool {
        self.walks.iter().any(|path| path.found.is_empty() && !path.is_done)
    }

    fn first(&self) -> Option<u64> {
        let fronts = self.walks.iter().filter_map(|path| path.found.front().map(|row| row.seq));
        match self.order {
            Order::OldestFirst => fronts.min(),
            Order::LatestFirst => fronts.max(),
        }
    }

    async fn fill(&mut self, store: &dyn AuditStore) -> Result<(), AuditError> {
        for path in &mut self.walks {
            if !path.found.is_empty() || path.is_done {
                continue;
            }
            let walk =
                Walk { along: path.along.clone(), span: path.span, order: self.order, limit: self.step };
            let rows = store.walk(walk).await?;
            self.read = self.read.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            path.is_done = rows.len() < usize::from(self.step.get());
            if let Some(last) = rows.last() {
                match self.order {
                    Order::OldestFirst => path.span.after = last.seq,
                    Order::LatestFirst => path.span.before = last.seq,
                }
            }
            path.found = rows.into();
        }
        // What is not on the page was read for less: longer steps from here on.
        self.step = self.step.max(STEP);
        Ok(())
    }
}

/// Most rows read for one page, but for the step in which it is reached.
pub const PAGE_READS: u64 = 2_000;
const STEP: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
