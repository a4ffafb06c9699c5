//! `/v1/admin/sessions`: everybody's sessions.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{Cursor, ListItem, ListOrder, PrincipalId, Search, SessionId, StateFilter};
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{malformed, parameters, read, read_limit, read_switch, settle};
use crate::web::App;
use crate::web::admin::{AttributeSize, Selection, Values, Why};
use crate::web::api::RevokedAnswer;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Sight, Staff};
use crate::wire::{AuditEventObject, SessionObject};

/// Which sessions. All conditions have to be met.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct SessionsRequest {
    /// Those of this principal, by its whole id.
    principal: Option<String>,
    /// `active` (where it is not given), `ended` or `any`.
    #[param(value_type = Option<String>, pattern = "^(active|ended|any)$")]
    state: Option<String>,
    /// Live ones issued to this address.
    ip: Option<String>,
    /// A session's id, an address, a principal's id, the beginning of one followed by `*`; anything else is looked for in
    /// principal, id, address and device.
    q: Option<String>,
    /// Words that the device's label or user agent contains.
    device: Option<String>,
    /// Those last active at or after this instant.
    seen_since: Option<String>,
    /// Those last active before this instant.
    seen_before: Option<String>,
    /// Those issued at or after this instant.
    issued_from: Option<String>,
    /// Those issued before this instant.
    issued_before: Option<String>,
    /// `newest_first` (where it is not given) or `oldest_first`, by the instant of issue.
    #[param(value_type = Option<String>, pattern = "^(newest_first|oldest_first)$")]
    order: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most sessions on a page: 1 to 200; 50 where it is not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

const PARAMETERS: &str = "principal, state, ip, q, device, seen_since, seen_before, issued_from, issued_before, order, cursor and limit";

impl SessionsRequest {
    fn read(&self) -> Result<Search, Refusal> {
        let mut search = Search::default();
        let filter = &mut search.filter;
        filter.principal = match &self.principal {
            None => None,
            Some(id) => Some(PrincipalId::new(id).map_err(|error| malformed(error.to_string()))?),
        };
        filter.state = read_state(self.state.as_deref())?;
        filter.ip = read(self.ip.as_deref(), "ip is an IPv4 or IPv6 address")?;
        let instant = |name: &str, given: &Option<String>| {
            read(given.as_deref(), &format!("{name} is an instant such as 2026-03-01T09:30:00Z"))
        };
        filter.issued_from = instant("issued_from", &self.issued_from)?;
        filter.issued_before = instant("issued_before", &self.issued_before)?;
        search.seen_since = instant("seen_since", &self.seen_since)?;
        search.seen_before = instant("seen_before", &self.seen_before)?;
        search.text = text("q", self.q.as_deref())?;
        search.device = text("device", self.device.as_deref())?;
        search.order = match self.order.as_deref() {
            None | Some("newest_first") => ListOrder::NewestFirst,
            Some("oldest_first") => ListOrder::OldestFirst,
            Some(_) => return Err(malformed("order is newest_first or oldest_first")),
        };
        search.after = read_cursor(self.cursor.as_deref())?;
        search.limit = read_limit(self.limit.as_deref())?;
        Ok(search)
    }
}

/// Sessions of many.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct FoundAnswer {
    /// Their attributes are `null`: they are not shown in lists.
    sessions: Vec<SessionObject>,
    /// Pass it back as `cursor`; `null` where everything was looked at. A page may have fewer sessions than asked for, or
    /// none, and still lead on.
    next_cursor: Option<String>,
    /// How many rows the store looked at for this page.
    looked_at: u64,
    /// Whether the page could be fuller, had it not stopped at the bound of what is looked at for one.
    at_bound: bool,
}

/// One session and its history.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct SessionLookAnswer {
    /// `null` where only the audit log remembers it, or where sessions cannot be found by their ids.
    session: Option<SessionObject>,
    /// Names and sizes of its attributes.
    attribute_sizes: BTreeMap<String, usize>,
    /// What happened to it, the latest first, at most 50 events; `null` while the audit log cannot be read.
    history: Option<Vec<AuditEventObject>>,
    /// Whether addresses are hidden from whoever asks.
    addresses_hidden: bool,
}

/// How to look.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct LookRequest {
    /// `true`: with the values of attributes, which only administrators may see. That somebody saw them is recorded.
    #[param(value_type = Option<bool>)]
    values: Option<String>,
}

/// Why, and whether to wait.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct EndRequest {
    /// `revoked_by_admin` (where it is not given), `compromised`, `account_disabled` or `password_changed`.
    reason: Option<String>,
    /// One line for those who read the audit log; at most 500 characters.
    note: Option<String>,
    /// `true`: the answer comes once every server is known to refuse it.
    #[param(value_type = Option<bool>)]
    settled: Option<String>,
}

/// Lists and searches everybody's sessions.
#[utoipa::path(get, path = "/v1/admin/sessions", tag = "admin", params(SessionsRequest), responses(
    (status = 200, description = "Sessions, the latest issued first unless asked otherwise", body = FoundAnswer),
    (status = 400, description = "`malformed_request`: says which parameter, and what it may be"),
    (status = 501, description = "`unsupported_by_store`: where sessions live, they cannot be listed")))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    session: Session,
    query: Result<Query<SessionsRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let search = parameters(query, PARAMETERS)?.read()?;
    let found = app.find_sessions(&staff, &search).await?;
    let answer = FoundAnswer {
        sessions: objects(&staff, &found.items),
        next_cursor: found.next.map(|cursor| cursor.to_string()),
        looked_at: found.read,
        at_bound: found.at_bound,
    };
    Ok(axum::Json(answer).into_response())
}

/// Shows one session and what happened to it. The look is recorded.
#[utoipa::path(get, path = "/v1/admin/sessions/{id}", tag = "admin",
    params(("id" = String, Path, description = "`ses_…`"), LookRequest), responses(
    (status = 200, description = "What is known of it", body = SessionLookAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`: neither store nor audit log know it"),
    (status = 429, description = "`too_many_looks`, with `Retry-After`: support looks at 300 in a quarter of an hour")))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    query: Result<Query<LookRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeOne).await?;
    let values = parameters(query, "values")?.values;
    let values = if read_switch("values", values.as_deref())? { Values::Shown } else { Values::Hidden };
    let id = id.parse::<SessionId>().map_err(|_| Refusal::not_found())?;
    let look = app.look_at_session(&staff, id, values).await?;
    let object = look.item.as_ref().map(|item| {
        let object = object(&staff, item);
        match values {
            Values::Hidden => object,
            Values::Shown => object.with_attributes(shown(&look.attributes)),
        }
    });
    let answer = SessionLookAnswer {
        session: object,
        attribute_sizes: look.attributes.into_iter().map(|size| (size.key, size.bytes)).collect(),
        history: look.history.map(|page| page.events.iter().map(AuditEventObject::from).collect()),
        addresses_hidden: look.sight == Sight::NoAddresses,
    };
    Ok(axum::Json(answer).into_response())
}

/// Ends one session.
#[utoipa::path(delete, path = "/v1/admin/sessions/{id}", tag = "admin",
    params(("id" = String, Path, description = "`ses_…`"), EndRequest), responses(
    (status = 200, description = "It has ended", body = RevokedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`: no such session is known"),
    (status = 501, description = "`unsupported_by_store`: where sessions live, one of them cannot be found")))]
pub(in crate::web) async fn end(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    query: Result<Query<EndRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::EndOfOne).await?;
    let EndRequest { reason, note, settled } = parameters(query, "reason, note and settled")?;
    let why = Why::read(reason.as_deref(), note.as_deref())?;
    let settled = read_switch("settled", settled.as_deref())?;
    let id = id.parse::<SessionId>().map_err(|_| Refusal::not_found())?;
    let ended = app.end_sessions(&staff, &Selection::One(id), why, settle(settled)).await?;
    Ok(axum::Json(RevokedAnswer::from(ended)).into_response())
}

/// Sessions as staff sees them in lists.
pub(super) fn objects(staff: &Staff, items: &[ListItem]) -> Vec<SessionObject> {
    items.iter().map(|item| object(staff, item)).collect()
}

fn object(staff: &Staff, item: &ListItem) -> SessionObject {
    let object = SessionObject::from(item).without_attributes();
    if item.cursor().session == staff.active.id() { object.current() } else { object }
}

fn shown(attributes: &[AttributeSize]) -> BTreeMap<String, serde_json::Value> {
    let values = attributes.iter().filter_map(|size| Some((size.key.clone(), size.value.clone()?)));
    values.collect()
}

pub(super) fn read_state(given: Option<&str>) -> Result<StateFilter, Refusal> {
    match given {
        None | Some("active") => Ok(StateFilter::Active),
        Some("ended") => Ok(StateFilter::Ended),
        Some("any") => Ok(StateFilter::Any),
        Some(_) => Err(malformed("state is active, ended or any")),
    }
}

pub(super) fn read_cursor(given: Option<&str>) -> Result<Option<Cursor>, Refusal> {
    read(given, "cursor is the next_cursor of the page before")
}

/// A text that is looked for: not longer than anything it could be found in.
pub(super) fn text(name: &str, given: Option<&str>) -> Result<Option<String>, Refusal> {
    match given {
        Some(text) if text.len() > TEXT_MAX_BYTES => {
            Err(malformed(format!("{name} has at most {TEXT_MAX_BYTES} bytes")))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

const TEXT_MAX_BYTES: usize = 512;
