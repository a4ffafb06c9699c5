//! Self-service: own sessions, own password.

use std::num::NonZeroU16;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom::{ActiveSession, AuthLevel, ListItem, ListQuery, Method, SessionId};
use cloakroom_axum::{CsrfForm, Rejection, Session};
use cloakroom_core::SessionRecord;
use cloakroom_http::ProblemCode;
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::entrance::{Nothing, signed_out};
use super::history::Happening;
use super::setup::sentence;
use super::view::{Expiry, Notice, Page, SessionCard, User, When};
use super::{address, render, render_with, see_other, user};
use crate::accounts::Password;
use crate::ended::Ended;
use crate::web::App;
use crate::web::api::sessions::own;
use crate::web::context::Context;
use crate::web::door::PasswordChange;
use crate::web::refusal::Refusal;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    page: Page<'a>,
    user: User,
    notice: Option<Notice>,
    roles: Vec<String>,
    expiry: Expiry,
    sessions: Vec<SessionCard>,
    others: usize,
    others_sentence: String,
    /// Whether a session can be ended before its time.
    can_end: bool,
    /// Whether other sessions are shown.
    can_list: bool,
    more: Option<String>,
    events: Option<Vec<Happening>>,
    password_changed_at: When,
    password_problem: Option<Notice>,
    min_chars: usize,
    advised_chars: usize,
}

#[derive(Template)]
#[template(path = "end_session.html")]
struct EndSessionPage<'a> {
    page: Page<'a>,
    user: User,
    session: SessionCard,
}

#[derive(Template)]
#[template(path = "end_others.html")]
struct EndOthersPage<'a> {
    page: Page<'a>,
    user: User,
    others_sentence: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    notice: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::web) struct PasswordForm {
    current: Zeroizing<String>,
    new: Zeroizing<String>,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Refusal> {
    let notice = arrival.notice.as_deref().and_then(Notice::named);
    app.account_page(&context, &session, StatusCode::OK, notice, None).await
}

pub(in crate::web) async fn change_password(
    State(app): State<App>,
    context: Context,
    session: Session,
    CsrfForm(form): CsrfForm<PasswordForm>,
) -> Result<Response, Response> {
    ensure_fresh(&app, &session, "/account").await?;
    let problem = match app.change_password(&session, &context, form.current, form.new).await {
        Ok(PasswordChange::Changed(ended)) => {
            // Proved just now: another token, and the cookie with it.
            let proved = session.reauthenticate(AuthLevel::One, Method::password()).await;
            proved.map_err(axum::response::IntoResponse::into_response)?;
            return Ok(see_other(match ended {
                Ended::LiveOn => "/account?notice=password_changed_alone",
                Ended::Counted(_) | Ended::Uncounted => "/account?notice=password_changed",
            }));
        }
        Ok(PasswordChange::Weak(why)) => Notice::bad("weak_password", sentence(&why)),
        Err(refusal) => match refusal.code() {
            ProblemCode::INVALID_CREDENTIALS => {
                Notice::bad("invalid_credentials", "The current password is wrong.")
            }
            ProblemCode::TOO_MANY_ATTEMPTS => Notice::bad(
                "too_many_attempts",
                "There were too many attempts. Wait a little, then try again.",
            ),
            _ => return Err(refusal.into_response()),
        },
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let page = app.account_page(&context, &session, status, None, Some(problem)).await;
    page.map_err(axum::response::IntoResponse::into_response)
}

pub(in crate::web) async fn ask_end_session(
    State(app): State<App>,
    context: Context,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let active = session.require_signed_in().await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::not_found())?;
    let now = app.sessions.now();
    let card = if id == active.id() {
        SessionCard::new(active.record(), active.last_seen_at(), now, true)
    } else {
        if !app.can_list() {
            return Err(Refusal::whose());
        }
        let found = app.sessions.find(id).await.map_err(Refusal::of_list)?;
        let Some(ListItem::Live(live)) = found.filter(|item| is_own(item, &active)) else {
            return Ok(see_other("/account?notice=session_gone"));
        };
        SessionCard::new(&live.record, live.last_seen_at, now, false)
    };
    let user = user(&session, &active).await?;
    Ok(render(&EndSessionPage { page: Page::new(&app, &context), user, session: card }))
}

pub(in crate::web) async fn end_session(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    _: CsrfForm<Nothing>,
) -> Result<Response, Response> {
    let id: SessionId = id.parse().map_err(|_| Refusal::not_found().into_response())?;
    let active = ensure_fresh(&app, &session, &format!("/account/sessions/{id}/end")).await?;
    match app.end_own(&session, &active, id).await {
        Ok(_) if id == active.id() => Ok(signed_out(&app)),
        Ok(_) => Ok(see_other("/account?notice=session_ended")),
        Err(refusal) if refusal.code().status() == StatusCode::NOT_FOUND => {
            Ok(see_other("/account?notice=session_gone"))
        }
        Err(refusal) => Err(refusal.into_response()),
    }
}

pub(in crate::web) async fn ask_end_others(
    State(app): State<App>,
    context: Context,
    session: Session,
) -> Result<Response, Refusal> {
    let active = session.require_signed_in().await?;
    if !app.can_end() {
        return Err(Refusal::cannot_end());
    }
    let others_sentence = app.own_sessions(&active).await?.others_sentence();
    let user = user(&session, &active).await?;
    Ok(render(&EndOthersPage { page: Page::new(&app, &context), user, others_sentence }))
}

pub(in crate::web) async fn end_others(
    State(app): State<App>,
    session: Session,
    _: CsrfForm<Nothing>,
) -> Result<Response, Response> {
    let active = ensure_fresh(&app, &session, "/account/end-others").await?;
    let ended = app.end_others_asked(&active).await;
    let notice = match ended.map_err(axum::response::IntoResponse::into_response)? {
        Ended::LiveOn => return Err(Refusal::cannot_end().into_response()),
        ended if ended.is_none() => "no_others",
        Ended::Counted(_) | Ended::Uncounted => "others_ended",
    };
    Ok(see_other(&address("/account", &[("notice", notice)])))
}

/// The session, where identity was proved lately; else the way to prove it, which leads back to `then`.
async fn ensure_fresh(app: &App, session: &Session, then: &str) -> Result<ActiveSession, Response> {
    session.require_fresh(&app.fresh()).await.map_err(|rejection| match rejection {
        Rejection::ReauthenticationRequired => see_other(&address("/reauthenticate", &[("return_to", then)])),
        rejection => rejection.into_response(),
    })
}

fn is_own(item: &ListItem, active: &ActiveSession) -> bool {
    let ListItem::Live(live) = item else { return false };
    let owner = live.record.principal.as_ref().map(|principal| principal.id());
    owner.is_some() && owner == active.principal().map(cloakroom::Principal::id)
}

/// The sessions of one person, as far as they can be shown.
struct OwnSessions {
    /// The one that asks first.
    cards: Vec<SessionCard>,
    rest: Rest,
}

/// What is not shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    /// More than fit.
    More,
    /// Where sessions live they cannot be listed.
    Unseen,
    /// Nor ended.
    Unreachable,
}

impl OwnSessions {
    /// How many others there are; where nobody knows, at least one.
    fn others(&self) -> usize {
        match self.rest {
            Rest::Unseen => 1,
            Rest::Unreachable => 0,
            Rest::None | Rest::More => self.cards.len().saturating_sub(1),
        }
    }

    fn others_sentence(&self) -> String {
        match (self.rest, self.others()) {
            (Rest::Unseen | Rest::Unreachable, _) => "Every other session is signed out at once.".to_owned(),
            (Rest::None, 1) => "One other session is signed out at once.".to_owned(),
            (Rest::None, count) => format!("{count} other sessions are signed out at once."),
            (Rest::More, count) => format!("More than {count} other sessions are signed out at once."),
        }
    }

    fn more_sentence(&self) -> Option<String> {
        match self.rest {
            Rest::None => None,
            Rest::More => Some(format!("Only the latest {} sessions are shown.", self.cards.len())),
            Rest::Unseen => Some(
                "This server cannot list your other sessions. You can end all of them at once.".to_owned(),
            ),
            Rest::Unreachable => Some(
                "This server can neither list nor end your other sessions: each goes on until its time is over."
                    .to_owned(),
            ),
        }
    }
}

impl App {
    async fn account_page(
        &self,
        context: &Context,
        session: &Session,
        status: StatusCode,
        notice: Option<Notice>,
        password_problem: Option<Notice>,
    ) -> Result<Response, Refusal> {
        let active = session.require_signed_in().await?;
        let user = user(session, &active).await?;
        let now = self.sessions.now();
        let account = self.accounts.get(&user.name).await?;
        let changed_at = account.map_or(active.created_at(), |account| account.password_changed_at);
        let own = self.own_sessions(&active).await?;
        let roles = active
            .principal()
            .map_or_else(Vec::new, |principal| principal.roles().iter().map(ToString::to_string).collect());
        let page = AccountPage {
            page: Page::new(self, context),
            user,
            notice,
            roles,
            expiry: Expiry::new(active.record(), active.last_seen_at(), now),
            others: own.others(),
            others_sentence: own.others_sentence(),
            can_end: self.can_end(),
            can_list: self.can_list(),
            more: own.more_sentence(),
            events: self.recent_events(&active).await,
            sessions: own.cards,
            password_changed_at: When::new(changed_at, now),
            password_problem,
            min_chars: Password::MIN_CHARS,
            advised_chars: Password::ADVISED_CHARS,
        };
        Ok(render_with(status, &page))
    }

    async fn own_sessions(&self, active: &ActiveSession) -> Result<OwnSessions, Refusal> {
        let now = self.sessions.now();
        let card =
            |record: &SessionRecord, seen| SessionCard::new(record, seen, now, record.id == active.id());
        let mut cards = vec![card(active.record(), active.last_seen_at())];
        if !self.can_list() {
            let rest = if self.can_end() { Rest::Unseen } else { Rest::Unreachable };
            return Ok(OwnSessions { cards, rest });
        }
        let query = ListQuery::new(own(active)?).with_limit(SHOWN);
        let page = self.sessions.list(&query).await.map_err(Refusal::of_list)?;
        cards.extend(page.items.iter().filter_map(|item| match item {
            ListItem::Live(live) if live.record.id != active.id() => {
                Some(card(&live.record, live.last_seen_at))
            }
            ListItem::Live(_) | ListItem::Ended { .. } => None,
        }));
        let rest = if page.next.is_some() { Rest::More } else { Rest::None };
        Ok(OwnSessions { cards, rest })
    }
}

/// Most sessions on the account page.
const SHOWN: NonZeroU16 = NonZeroU16::new(100).expect("not zero");
