//! `/v1/sessions`: all sessions of whoever asks.

use std::num::NonZeroU16;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{
    ActiveSession, Actor, Cursor, EndReason, ListFilter, ListItem, ListQuery, Revocation, Selector, SessionId,
};
use cloakroom_axum::{Rejection, Session};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{RevokedAnswer, Settling, settling};
use crate::ended::Ended;
use crate::web::App;
use crate::web::extract::MALFORMED;
use crate::web::refusal::Refusal;
use crate::wire::SessionObject;

/// Which page of sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PageRequest {
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most sessions on a page: 1 to 200; 50 where it is not given.
    limit: Option<u16>,
}

/// Own sessions, the latest first.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct SessionsAnswer {
    sessions: Vec<SessionObject>,
    /// Pass it back as `cursor`; `null` where this was the last page.
    next_cursor: Option<String>,
}

/// Which to spare.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Spare {
    /// `current` spares the session that asks.
    except: Option<String>,
    /// `true`: the answer comes once every server is known to refuse what ended.
    #[serde(default)]
    settled: bool,
}

/// Lists the live sessions of whoever asks.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(PageRequest), responses(
    (status = 200, description = "Own sessions", body = SessionsAnswer),
    (status = 401, description = "Why there is no session"),
    (status = 501, description = "`unsupported_by_store`: where sessions live, they cannot be listed")))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    session: Session,
    page: Result<Query<PageRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let active = session.require_signed_in().await?;
    let malformed = |detail: &str| Refusal::new(MALFORMED).detail(detail);
    let Query(page) = page.map_err(|_| malformed("the parameters are cursor and limit"))?;
    if !app.can_list() {
        return Err(Refusal::unlisted());
    }
    let mut query = ListQuery::new(own(&active)?);
    if let Some(cursor) = page.cursor {
        query.after = Some(cursor.parse::<Cursor>().map_err(|error| malformed(&error.to_string()))?);
    }
    if let Some(limit) = page.limit {
        let limit = NonZeroU16::new(limit).filter(|limit| limit.get() <= PAGE_MAX);
        query.limit = limit.ok_or_else(|| malformed("limit is 1 to 200"))?;
    }
    let page = app.sessions.list(&query).await.map_err(Refusal::of_list)?;
    let sessions = page.items.iter().map(|item| {
        let is_current = matches!(item, ListItem::Live(live) if live.record.id == active.id());
        let object = SessionObject::from(item);
        if is_current { object.current() } else { object }
    });
    let answer = SessionsAnswer {
        sessions: sessions.collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    };
    Ok(axum::Json(answer).into_response())
}

/// Ends one session of whoever asks.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "`ses_…`"), Settling), responses(
    (status = 200, description = "It has ended", body = RevokedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 401, description = "Why there is no session"),
    (status = 403, description = "`reauthentication_required`"),
    (status = 404, description = "`not_found`: no such session of whoever asks"),
    (status = 501, description = "`unsupported_by_store`: where sessions live, nobody can tell whose another one is; the one that asks can be ended")))]
pub(in crate::web) async fn end_one(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    query: Result<Query<Settling>, QueryRejection>,
) -> Result<Response, Refusal> {
    let settling = settling(query)?;
    let active = session.require_fresh(&app.fresh()).await?;
    let id = id.parse::<SessionId>().map_err(|_| Refusal::not_found())?;
    let revoked = app.end_own(&session, &active, id).await?;
    settling.settle(&app).await;
    Ok(axum::Json(RevokedAnswer { revoked: revoked.count(), settled: settling.settled }).into_response())
}

/// Ends all sessions of whoever asks, or all but the one that asks.
#[utoipa::path(delete, path = "/v1/sessions", tag = "sessions", params(Spare), responses(
    (status = 200, description = "They have ended", body = RevokedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 401, description = "Why there is no session"),
    (status = 403, description = "`reauthentication_required`"),
    (status = 429, description = "`too_many_renewals`, with `Retry-After`: 20 at once, and then one a minute; `too_many_ends`: sessions are sealed, and this account's share of the list of ends is full"),
    (status = 501, description = "`unsupported_by_store`: sessions are sealed, and no list says what was ended")))]
pub(in crate::web) async fn end_many(
    State(app): State<App>,
    session: Session,
    spare: Result<Query<Spare>, QueryRejection>,
) -> Result<Response, Refusal> {
    let active = session.require_fresh(&app.fresh()).await?;
    let malformed = || {
        Refusal::new(MALFORMED).detail("the parameters are except=current and settled=true or settled=false")
    };
    let Query(Spare { except, settled }) = spare.map_err(|_| malformed())?;
    let spares_current = match except.as_deref() {
        None => false,
        Some("current") => true,
        Some(_) => return Err(malformed()),
    };
    let mut revoked = app.end_others_asked(&active).await?;
    if revoked == Ended::LiveOn {
        return Err(Refusal::cannot_end());
    }
    if !spares_current {
        session.sign_out().await?;
        revoked = revoked.plus(Ended::Counted(1));
    }
    Settling { settled }.settle(&app).await;
    Ok(axum::Json(RevokedAnswer { revoked: revoked.count(), settled }).into_response())
}

impl App {
    /// Ends a session of the same principal; whichever else it is, nobody is told.
    pub(in crate::web) async fn end_own(
        &self,
        session: &Session,
        active: &ActiveSession,
        id: SessionId,
    ) -> Result<Ended, Refusal> {
        if id == active.id() {
            session.sign_out().await?;
            return Ok(if self.can_end() { Ended::Counted(1) } else { Ended::LiveOn });
        }
        if !self.can_list() {
            return Err(Refusal::whose());
        }
        let owner = active.principal().map(|principal| principal.id().clone());
        let theirs = self.sessions.find(id).await.map_err(Refusal::of_list)?;
        let is_own = match &theirs {
            Some(ListItem::Live(live)) => {
                live.record.principal.as_ref().map(|principal| principal.id()) == owner.as_ref()
            }
            Some(ListItem::Ended { .. }) | None => false,
        };
        if !is_own {
            return Err(Refusal::not_found());
        }
        let revocation = Revocation::new(EndReason::RevokedByUser, Actor::User(owner));
        let revoked = self.sessions.revoke(&Selector::One(id), revocation).await.map_err(Rejection::from)?;
        Ok(Ended::of(&revoked))
    }
}

pub(in crate::web) fn own(active: &ActiveSession) -> Result<ListFilter, Refusal> {
    let mut filter = ListFilter::default();
    filter.principal = Some(active.principal().ok_or(Rejection::Missing)?.id().clone());
    Ok(filter)
}

/// Most sessions on a page.
const PAGE_MAX: u16 = 200;
