//! Refusals as `application/problem+json` (RFC 9457).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

/// A kind of refusal: a stable `code` for programs, a status, and a title for people.
///
/// Codes are part of the public contract. The ones here are those of sessions; an application may add its own with
/// [`ProblemCode::new`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProblemCode {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
}

impl ProblemCode {
    /// The request needs a session and has none.
    pub const SESSION_MISSING: Self = Self::new("session_missing", StatusCode::UNAUTHORIZED, "Sign in first");
    /// The token is malformed, or nothing is, or is still, known of it.
    pub const SESSION_UNKNOWN: Self =
        Self::new("session_unknown", StatusCode::UNAUTHORIZED, "The session is not known");
    /// The session has ended; `end_reason` and `ended_at` say why and when.
    pub const SESSION_ENDED: Self =
        Self::new("session_ended", StatusCode::UNAUTHORIZED, "The session has ended");
    /// Name or password is wrong; which of them is not said.
    pub const INVALID_CREDENTIALS: Self =
        Self::new("invalid_credentials", StatusCode::UNAUTHORIZED, "The name or the password is wrong");
    /// The session is there, the proof of identity too old or too weak.
    pub const REAUTHENTICATION_REQUIRED: Self =
        Self::new("reauthentication_required", StatusCode::FORBIDDEN, "Prove again who you are");
    /// The principal may not do this.
    pub const FORBIDDEN: Self = Self::new("forbidden", StatusCode::FORBIDDEN, "You may not do this");
    /// Another site sent the request.
    pub const CROSS_SITE: Self =
        Self::new("cross_site", StatusCode::FORBIDDEN, "The request does not come from a page of this site");
    /// The request names more than one session.
    pub const CONFLICTING_CREDENTIALS: Self = Self::new(
        "conflicting_credentials",
        StatusCode::BAD_REQUEST,
        "The request names more than one session",
    );
    /// The principal has as many sessions as the policy allows.
    pub const SESSION_LIMIT: Self =
        Self::new("session_limit", StatusCode::CONFLICT, "There are as many sessions as allowed");
    /// Another request gave the session another token first. With the new token, trying again may help.
    pub const SESSION_CHANGED: Self =
        Self::new("session_changed", StatusCode::CONFLICT, "Another request changed the session; try again");
    /// The attributes of the session would be larger than the policy allows.
    pub const ATTRIBUTES_TOO_LARGE: Self =
        Self::new("attributes_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The attributes are too large");
    /// Somebody guessed too often.
    pub const TOO_MANY_ATTEMPTS: Self =
        Self::new("too_many_attempts", StatusCode::TOO_MANY_REQUESTS, "Too many attempts");
    /// Where sessions live cannot be asked. Nobody was signed out, nobody let in.
    pub const STORE_UNAVAILABLE: Self = Self::new(
        "store_unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "Sessions cannot be looked up at the moment",
    );
    /// Something is broken. The log says what.
    pub const INTERNAL: Self =
        Self::new("internal_error", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side");

    /// A kind of refusal: `code` in `snake_case`, and a title that says the same whatever the occasion.
    #[must_use]
    pub const fn new(code: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self { code, status, title }
    }

    /// The code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.code
    }

    /// The status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.status
    }

    /// The title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.title
    }
}

/// A refusal and its particulars.
///
/// ```
/// use cloakroom_http::{Problem, ProblemCode};
///
/// let response = Problem::new(ProblemCode::ATTRIBUTES_TOO_LARGE).with("max_bytes", 4096).to_response::<Vec<u8>>();
/// assert_eq!(response.status(), 413);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: ProblemCode,
    detail: Option<String>,
    members: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self { code, detail: None, members: Map::new(), retry_after: None }
    }

    /// The same, with a sentence about this occasion.
    ///
    /// # Security
    /// The sentence goes to whoever asked: no secrets, no names of tables, no text of errors from below (ASVS 16.5.1).
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same, with a further member. The five that every problem has cannot be replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same, worth another try after so many seconds.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// The sentence about this occasion, where there is one.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = self.members.clone();
        body.insert("type".into(), format!("{TYPE_PREFIX}{}", self.code.code).into());
        body.insert("title".into(), self.code.title.into());
        body.insert("status".into(), self.code.status.as_u16().into());
        body.insert("code".into(), self.code.code.into());
        match &self.detail {
            Some(detail) => body.insert("detail".into(), detail.as_str().into()),
            None => body.remove("detail"),
        };
        Value::Object(body)
    }

    /// The response: never cached, with `Retry-After` where there is one, and with the challenge that RFC 9110 §15.5.2
    /// demands of every 401.
    #[must_use]
    pub fn to_response<B: From<Vec<u8>>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(self.to_json().to_string().into_bytes()));
        *response.status_mut() = self.code.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3.1: no error code where no credential was given.
            let presented = matches!(self.code, ProblemCode::SESSION_UNKNOWN | ProblemCode::SESSION_ENDED);
            let challenge = if presented { r#"Bearer error="invalid_token""# } else { "Bearer" };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// RFC 9457 §3.1.1: an identifier, not an address to fetch.
const TYPE_PREFIX: &str = "urn:cloakroom:problem:";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ProblemCode; 14] = [
        ProblemCode::SESSION_MISSING,
        ProblemCode::SESSION_UNKNOWN,
        ProblemCode::SESSION_ENDED,
        ProblemCode::INVALID_CREDENTIALS,
        ProblemCode::REAUTHENTICATION_REQUIRED,
        ProblemCode::FORBIDDEN,
        ProblemCode::CROSS_SITE,
        ProblemCode::CONFLICTING_CREDENTIALS,
        ProblemCode::SESSION_LIMIT,
        ProblemCode::SESSION_CHANGED,
        ProblemCode::ATTRIBUTES_TOO_LARGE,
        ProblemCode::TOO_MANY_ATTEMPTS,
        ProblemCode::STORE_UNAVAILABLE,
        ProblemCode::INTERNAL,
    ];

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes = ALL.map(|code| format!("{} {}", code.status().as_u16(), code.as_str()));
        assert_eq!(
            codes,
            [
                "401 session_missing",
                "401 session_unknown",
                "401 session_ended",
                "401 invalid_credentials",
                "403 reauthentication_required",
                "403 forbidden",
                "403 cross_site",
                "400 conflicting_credentials",
                "409 session_limit",
                "409 session_changed",
                "413 attributes_too_large",
                "429 too_many_attempts",
                "503 store_unavailable",
                "500 internal_error",
            ]
        );
    }

    #[test]
    fn further_members_never_replace_the_ones_every_problem_has() {
        let problem = Problem::new(ProblemCode::SESSION_ENDED)
            .with("end_reason", "idle_timeout")
            .with("status", 200)
            .with("code", "fine")
            .with("detail", "smuggled");
        assert_eq!(
            problem.to_json(),
            serde_json::json!({
                "code": "session_ended",
                "end_reason": "idle_timeout",
                "status": 401,
                "title": "The session has ended",
                "type": "urn:cloakroom:problem:session_ended",
            })
        );
    }

    #[test]
    fn every_401_has_a_challenge_and_nothing_is_cached() {
        for code in ALL {
            let response = Problem::new(code).to_response::<Vec<u8>>();
            assert_eq!(response.status(), code.status());
            assert_eq!(
                response.headers().contains_key(WWW_AUTHENTICATE),
                code.status() == StatusCode::UNAUTHORIZED
            );
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn a_problem_that_passes_says_when_to_try_again() {
        let response =
            Problem::new(ProblemCode::STORE_UNAVAILABLE).with_retry_after(2).to_response::<Vec<u8>>();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}
