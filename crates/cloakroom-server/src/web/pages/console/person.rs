//! One principal: their account, their sessions, what happened to them.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use cloakroom::StateFilter;
use cloakroom_axum::Session;
use cloakroom_core::Timestamp;
use serde::Deserialize;

use super::events::EventRow;
use super::filter::LIVE;
use super::notices::Done;
use super::paths::{self, Named};
use super::rows::{self, SessionRow};
use super::{Section, Shell};
use crate::accounts::Account;
use crate::web::App;
use crate::web::admin::{PrincipalLook, PrincipalQuery};
use crate::web::context::Context;
use crate::web::pages::view::{Notice, Page, When};
use crate::web::pages::{address, render, render_with, see_other};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Sight, Staff};

#[derive(Template)]
#[template(path = "console/person.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is another thing that the template asks")]
struct PersonPage<'a> {
    page: Page<'a>,
    shell: Shell,
    notice: Option<Notice>,
    id: String,
    path: String,
    account: Option<AccountFacts>,
    rows: Vec<SessionRow>,
    sessions_sentence: String,
    /// Whether sessions cannot be listed here.
    is_unseen: bool,
    /// Whether everything of theirs can be ended.
    may_end_all: bool,
    /// Whether ended sessions are shown too.
    with_ended: bool,
    more: Option<String>,
    /// What happened, the latest first; `None` where the log cannot be read.
    events: Option<Vec<EventRow>>,
    signals: Vec<EventRow>,
    hides_addresses: bool,
    may_end: bool,
    may_manage: bool,
    /// Whether this is whoever looks.
    is_self: bool,
}

/// An account as staff sees it.
pub(super) struct AccountFacts {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) roles: Vec<String>,
    pub(super) created: When,
    pub(super) password_changed: When,
    pub(super) disabled: Option<When>,
}

impl AccountFacts {
    pub(super) fn new(account: &Account, now: Timestamp) -> Self {
        let name = account.name.to_string();
        Self {
            href: paths::person(&name),
            name,
            roles: account.roles.as_slice().iter().map(ToString::to_string).collect(),
            created: When::new(account.created_at, now),
            password_changed: When::new(account.password_changed_at, now),
            disabled: account.disabled_at.map(|at| When::new(at, now)),
        }
    }
}

#[derive(Template)]
#[template(path = "console/find_person.html")]
struct FindPersonPage<'a> {
    page: Page<'a>,
    shell: Shell,
    problem: Option<Notice>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Wanted {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    notice: String,
    part: String,
    state: String,
}

/// Leads to the person whose exact name is given, or asks for it.
pub(in crate::web) async fn find(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeOne).await?;
    let name = wanted.id.trim();
    let mut problem = None;
    if !name.is_empty() {
        match app.look_at_principal(&staff, name, &PrincipalQuery::default()).await {
            Ok(look) => return Ok(see_other(&paths::person(look.id.as_str()))),
            Err(refusal) if refusal.code().status().is_client_error() => {
                problem = Some(Notice::neutral("no_such_person", no_such_person(&refusal, name)));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let status = if problem.is_some() { http::StatusCode::NOT_FOUND } else { http::StatusCode::OK };
    let shell = Shell::new(&session, &staff, Section::Accounts).await?;
    let page = FindPersonPage { page: Page::new(&app, &context), shell, problem };
    Ok(render_with(status, &page))
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Named(id): Named,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Refusal> {
    if arrival.part == LIVE {
        session.not_activity();
    }
    let staff = Staff::require(&app, &session, Right::SeeOne).await?;
    let state = if arrival.state == "any" { StateFilter::Any } else { StateFilter::Active };
    let query = PrincipalQuery { state, ..PrincipalQuery::default() };
    let look = app.look_at_principal(&staff, id.as_str(), &query).await?;
    let shell = Shell::new(&session, &staff, Section::Accounts).await?;
    Ok(render(&PersonPage::new(&app, &context, shell, &staff, look, &arrival)))
}

impl<'a> PersonPage<'a> {
    fn new(
        app: &App,
        context: &'a Context,
        shell: Shell,
        staff: &Staff,
        look: PrincipalLook,
        arrival: &Arrival,
    ) -> Self {
        let now = app.sessions.now();
        let id = look.id.to_string();
        let path = paths::person(&id);
        let with_ended = arrival.state == "any";
        let is_unseen = look.sessions.is_none();
        let found = look.sessions.unwrap_or_default();
        let shown = u64::try_from(found.items.len()).unwrap_or(u64::MAX);
        let rows = found.items.iter().map(|item| SessionRow::new(item, now, staff.active.id()));
        let more = found.next.filter(|_| shell.may(Right::SeeAll)).map(|_| {
            let state = if with_ended { "any" } else { "active" };
            address("/admin/sessions", &[("principal", &id), ("state", state)])
        });
        let (signals, events) = match look.events {
            None => (Vec::new(), None),
            Some(page) => {
                let (signals, events): (Vec<_>, Vec<_>) =
                    EventRow::all(&page, now).into_iter().partition(|event| event.signal.is_some());
                (signals, Some(events))
            }
        };
        Self {
            page: Page::new(app, context),
            notice: Done::read(&arrival.notice).map(Done::notice),
            path,
            account: look.account.as_ref().map(|account| AccountFacts::new(account, now)),
            may_end_all: shell.may(Right::EndOfOne) && app.can_end() && (is_unseen || shown > 0),
            rows: rows.collect(),
            sessions_sentence: if is_unseen {
                unseen_sentence(app).to_owned()
            } else {
                sessions_sentence(shown, found.next.is_some())
            },
            is_unseen,
            with_ended,
            more,
            events,
            signals,
            hides_addresses: look.sight == Sight::NoAddresses,
            may_end: shell.may(Right::EndOfOne),
            may_manage: shell.may(Right::ManageAccounts),
            is_self: look.id == staff.id,
            shell,
            id,
        }
    }
}

impl PersonPage<'_> {
    /// The address that asks whether to end `row`, and leads back here.
    fn end_href(&self, row: &SessionRow) -> String {
        address(&format!("{}/end", row.href), &[("back", &self.path)])
    }

    fn audit_href(&self) -> String {
        address("/admin/audit", &[("principal", &self.id)])
    }
}

/// What is said in the place of a list that cannot be made.
pub(super) fn unseen_sentence(app: &App) -> &'static str {
    if app.can_end() {
        "This server cannot list sessions. Ending them works: one by its id, everything of one person, everything there is."
    } else {
        "This server can neither list nor end sessions: they are sealed in their cookies, and no list says what was ended. Each \
         goes on until its time is over."
    }
}

fn sessions_sentence(shown: u64, more: bool) -> String {
    match (shown, more) {
        (0, _) => "There is none.".to_owned(),
        (_, true) => format!("The latest {}; there are more.", rows::sessions(shown)),
        (_, false) => format!("{} in all.", rows::sessions(shown)),
    }
}

fn no_such_person(refusal: &Refusal, name: &str) -> String {
    match refusal.code().status() {
        http::StatusCode::FORBIDDEN => format!("“{name}” belongs to the staff. Ask an administrator."),
        _ => format!("There is no account, no session and no event of “{name}”. The name has to be exact."),
    }
}
