//! Changes of one account: each a page that says what follows, asks why, and does it.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use cloakroom::PrincipalId;
use cloakroom_axum::{CsrfForm, Session};
use serde::Deserialize;

use super::accounts::{AccountForm, RoleChoices, SecretChoice, SecretPage, is_about_the_form, problem};
use super::notices::Done;
use super::paths::{self, Named};
use super::proof::{Visit, staff_or_detour};
use super::rows;
use super::{Section, Shell};
use crate::accounts::Account;
use crate::web::App;
use crate::web::admin::{AccountChanged, Expected, Selection, Settle, Why};
use crate::web::context::Context;
use crate::web::pages::view::{Notice, Page};
use crate::web::pages::{address, render, render_with, see_other};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Disable,
    Enable,
    Roles,
    Password,
}

#[derive(Template)]
#[template(path = "console/change.html")]
struct ChangePage<'a> {
    page: Page<'a>,
    shell: Shell,
    problem: Option<Notice>,
    question: String,
    consequence: String,
    deed: &'static str,
    action: String,
    back: String,
    roles: Option<RoleChoices>,
    secret: Option<SecretChoice>,
    danger: bool,
    note: String,
    note_max: usize,
}

/// What an address may bring along: the note, after a detour.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    note: String,
}

impl Change {
    const fn act(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Roles => "roles",
            Self::Password => "password",
        }
    }

    const fn deed(self) -> &'static str {
        match self {
            Self::Disable => "Disable account",
            Self::Enable => "Enable account",
            Self::Roles => "Change roles",
            Self::Password => "Set password",
        }
    }

    fn question(self, name: &str) -> String {
        match self {
            Self::Disable => format!("Disable the account {name}?"),
            Self::Enable => format!("Let {name} sign in again?"),
            Self::Roles => format!("Roles of {name}"),
            Self::Password => format!("A new password for {name}"),
        }
    }

    /// What follows, where `sessions` says how many of the account's sessions end with it; `None`: none can be ended.
    fn consequence(self, sessions: Option<&str>) -> String {
        let Some(sessions) = sessions else { return self.consequence_alone() };
        match self {
            Self::Disable => format!("Nobody can sign in to it any more, and {sessions} at once."),
            Self::Enable => "The password is the one it had. Sessions that ended stay ended.".to_owned(),
            Self::Roles => format!("Sessions carry the roles they began with, so {sessions} at once."),
            Self::Password => format!("The present password does not hold any more, and {sessions} at once."),
        }
    }

    /// The same where sessions are sealed, and no list says what was ended.
    fn consequence_alone(self) -> String {
        let first = match self {
            Self::Disable => "Nobody can sign in to it any more.",
            Self::Enable => return "The password is the one it had.".to_owned(),
            Self::Roles => "Whoever signs in from now on has the new roles.",
            Self::Password => "The present password does not hold any more.",
        };
        format!(
            "{first} But this server keeps no list of ends: sessions under way cannot be ended, and go on as they \
             are until their time is over."
        )
    }
}

macro_rules! change {
    ($ask:ident, $make:ident, $change:expr) => {
        pub(in crate::web) async fn $ask(
            State(app): State<App>,
            context: Context,
            session: Session,
            Named(id): Named,
            Query(arrival): Query<Arrival>,
        ) -> Result<Response, Response> {
            app.ask_change(Visit { context: &context, session: &session }, $change, &id, arrival.note).await
        }

        pub(in crate::web) async fn $make(
            State(app): State<App>,
            context: Context,
            session: Session,
            Named(id): Named,
            CsrfForm(form): CsrfForm<AccountForm>,
        ) -> Result<Response, Response> {
            app.make_change(Visit { context: &context, session: &session }, $change, &id, form).await
        }
    };
}

change!(ask_disable, disable, Change::Disable);
change!(ask_enable, enable, Change::Enable);
change!(ask_roles, set_roles, Change::Roles);
change!(ask_password, set_password, Change::Password);

impl App {
    async fn ask_change(
        &self,
        visit: Visit<'_>,
        change: Change,
        id: &PrincipalId,
        note: String,
    ) -> Result<Response, Response> {
        let path = paths::person_act(id.as_str(), change.act());
        let staff = staff_or_detour(self, &visit, Right::ManageAccounts, &path, &[("note", &note)]).await?;
        let form = AccountForm::of_note(note);
        let page = self.change_page(visit, &staff, (change, id), &form, None).await;
        Ok(render(&page.map_err(IntoResponse::into_response)?))
    }

    async fn make_change(
        &self,
        visit: Visit<'_>,
        change: Change,
        id: &PrincipalId,
        form: AccountForm,
    ) -> Result<Response, Response> {
        let path = paths::person_act(id.as_str(), change.act());
        let staff =
            staff_or_detour(self, &visit, Right::ManageAccounts, &path, &[("note", &form.note)]).await?;
        match self.change_account(&staff, change, id, &form).await {
            Ok(changed) => self.changed(visit, &staff, change, changed).await,
            Err(refusal) if is_about_the_form(&refusal) => {
                let status = refusal.code().status();
                let problem = Some(problem(&refusal));
                let page = self.change_page(visit, &staff, (change, id), &form, problem).await;
                Ok(render_with(status, &page.map_err(IntoResponse::into_response)?))
            }
            Err(refusal) => Err(refusal.into_response()),
        }
    }

    async fn change_account(
        &self,
        staff: &Staff,
        change: Change,
        id: &PrincipalId,
        form: &AccountForm,
    ) -> Result<AccountChanged, Refusal> {
        let note = Why::read(None, Some(&form.note))?.note;
        let name = id.as_str();
        match change {
            Change::Disable => self.disable_account(staff, name, note, Settle::Wait).await,
            Change::Enable => self.enable_account(staff, name, note).await,
            Change::Roles => self.set_roles(staff, name, &form.roles(), note, Settle::Wait).await,
            Change::Password => self.set_password(staff, name, form.secret(), note, Settle::Wait).await,
        }
    }

    async fn changed(
        &self,
        visit: Visit<'_>,
        staff: &Staff,
        change: Change,
        changed: AccountChanged,
    ) -> Result<Response, Response> {
        let name = changed.account.name.to_string();
        let onwards = paths::person(&name);
        let ended = changed.sessions_ended;
        let done = match change {
            Change::Disable => Done::Disabled(ended),
            Change::Enable => Done::Enabled,
            Change::Roles => Done::Roles(ended),
            Change::Password => Done::Password(ended),
        };
        let Some(secret) = changed.generated else {
            return Ok(see_other(&address(&onwards, &[("notice", &done.written())])));
        };
        let shell =
            Shell::new(visit.session, staff, Section::Accounts).await.map_err(IntoResponse::into_response)?;
        let page = Page::new(self, visit.context);
        Ok(render(&SecretPage { page, shell, notice: done.notice(), name, secret, onwards }))
    }

    async fn change_page<'a>(
        &self,
        visit: Visit<'a>,
        staff: &Staff,
        (change, id): (Change, &PrincipalId),
        form: &AccountForm,
        problem: Option<Notice>,
    ) -> Result<ChangePage<'a>, Refusal> {
        let account = self.look_at_account(staff, id.as_str()).await?;
        let selection = Selection::Principal { principal: account.name.id().clone(), except: None };
        let expected = self.count_sessions(staff, &selection).await?;
        let ends = match expected {
            _ if !self.can_end() => None,
            Expected::Exactly(0) => Some("there is no session to end".to_owned()),
            Expected::Exactly(1) => Some("its one session ends".to_owned()),
            Expected::Exactly(count) => Some(format!("its {} end", rows::sessions(count))),
            Expected::AtLeast(count) => {
                Some(format!("its sessions, more than {}, end", rows::grouped(count)))
            }
            Expected::Unknown => Some("all its sessions end".to_owned()),
        };
        let name = account.name.to_string();
        let filled = problem.is_some().then_some(form);
        Ok(ChangePage {
            shell: Shell::new(visit.session, staff, Section::Accounts).await?,
            page: Page::new(self, visit.context),
            problem,
            question: change.question(&name),
            consequence: change.consequence(ends.as_deref()),
            deed: change.deed(),
            action: paths::person_act(&name, change.act()),
            back: paths::person(&name),
            roles: (change == Change::Roles).then(|| role_choices(&account, filled)),
            secret: (change == Change::Password).then(|| SecretChoice::new(filled)),
            danger: change == Change::Disable,
            note: form.note.clone(),
            note_max: Why::NOTE_MAX_CHARS,
        })
    }
}

/// As they were filled in, else as they are.
fn role_choices(account: &Account, filled: Option<&AccountForm>) -> RoleChoices {
    match filled {
        Some(form) => RoleChoices::of(form.roles().iter().map(String::as_str)),
        None => RoleChoices::of(account.roles.as_slice().iter().map(cloakroom::Role::as_str)),
    }
}
