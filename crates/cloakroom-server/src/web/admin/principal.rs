//! One principal: their account, their sessions, what happened to them. And who may be helped by whom.

use std::num::NonZeroU16;

use cloakroom::{Cursor, Found, ListFilter, ListItem, ListQuery, PrincipalId, Search, StateFilter};
use cloakroom_audit::{AuditPage, AuditQuery, names};
use cloakroom_http::ProblemCode;
use http::StatusCode;

use super::look::{hide_from, history};
use crate::accounts::Account;
use crate::web::App;
use crate::web::extract::MALFORMED;
use crate::web::refusal::Refusal;
use crate::web::staff::{Duty, Right, Sight, Staff};

/// Which of one principal's sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::web) struct PrincipalQuery {
    /// In which state.
    pub(in crate::web) state: StateFilter,
    /// Where the page before ended.
    pub(in crate::web) after: Option<Cursor>,
    /// Most sessions on a page.
    pub(in crate::web) limit: Option<NonZeroU16>,
}

/// One principal.
#[derive(Clone, Debug)]
pub(in crate::web) struct PrincipalLook {
    /// Whose sessions and events these are.
    pub(in crate::web) id: PrincipalId,
    /// Their account, where they have a built-in one.
    pub(in crate::web) account: Option<Account>,
    /// Their sessions; `None` where sessions cannot be listed.
    pub(in crate::web) sessions: Option<Found>,
    /// What happened to them and what they did, the latest first; `None` where the log cannot be read.
    pub(in crate::web) events: Option<AuditPage>,
    /// Whether addresses are hidden from whoever looks.
    pub(in crate::web) sight: Sight,
}

impl App {
    /// One principal, by their exact name: as their account spells it, or as their sessions do. The look is recorded.
    ///
    /// # Errors
    /// `not_found` where there is no account, no session and no event of that name, as far as these can be seen;
    /// `protected_principal`; what keeps
    /// the store from answering.
    pub(in crate::web) async fn look_at_principal(
        &self,
        staff: &Staff,
        name: &str,
        query: &PrincipalQuery,
    ) -> Result<PrincipalLook, Refusal> {
        staff.demand(self, Right::SeeOne)?;
        self.admit_look(staff)?;
        let account = self.accounts.get(name).await?;
        let id = match &account {
            Some(account) => account.name.id().clone(),
            None => {
                PrincipalId::new(name).map_err(|error| Refusal::new(MALFORMED).detail(error.to_string()))?
            }
        };
        self.guard_principal(staff, &id).await?;
        let mut sessions = self.sessions_of(&id, query).await?;
        let mut about = AuditQuery::latest();
        about.principal = Some(id.clone());
        about.limit = EVENTS;
        let events = history(self, staff, &about).await;
        let is_known = account.is_some()
            || query.after.is_some()
            || sessions.as_ref().is_some_and(|found| !found.items.is_empty())
            || events.as_ref().is_none_or(|page| !page.events.is_empty());
        let read = staff.draft(names::SENSITIVE_READ, self.sessions.now()).about(Some(id.clone()));
        self.audit.note(read.with("what", "principal"));
        if !is_known {
            return Err(Refusal::not_found());
        }
        sessions.iter_mut().for_each(|found| hide_from(staff, &mut found.items));
        Ok(PrincipalLook { id, account, sessions, events, sight: staff.sight() })
    }

    async fn sessions_of(&self, id: &PrincipalId, query: &PrincipalQuery) -> Result<Option<Found>, Refusal> {
        if !self.can_list() {
            return Ok(None);
        }
        let mut search = Search::default();
        search.filter.principal = Some(id.clone());
        search.filter.state = query.state;
        search.after = query.after;
        search.limit = query.limit;
        Ok(Some(self.sessions.search(&search).await.map_err(Refusal::of_list)?))
    }

    /// Lets whoever sees one person at a time look at so many, and no more: names are not to be tried out, and each look is
    /// an event, of which there is room for so many.
    ///
    /// # Errors
    /// `too_many_looks`.
    pub(super) fn admit_look(&self, staff: &Staff) -> Result<(), Refusal> {
        if staff.duty.has(Right::SeeAll) {
            return Ok(());
        }
        self.looks.spend(staff.active.id(), self.sessions.now()).map_err(|wait| {
            let seconds = wait.as_secs().saturating_add(1);
            Refusal::new(TOO_MANY_LOOKS).retry_after(seconds)
        })
    }

    /// Keeps those who help one person at a time from looking at, and acting on, other staff: otherwise support could
    /// sign administrators out while something goes on that they should see.
    ///
    /// Staff is whose account, or any live session, has a role of staff. Who cannot be told apart counts as staff: where
    /// sessions cannot be listed, everybody without an account here.
    pub(super) async fn guard_principal(&self, staff: &Staff, id: &PrincipalId) -> Result<(), Refusal> {
        if staff.duty.has(Right::SeeAll) || *id == staff.id {
            return Ok(());
        }
        let protected = || Err(self.refused_at(staff, id, PROTECTED_PRINCIPAL));
        let account = self.accounts.get(id.as_str()).await?;
        let has_account = account.is_some();
        if account.is_some_and(|account| Duty::of_roles(account.roles.as_slice()).is_some()) {
            return protected();
        }
        if !self.can_list() {
            return if has_account { Ok(()) } else { protected() };
        }
        let mut filter = ListFilter::default();
        filter.principal = Some(id.clone());
        let mut query = ListQuery::new(filter);
        query.limit = GUARD_PAGE;
        for _ in 0..GUARD_PAGES {
            let page = self.sessions.list(&query).await.map_err(Refusal::of_list)?;
            let is_staff = page.items.iter().any(|item| match item {
                ListItem::Live(live) => live
                    .record
                    .principal
                    .as_ref()
                    .is_some_and(|principal| Duty::of_roles(principal.roles()).is_some()),
                ListItem::Ended { .. } => false,
            });
            if is_staff {
                return protected();
            }
            let Some(next) = page.next else { return Ok(()) };
            query.after = Some(next);
        }
        protected()
    }
}

/// Events shown of one principal.
const EVENTS: NonZeroU16 = NonZeroU16::new(20).expect("not zero");
/// Sessions of one principal that are looked through for a role of staff: more than anybody has by hand.
const GUARD_PAGE: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
const GUARD_PAGES: usize = 10;

/// Only those who see everything may look at staff, or act on them.
const PROTECTED_PRINCIPAL: ProblemCode = ProblemCode::new(
    "protected_principal",
    StatusCode::FORBIDDEN,
    "This principal belongs to the staff; ask an administrator",
);

const TOO_MANY_LOOKS: ProblemCode = ProblemCode::new(
    "too_many_looks",
    StatusCode::TOO_MANY_REQUESTS,
    "Support looked at too many people and sessions just now",
);
