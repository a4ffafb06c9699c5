//! The built-in accounts: listed, added, changed.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use cloakroom_axum::{CsrfForm, Session};
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::notices::Done;
use super::person::AccountFacts;
use super::proof::{Visit, staff_or_detour};
use super::{Section, Shell, paths};
use crate::accounts::Password;
use crate::web::App;
use crate::web::admin::{AccountQuery, NewPerson, NewSecret};
use crate::web::context::Context;
use crate::web::pages::view::{Notice, Page};
use crate::web::pages::{address, render, render_with, see_other};
use crate::web::refusal::Refusal;
use crate::web::staff::{Duty, Right, Staff};

#[derive(Template)]
#[template(path = "console/accounts.html")]
struct AccountsPage<'a> {
    page: Page<'a>,
    shell: Shell,
    notice: Option<Notice>,
    accounts: Vec<AccountFacts>,
    q: String,
    first: Option<String>,
    next: Option<String>,
    may_manage: bool,
}

#[derive(Template)]
#[template(path = "console/account_new.html")]
struct NewAccountPage<'a> {
    page: Page<'a>,
    shell: Shell,
    problem: Option<Notice>,
    name: String,
    roles: RoleChoices,
    secret: SecretChoice,
}

/// A password that was made here: shown this once, and kept nowhere.
#[derive(Template)]
#[template(path = "console/secret.html")]
pub(super) struct SecretPage<'a> {
    pub(super) page: Page<'a>,
    pub(super) shell: Shell,
    pub(super) notice: Notice,
    pub(super) name: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) onwards: String,
}

/// Roles as a form offers them: those that mean something here as boxes, all others as words.
pub(super) struct RoleChoices {
    pub(super) duties: Vec<DutyChoice>,
    pub(super) others: String,
}

pub(super) struct DutyChoice {
    pub(super) role: &'static str,
    pub(super) words: &'static str,
    pub(super) chosen: bool,
}

impl RoleChoices {
    pub(super) fn of<'r>(roles: impl IntoIterator<Item = &'r str>) -> Self {
        let roles: Vec<&str> = roles.into_iter().collect();
        let duties = Duty::ALL.into_iter().map(|duty| DutyChoice {
            role: duty.role(),
            words: match duty {
                Duty::Admin => "sees and does everything",
                Duty::Auditor => "sees everything, changes nothing",
                Duty::Support => "helps one person at a time: sees their sessions and ends them",
            },
            chosen: roles.contains(&duty.role()),
        });
        let is_other = |role: &&&str| Duty::ALL.into_iter().all(|duty| duty.role() != **role);
        let others: Vec<&str> = roles.iter().filter(is_other).copied().collect();
        Self { duties: duties.collect(), others: others.join(" ") }
    }
}

/// How a new password comes about, and its rules.
pub(super) struct SecretChoice {
    pub(super) made_here: bool,
    pub(super) min_chars: usize,
    pub(super) advised_chars: usize,
}

impl SecretChoice {
    pub(super) fn new(form: Option<&AccountForm>) -> Self {
        let made_here = form.is_none_or(|form| !form.is_chosen());
        Self { made_here, min_chars: Password::MIN_CHARS, advised_chars: Password::ADVISED_CHARS }
    }
}

/// An account as forms send it. Each form has some of these fields.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct AccountForm {
    name: String,
    pub(super) note: String,
    role_admin: Option<String>,
    role_auditor: Option<String>,
    role_support: Option<String>,
    /// Roles that mean nothing here, with spaces or commas between them.
    others: String,
    /// `chosen`, else a password is made here.
    secret: String,
    password: Zeroizing<String>,
}

impl AccountForm {
    /// An empty form with this note.
    pub(super) fn of_note(note: String) -> Self {
        Self { note, ..Self::default() }
    }

    pub(super) fn roles(&self) -> Vec<String> {
        let ticked = |duty: &Duty| match duty {
            Duty::Admin => self.role_admin.is_some(),
            Duty::Auditor => self.role_auditor.is_some(),
            Duty::Support => self.role_support.is_some(),
        };
        let duties = Duty::ALL.into_iter().filter(ticked).map(|duty| duty.role().to_owned());
        let others = self.others.split([' ', ',']).filter(|role| !role.is_empty()).map(str::to_owned);
        duties.chain(others).collect()
    }

    pub(super) fn secret(&self) -> NewSecret {
        if self.is_chosen() { NewSecret::Chosen(self.password.clone()) } else { NewSecret::Generated }
    }

    fn is_chosen(&self) -> bool {
        self.secret == "chosen"
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Asked {
    q: String,
    after: String,
    notice: String,
}

pub(in crate::web) async fn list(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let query = AccountQuery { text: given(&asked.q), after: given(&asked.after), ..AccountQuery::default() };
    let found = app.list_accounts(&staff, &query).await?;
    let now = app.sessions.now();
    let shell = Shell::new(&session, &staff, Section::Accounts).await?;
    let at = |after: Option<String>| {
        let pairs = [("q", Some(asked.q.clone())), ("after", after)];
        let pairs: Vec<_> =
            pairs.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let given: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        address("/admin/accounts", &given)
    };
    Ok(render(&AccountsPage {
        page: Page::new(&app, &context),
        notice: Done::read(&asked.notice).map(Done::notice),
        may_manage: shell.may(Right::ManageAccounts),
        shell,
        accounts: found.accounts.iter().map(|account| AccountFacts::new(account, now)).collect(),
        first: query.after.is_some().then(|| at(None)),
        next: found.next.map(|next| at(Some(next))),
        q: asked.q.clone(),
    }))
}

pub(in crate::web) async fn ask_new(
    State(app): State<App>,
    context: Context,
    session: Session,
) -> Result<Response, Response> {
    let visit = Visit { context: &context, session: &session };
    let staff = staff_or_detour(&app, &visit, Right::ManageAccounts, NEW, &[]).await?;
    let page = app.new_account_page(visit, &staff, &AccountForm::default(), None).await;
    Ok(render(&page.map_err(IntoResponse::into_response)?))
}

pub(in crate::web) async fn add(
    State(app): State<App>,
    context: Context,
    session: Session,
    CsrfForm(form): CsrfForm<AccountForm>,
) -> Result<Response, Response> {
    let visit = Visit { context: &context, session: &session };
    let staff = staff_or_detour(&app, &visit, Right::ManageAccounts, NEW, &[]).await?;
    let new = NewPerson { name: form.name.trim().to_owned(), roles: form.roles(), secret: form.secret() };
    match app.add_account(&staff, new).await {
        Ok(changed) => {
            let name = changed.account.name.to_string();
            let path = paths::person(&name);
            let Some(secret) = changed.generated else {
                return Ok(see_other(&address(&path, &[("notice", &Done::Added.written())])));
            };
            let shell =
                Shell::new(&session, &staff, Section::Accounts).await.map_err(IntoResponse::into_response)?;
            let page = Page::new(&app, &context);
            let notice = Done::Added.notice();
            Ok(render_with(
                StatusCode::CREATED,
                &SecretPage { page, shell, notice, name, secret, onwards: path },
            ))
        }
        Err(refusal) if is_about_the_form(&refusal) => {
            let (status, problem) = (refusal.code().status(), problem(&refusal));
            let page = app.new_account_page(visit, &staff, &form, Some(problem)).await;
            Ok(render_with(status, &page.map_err(IntoResponse::into_response)?))
        }
        Err(refusal) => Err(refusal.into_response()),
    }
}

/// Whether the person can do better: the same form again, with what is wrong.
pub(super) fn is_about_the_form(refusal: &Refusal) -> bool {
    matches!(
        refusal.code().status(),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
    )
}

pub(super) fn problem(refusal: &Refusal) -> Notice {
    Notice::bad(refusal.code().as_str(), refusal.sentence())
}

impl App {
    async fn new_account_page<'a>(
        &self,
        visit: Visit<'a>,
        staff: &Staff,
        form: &AccountForm,
        problem: Option<Notice>,
    ) -> Result<NewAccountPage<'a>, Refusal> {
        let roles = form.roles();
        Ok(NewAccountPage {
            shell: Shell::new(visit.session, staff, Section::Accounts).await?,
            page: Page::new(self, visit.context),
            secret: SecretChoice::new(problem.is_some().then_some(form)),
            problem,
            name: form.name.clone(),
            roles: RoleChoices::of(roles.iter().map(String::as_str)),
        })
    }
}

const NEW: &str = "/admin/accounts/new";
