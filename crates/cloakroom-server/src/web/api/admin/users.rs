//! `/v1/admin/users`: the built-in accounts.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::Session;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::{UserObject, malformed, parameters, read_limit, settle};
use crate::ended::Ended;
use crate::web::App;
use crate::web::admin::{AccountChanged, AccountQuery, NewPerson, NewSecret, Why};
use crate::web::extract::Json;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// Which accounts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct UsersRequest {
    /// A text that the name contains, whatever its case.
    q: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most accounts on a page: 1 to 200; 50 where it is not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Accounts, by name.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct UsersAnswer {
    users: Vec<UserObject>,
    /// Pass it back as `cursor`; `null` where this was the last page.
    next_cursor: Option<String>,
}

/// An account to be added. Either `password` or `generate`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewUserRequest {
    /// Its name; the id of its principal.
    name: String,
    /// Its roles: `admin`, `auditor` and `support` come with rights here, others mean something to applications.
    #[serde(default)]
    roles: Vec<String>,
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Zeroizing<String>>,
    /// `true`: a password is made, and shown in this answer alone.
    #[serde(default)]
    generate: bool,
}

/// Why, and whether to wait.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ChangeRequest {
    /// One line for those who read the audit log; at most 500 characters.
    note: Option<String>,
    /// `true`: the answer comes once every server is known to refuse the sessions that ended.
    #[serde(default)]
    settled: bool,
}

/// Other roles.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct RolesRequest {
    /// All roles that the account has from now on.
    roles: Vec<String>,
    /// One line for those who read the audit log; at most 500 characters.
    note: Option<String>,
    /// `true`: the answer comes once every server is known to refuse the sessions that ended.
    #[serde(default)]
    settled: bool,
}

/// Another password. Either `password` or `generate`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SecretRequest {
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Zeroizing<String>>,
    /// `true`: a password is made, and shown in this answer alone.
    #[serde(default)]
    generate: bool,
    /// One line for those who read the audit log; at most 500 characters.
    note: Option<String>,
    /// `true`: the answer comes once every server is known to refuse the sessions that ended.
    #[serde(default)]
    settled: bool,
}

/// One account.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct UserAnswer {
    user: UserObject,
}

/// An account after a change.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct UserChangedAnswer {
    user: UserObject,
    /// How many sessions ended for it; `null` where sessions are sealed in their cookies, and nobody can count them.
    sessions_ended: Option<u64>,
    /// `true`: they could not be ended, because no list says what was ended. They go on until their time is over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    sessions_live_on: bool,
    /// The password that was made. It is shown nowhere else, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
}

impl From<AccountChanged> for UserChangedAnswer {
    fn from(changed: AccountChanged) -> Self {
        Self {
            user: UserObject::from(&changed.account),
            sessions_ended: changed.sessions_ended.count(),
            sessions_live_on: changed.sessions_ended == Ended::LiveOn,
            password: changed.generated,
        }
    }
}

type Body<T> = Result<Json<T>, Response>;

/// Lists the accounts.
#[utoipa::path(get, path = "/v1/admin/users", tag = "admin", params(UsersRequest), responses(
    (status = 200, description = "Accounts, by name", body = UsersAnswer),
    (status = 400, description = "`malformed_request`")))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    session: Session,
    query: Result<Query<UsersRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let UsersRequest { q, cursor, limit } = parameters(query, "q, cursor and limit")?;
    let query = AccountQuery { text: q, after: cursor, limit: read_limit(limit.as_deref())? };
    let page = app.list_accounts(&staff, &query).await?;
    let answer =
        UsersAnswer { users: page.accounts.iter().map(UserObject::from).collect(), next_cursor: page.next };
    Ok(axum::Json(answer).into_response())
}

/// Shows one account.
#[utoipa::path(get, path = "/v1/admin/users/{name}", tag = "admin",
    params(("name" = String, Path, description = "Its name, percent-encoded, however it is typed")), responses(
    (status = 200, description = "It", body = UserAnswer),
    (status = 404, description = "`not_found`")))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let account = app.look_at_account(&staff, &name).await?;
    Ok(axum::Json(UserAnswer { user: UserObject::from(&account) }).into_response())
}

/// Adds an account.
#[utoipa::path(post, path = "/v1/admin/users", tag = "admin", request_body = NewUserRequest, responses(
    (status = 201, description = "It can sign in", body = UserChangedAnswer),
    (status = 400, description = "`malformed_request`: also where the name or a role cannot be used"),
    (status = 409, description = "`name_taken`: however it is typed"),
    (status = 422, description = "`weak_password`: the rules refuse it")))]
pub(in crate::web) async fn add(
    State(app): State<App>,
    session: Session,
    body: Body<NewUserRequest>,
) -> Result<Response, Response> {
    let staff = require(&app, &session).await?;
    let Json(NewUserRequest { name, roles, password, generate }) = body?;
    let secret = secret(password, generate)?;
    let added = app.add_account(&staff, NewPerson { name, roles, secret }).await?;
    Ok((StatusCode::CREATED, axum::Json(UserChangedAnswer::from(added))).into_response())
}

/// Lets an account sign in no longer, and ends its sessions.
#[utoipa::path(post, path = "/v1/admin/users/{name}/disable", tag = "admin", request_body = ChangeRequest,
    params(("name" = String, Path, description = "Its name, percent-encoded")), responses(
    (status = 200, description = "It is disabled", body = UserChangedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`"),
    (status = 409, description = "`own_account`; `last_administrator`: nobody would be left to manage accounts")))]
pub(in crate::web) async fn disable(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    body: Body<ChangeRequest>,
) -> Result<Response, Response> {
    let staff = require(&app, &session).await?;
    let Json(ChangeRequest { note, settled }) = body?;
    let note = read_note(note.as_deref())?;
    Ok(answer(app.disable_account(&staff, &name, note, settle(settled)).await?))
}

/// Lets an account sign in again.
#[utoipa::path(post, path = "/v1/admin/users/{name}/enable", tag = "admin", request_body = ChangeRequest,
    params(("name" = String, Path, description = "Its name, percent-encoded")), responses(
    (status = 200, description = "It is enabled", body = UserChangedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`"),
    (status = 409, description = "`own_account`")))]
pub(in crate::web) async fn enable(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    body: Body<ChangeRequest>,
) -> Result<Response, Response> {
    let staff = require(&app, &session).await?;
    let Json(ChangeRequest { note, settled: _ }) = body?;
    let note = read_note(note.as_deref())?;
    Ok(answer(app.enable_account(&staff, &name, note).await?))
}

/// Gives an account other roles, and ends its sessions, which carry the old ones.
#[utoipa::path(post, path = "/v1/admin/users/{name}/roles", tag = "admin", request_body = RolesRequest,
    params(("name" = String, Path, description = "Its name, percent-encoded")), responses(
    (status = 200, description = "It has them", body = UserChangedAnswer),
    (status = 400, description = "`malformed_request`: also where a role cannot be used"),
    (status = 404, description = "`not_found`"),
    (status = 409, description = "`own_account`; `last_administrator`: nobody would be left to manage accounts")))]
pub(in crate::web) async fn set_roles(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    body: Body<RolesRequest>,
) -> Result<Response, Response> {
    let staff = require(&app, &session).await?;
    let Json(RolesRequest { roles, note, settled }) = body?;
    let note = read_note(note.as_deref())?;
    Ok(answer(app.set_roles(&staff, &name, &roles, note, settle(settled)).await?))
}

/// Gives an account another password, and ends its sessions. One's own is changed with the present one:
/// `POST /v1/password`.
#[utoipa::path(post, path = "/v1/admin/users/{name}/password", tag = "admin", request_body = SecretRequest,
    params(("name" = String, Path, description = "Its name, percent-encoded")), responses(
    (status = 200, description = "It holds", body = UserChangedAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`"),
    (status = 409, description = "`own_account`"),
    (status = 422, description = "`weak_password`: the rules refuse it")))]
pub(in crate::web) async fn set_password(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    body: Body<SecretRequest>,
) -> Result<Response, Response> {
    let staff = require(&app, &session).await?;
    let Json(SecretRequest { password, generate, note, settled }) = body?;
    let secret = secret(password, generate)?;
    let note = read_note(note.as_deref())?;
    Ok(answer(app.set_password(&staff, &name, secret, note, settle(settled)).await?))
}

/// Who asks comes before what: a body of somebody without the right is not read.
async fn require(app: &App, session: &Session) -> Result<Staff, Response> {
    Ok(Staff::require(app, session, Right::ManageAccounts).await?)
}

fn secret(password: Option<Zeroizing<String>>, generate: bool) -> Result<NewSecret, Refusal> {
    match (password, generate) {
        (Some(password), false) => Ok(NewSecret::Chosen(password)),
        (None, true) => Ok(NewSecret::Generated),
        _ => Err(malformed("give either password, or generate as true")),
    }
}

fn read_note(note: Option<&str>) -> Result<Option<String>, Refusal> {
    Ok(Why::read(None, note)?.note)
}

fn answer(changed: AccountChanged) -> Response {
    axum::Json(UserChangedAnswer::from(changed)).into_response()
}
