//! Looking: at many sessions, at one, at the audit log.

use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom::{Device, Found, ListItem, PrincipalId, Search, SessionId};
use cloakroom_audit::{AuditEvent, AuditPage, AuditQuery, names};
use serde_json::Value;

use super::act::{unreadable, unwritable};
use super::end::owner;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Sight, Staff};

/// One session.
#[derive(Clone, Debug)]
pub(in crate::web) struct SessionLook {
    /// What the store knows of it; `None` where only the log remembers it, or the store cannot be asked for it.
    pub(in crate::web) item: Option<ListItem>,
    /// Whether the store cannot be asked for one session.
    pub(in crate::web) is_unseen: bool,
    /// The application's data, by name.
    pub(in crate::web) attributes: Vec<AttributeSize>,
    /// What happened to it, the latest first; `None` where the log cannot be read.
    pub(in crate::web) history: Option<AuditPage>,
    /// Whether addresses are hidden from whoever looks.
    pub(in crate::web) sight: Sight,
}

/// An attribute as staff sees it.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::web) struct AttributeSize {
    /// Its name.
    pub(in crate::web) key: String,
    /// How many bytes its value takes.
    pub(in crate::web) bytes: usize,
    /// Its value as JSON, where it was asked for and has such a form.
    pub(in crate::web) value: Option<Value>,
}

/// Whether the values of attributes are read too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::web) enum Values {
    /// Only names and sizes.
    #[default]
    Hidden,
    /// Values too, which is recorded first.
    Shown,
}

impl App {
    /// Looks for sessions.
    ///
    /// # Errors
    /// Forbidden; what keeps the store from answering.
    pub(in crate::web) async fn find_sessions(
        &self,
        staff: &Staff,
        search: &Search,
    ) -> Result<Found, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        if !self.can_list() {
            return Err(Refusal::unlisted());
        }
        self.sessions.search(search).await.map_err(Refusal::of_list)
    }

    /// One session and its history. The look is recorded.
    ///
    /// # Errors
    /// `not_found` where both store and log can be asked and neither knows it; `protected_principal`; what keeps the store from answering;
    /// `audit_unavailable` where values are read and that cannot be recorded.
    pub(in crate::web) async fn look_at_session(
        &self,
        staff: &Staff,
        id: SessionId,
        values: Values,
    ) -> Result<SessionLook, Refusal> {
        staff.demand(self, Right::SeeOne)?;
        if values == Values::Shown {
            staff.demand(self, Right::SeeValues)?;
        }
        self.admit_look(staff)?;
        let is_unseen = !self.can_list();
        let item = if is_unseen { None } else { self.sessions.find(id).await.map_err(Refusal::of_list)? };
        let mut about = AuditQuery::latest();
        about.session = Some(id);
        about.limit = HISTORY;
        let history = history(self, staff, &about).await;
        let principal = item.as_ref().and_then(owner).or_else(|| {
            let mut events = history.iter().flat_map(|page| &page.events);
            events.find_map(|event| PrincipalId::new(event.principal.as_deref()?).ok())
        });
        if let Some(principal) = &principal {
            self.guard_principal(staff, principal).await?;
        }
        if item.is_none() && !is_unseen && history.as_ref().is_none_or(|page| page.events.is_empty()) {
            return Err(Refusal::not_found());
        }
        let read = staff.draft(names::SENSITIVE_READ, self.sessions.now()).about(principal).of_session(id);
        let read = read.with("what", "session").with("values", values == Values::Shown);
        match values {
            Values::Hidden => self.audit.note(read),
            // Values leave only once it lasts that they were read.
            Values::Shown => {
                self.audit.write(read).await.map_err(|error| unwritable(&error))?;
            }
        }
        let mut items: Vec<ListItem> = item.into_iter().collect();
        let attributes = items.first().map(|item| attributes(item, values)).unwrap_or_default();
        hide_from(staff, &mut items);
        Ok(SessionLook { item: items.pop(), is_unseen, attributes, history, sight: staff.sight() })
    }

    /// A page of the audit log.
    ///
    /// # Errors
    /// Forbidden; `audit_unavailable`.
    pub(in crate::web) async fn audit_page(
        &self,
        staff: &Staff,
        query: &AuditQuery,
    ) -> Result<AuditPage, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        self.audit.page(query).await.map_err(|error| unreadable(&error))
    }
}

/// What happened, without what staff may not see of it; `None` where the log cannot be read: whoever looks needs the
/// rest then more than ever.
pub(super) async fn history(app: &App, staff: &Staff, query: &AuditQuery) -> Option<AuditPage> {
    let mut page = match app.audit.page(query).await {
        Ok(page) => page,
        Err(error) => {
            unreadable(&error);
            return None;
        }
    };
    if staff.sight() == Sight::NoAddresses {
        page.events.iter_mut().for_each(hide_address);
    }
    Some(page)
}

/// Takes the addresses out of what staff may not see them in.
pub(super) fn hide_from(staff: &Staff, items: &mut [ListItem]) {
    if staff.sight() == Sight::Everything {
        return;
    }
    for item in items {
        if let ListItem::Live(live) = item
            && let Some(device) = live.record.device.as_deref()
        {
            let bare = Device::new();
            let bare = device.user_agent().into_iter().fold(bare, Device::with_user_agent);
            let bare = device.label().into_iter().fold(bare, Device::with_label);
            let mut record = (*live.record).clone();
            record.device = Some(Box::new(bare));
            live.record = Arc::new(record);
        }
    }
}

/// Only details that are known to hold no address stay.
fn hide_address(event: &mut AuditEvent) {
    event.ip = None;
    event.detail.retain(|key, _| SHOWN_TO_ALL.contains(&key.as_str()));
}

fn attributes(item: &ListItem, values: Values) -> Vec<AttributeSize> {
    let ListItem::Live(live) = item else { return Vec::new() };
    let attributes = &live.record.attributes;
    let described = attributes.iter().map(|(key, bytes)| AttributeSize {
        key: key.as_str().to_owned(),
        bytes: bytes.len(),
        value: match values {
            Values::Hidden => None,
            Values::Shown => attributes.decode(key.as_str()).ok().flatten(),
        },
    });
    described.collect()
}

/// Events shown of one session.
const HISTORY: NonZeroU16 = NonZeroU16::new(50).expect("not zero");
/// Details of events without an address in them.
const SHOWN_TO_ALL: &[&str] =
    &["act", "phase", "begun", "note", "selection", "revoked", "signal", "grade", "duty", "what", "error"];
