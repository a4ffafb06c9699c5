//! `POST /v1/admin/revocations`: sessions ended by whoever may.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cloakroom::{PrincipalId, SessionId, Timestamp};
use cloakroom_axum::Session;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{malformed, settle};
use crate::web::App;
use crate::web::admin::{Expected, Selection, Why};
use crate::web::extract::Json;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// Which sessions, and why. Exactly one of `session`, `sessions`, `principal`, `issued_before` and `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct RevocationRequest {
    /// This one: `ses_…`.
    session: Option<String>,
    /// These, at most 200.
    #[schema(max_items = 200)]
    sessions: Option<Vec<String>>,
    /// All of this principal, by its whole id.
    principal: Option<String>,
    /// With `principal`: but this one.
    except: Option<String>,
    /// All that were issued before this instant; one in the future means now.
    issued_before: Option<String>,
    /// `true`: all there are, one's own too.
    all: Option<bool>,
    /// `revoked_by_admin` (where it is not given), `compromised`, `account_disabled` or `password_changed`. The people
    /// concerned are told.
    reason: Option<String>,
    /// One line for those who read the audit log; at most 500 characters.
    note: Option<String>,
    /// `true`: the answer comes once every server is known to refuse what ended.
    #[serde(default)]
    settled: bool,
    /// `true`: nothing ends; the answer says in `expected` how many would.
    #[serde(default)]
    dry_run: bool,
}

/// How many sessions ended, or would.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct RevocationAnswer {
    /// How many ended by this call; `null` where sessions are sealed in their cookies: they ended, and nobody knows how many
    /// there were.
    revoked: Option<u64>,
    /// Whether every server is known to refuse them: always, where the call asked for `settled`.
    settled: bool,
    /// With `dry_run`: how many would end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<ExpectedObject>,
}

/// How many sessions would end.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct ExpectedObject {
    /// So many; `null` where they cannot be counted.
    count: Option<u64>,
    /// Whether these are all; otherwise there are at least so many.
    exact: bool,
}

impl From<Expected> for ExpectedObject {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Exactly(count) => Self { count: Some(count), exact: true },
            Expected::AtLeast(count) => Self { count: Some(count), exact: false },
            Expected::Unknown => Self { count: None, exact: false },
        }
    }
}

impl RevocationRequest {
    fn selection(&self) -> Result<Selection, Refusal> {
        let one = "give exactly one of session, sessions, principal, issued_before and all";
        let given = [
            self.session.is_some(),
            self.sessions.is_some(),
            self.principal.is_some(),
            self.issued_before.is_some(),
            self.all.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(malformed(one));
        }
        if self.except.is_some() && self.principal.is_none() {
            return Err(malformed("except goes with principal"));
        }
        let id = |text: &str| {
            text.parse::<SessionId>().map_err(|_| malformed("a session is named by its id, ses_…"))
        };
        if let Some(session) = &self.session {
            return Ok(Selection::One(id(session)?));
        }
        if let Some(sessions) = &self.sessions {
            return Ok(Selection::Many(sessions.iter().map(|text| id(text)).collect::<Result<_, _>>()?));
        }
        if let Some(principal) = &self.principal {
            let principal = PrincipalId::new(principal).map_err(|error| malformed(error.to_string()))?;
            return Ok(Selection::Principal {
                principal,
                except: self.except.as_deref().map(id).transpose()?,
            });
        }
        if let Some(instant) = &self.issued_before {
            let sentence = "issued_before is an instant such as 2026-03-01T09:30:00Z";
            return Ok(Selection::IssuedBefore(
                instant.parse::<Timestamp>().map_err(|_| malformed(sentence))?,
            ));
        }
        match self.all {
            Some(true) => Ok(Selection::All),
            _ => Err(malformed("all is true, or not given")),
        }
    }
}

/// Ends sessions: one, some, those of a principal, those issued before an instant, or all. Support ends one, or those of
/// one principal who is not staff.
#[utoipa::path(post, path = "/v1/admin/revocations", tag = "admin", request_body = RevocationRequest, responses(
    (status = 200, description = "They have ended, or with `dry_run` would", body = RevocationAnswer),
    (status = 400, description = "`malformed_request`"),
    (status = 404, description = "`not_found`: no such session is known"),
    (status = 501, description = "`unsupported_by_store`: where sessions live, these cannot be found")))]
pub(in crate::web) async fn revoke(
    State(app): State<App>,
    session: Session,
    request: Result<Json<RevocationRequest>, Response>,
) -> Result<Response, Response> {
    let staff = Staff::require(&app, &session, Right::EndOfOne).await?;
    let Json(request) = request?;
    Ok(end(&app, &staff, &request).await?)
}

async fn end(app: &App, staff: &Staff, request: &RevocationRequest) -> Result<Response, Refusal> {
    let selection = request.selection()?;
    let why = Why::read(request.reason.as_deref(), request.note.as_deref())?;
    let answer = if request.dry_run {
        let expected = app.count_sessions(staff, &selection).await?;
        RevocationAnswer { revoked: Some(0), settled: false, expected: Some(expected.into()) }
    } else {
        let ended = app.end_sessions(staff, &selection, why, settle(request.settled)).await?;
        RevocationAnswer { revoked: ended.revoked.count(), settled: ended.settled, expected: None }
    };
    Ok(axum::Json(answer).into_response())
}
