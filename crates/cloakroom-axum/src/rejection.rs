//! Refusals, and failures to find out.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use cloakroom::{EndReason, Refused, SealError, SessionError, StoreError, Tombstone};
use cloakroom_http::{CrossSite, Problem, ProblemCode, Refusal};
use http::StatusCode;

/// Why a request is not served, or a question about its session not answered.
///
/// Handlers pass it on with `?`. It is a response by itself; the layer restyles it on the way out
/// ([`SessionLayer::rejections`](crate::SessionLayer::rejections)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    Missing,
    /// The token is malformed, or nothing is, or is still, known of it.
    #[error("the session is not known")]
    Unknown,
    /// The session has ended.
    #[error("the session has ended: {}", .0.reason)]
    Ended(Tombstone),
    /// The token was exchanged for another, which the client may have received in the meantime.
    #[error("the token was exchanged for another")]
    Retired,
    /// The request names more than one session.
    #[error("the credentials conflict: {0}")]
    Conflicting(Refusal),
    /// The proof of identity is too old or too weak for this.
    #[error("identity has to be proved again")]
    ReauthenticationRequired,
    /// The principal may not do this.
    #[error("the principal may not do this")]
    Forbidden,
    /// The principal has as many sessions as the policy allows, and the policy refuses more.
    #[error("there are as many sessions as allowed")]
    LimitReached,
    /// Another site sent the request.
    #[error("the request comes from another site: {0}")]
    CrossSite(CrossSite),
    /// The form's CSRF token is not one of this session.
    #[error("the CSRF token is not one of this session")]
    WrongCsrfToken,
    /// Another request gave the session another token before this one's changes were written: try again with it.
    #[error("another request changed the session's token first")]
    Changed,
    /// The attributes would be larger than the policy allows. Nothing was changed.
    #[error("the attributes would have {size} bytes; at most {limit} are allowed")]
    AttributesTooLarge {
        /// Bytes of all keys and values after the change.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The cookie would be larger than browsers keep. Nothing was changed, and the client keeps the cookie it has.
    #[error("{0}")]
    CookieTooLarge(SealError),
    /// So much of the principal's sessions was ended, exchanged or changed lately that there is no room for more before so long. Nothing
    /// was changed; only [sealed](cloakroom::Sessions::sealed) sessions have such shares.
    #[error("too much of the principal's sessions was ended or exchanged lately")]
    TooManyEnds {
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// Sessions cannot be looked up or changed at the moment. Nobody is signed out for it, and nobody let in.
    #[error("sessions are unavailable")]
    Unavailable(#[source] SessionError),
    /// A value could not be read or written: a defect of the application.
    #[error("the session could not be used")]
    Failed(#[source] SessionError),
    /// The middleware is used in a way that cannot work: a defect of the application.
    #[error("the session is used wrongly")]
    Misused(#[source] Misuse),
}

/// How the middleware was used wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// No `SessionLayer` is around this route.
    #[error("no SessionLayer is around this route")]
    NoLayer,
    /// The response is on its way: its head can no longer carry a cookie or say that a change failed.
    #[error("the session was changed after the response had begun")]
    ResponseBegun,
}

impl Rejection {
    /// The problem this is, as `application/problem+json` tells it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Missing => Problem::new(ProblemCode::SESSION_MISSING),
            Self::Unknown | Self::Retired => Problem::new(ProblemCode::SESSION_UNKNOWN),
            Self::Ended(tombstone) => Problem::new(ProblemCode::SESSION_ENDED)
                .with("end_reason", tombstone.reason.as_str())
                .with("ended_at", tombstone.ended_at.to_string()),
            Self::Conflicting(refusal) => {
                Problem::new(ProblemCode::CONFLICTING_CREDENTIALS).with_detail(refusal.to_string())
            }
            Self::ReauthenticationRequired => Problem::new(ProblemCode::REAUTHENTICATION_REQUIRED),
            Self::Forbidden => Problem::new(ProblemCode::FORBIDDEN),
            Self::LimitReached => Problem::new(ProblemCode::SESSION_LIMIT),
            Self::CrossSite(why) => Problem::new(ProblemCode::CROSS_SITE).with_detail(why.to_string()),
            Self::WrongCsrfToken => Problem::new(ProblemCode::CROSS_SITE).with_detail(self.to_string()),
            Self::Changed => Problem::new(ProblemCode::SESSION_CHANGED),
            Self::AttributesTooLarge { size, limit } => {
                Problem::new(ProblemCode::ATTRIBUTES_TOO_LARGE).with("bytes", *size).with("max_bytes", *limit)
            }
            Self::CookieTooLarge(error) => too_large(error),
            Self::TooManyEnds { retry_after } => {
                Problem::new(TOO_MANY_ENDS).with_retry_after(retry_after.as_secs() + 1)
            }
            Self::Unavailable(error) => {
                // Rounded up, and one more: a store is tried at that moment, and answers a little later.
                let seconds = error.retry_after().map_or(RETRY_AFTER_SECONDS, |wait| wait.as_secs() + 2);
                Problem::new(ProblemCode::STORE_UNAVAILABLE).with_retry_after(seconds)
            }
            Self::Failed(_) | Self::Misused(_) => Problem::new(ProblemCode::INTERNAL),
        }
    }

    /// Whether signing in helps.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, Self::Missing | Self::Unknown | Self::Ended(_) | Self::Retired)
    }

    /// Whether something could not be done, rather than may not be.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::CookieTooLarge(_)
                | Self::TooManyEnds { .. }
                | Self::Unavailable(_)
                | Self::Failed(_)
                | Self::Misused(_)
        )
    }

    /// Why the session ended, where it did.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        match self {
            Self::Ended(tombstone) => Some(tombstone.reason),
            _ => None,
        }
    }
}

impl From<SessionError> for Rejection {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::AttributesTooLarge { size, limit } => Self::AttributesTooLarge { size, limit },
            SessionError::Seal(error @ SealError::TooLarge { .. }) => Self::CookieTooLarge(error),
            SessionError::Store(error) => Self::from(error),
            error if error.is_unavailable() => Self::Unavailable(error),
            error => Self::Failed(error),
        }
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        match Refused::cause_of(&error) {
            Some(refused) if refused.is_of_share() => {
                Self::TooManyEnds { retry_after: refused.retry_after() }
            }
            _ => Self::Unavailable(SessionError::Store(error)),
        }
    }
}

impl From<Misuse> for Rejection {
    fn from(misuse: Misuse) -> Self {
        Self::Misused(misuse)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        if let Self::Failed(_) | Self::Misused(_) = self {
            tracing::error!(error = std::error::Error::source(&self), "{self}");
        }
        let mut response = self.problem().to_response();
        response.extensions_mut().insert(Rejected(Arc::new(self)));
        response
    }
}

/// The same code as where a policy's limit is passed: the remedy is the same, to keep less in the session. The sentence
/// says of what.
fn too_large(error: &SealError) -> Problem {
    let problem = Problem::new(ProblemCode::ATTRIBUTES_TOO_LARGE).with_detail(error.to_string());
    match error {
        SealError::TooLarge { size, limit, largest, largest_size } => problem
            .with("bytes", *size)
            .with("max_bytes", *limit)
            .with("largest", largest.as_ref())
            .with("largest_bytes", *largest_size),
        _ => problem,
    }
}

/// Marks a response as a refusal, for the layer to restyle.
#[derive(Clone, Debug)]
pub(crate) struct Rejected(pub(crate) Arc<Rejection>);

const TOO_MANY_ENDS: ProblemCode = ProblemCode::new(
    "too_many_ends",
    StatusCode::TOO_MANY_REQUESTS,
    "Too much of your sessions was ended or exchanged just now",
);
/// A store that comes back is worth asking again this soon.
const RETRY_AFTER_SECONDS: u64 = 2;

#[cfg(test)]
mod tests {
    use cloakroom::{SessionId, Timestamp};

    use super::*;

    #[test]
    fn every_refusal_has_the_code_of_the_contract() {
        let tombstone = Tombstone {
            session: SessionId::from_bytes([0; 16]),
            principal: None,
            ended_at: Timestamp::EPOCH,
            reason: EndReason::IdleTimeout,
        };
        for (rejection, status, code) in [
            (Rejection::Missing, 401, "session_missing"),
            (Rejection::Unknown, 401, "session_unknown"),
            (Rejection::Retired, 401, "session_unknown"),
            (Rejection::Ended(tombstone), 401, "session_ended"),
            (Rejection::Conflicting(Refusal::SeveralCookies), 400, "conflicting_credentials"),
            (Rejection::ReauthenticationRequired, 403, "reauthentication_required"),
            (Rejection::Forbidden, 403, "forbidden"),
            (Rejection::LimitReached, 409, "session_limit"),
            (Rejection::CrossSite(CrossSite::NoProof), 403, "cross_site"),
            (Rejection::WrongCsrfToken, 403, "cross_site"),
            (Rejection::Changed, 409, "session_changed"),
            (Rejection::AttributesTooLarge { size: 2, limit: 1 }, 413, "attributes_too_large"),
            (Rejection::TooManyEnds { retry_after: Duration::from_secs(60) }, 429, "too_many_ends"),
            (Rejection::CookieTooLarge(too_large()), 413, "attributes_too_large"),
            (Rejection::Unavailable(SessionError::Contended { attempts: 1 }), 503, "store_unavailable"),
            (Rejection::Misused(Misuse::NoLayer), 500, "internal_error"),
        ] {
            let problem = rejection.problem();
            assert_eq!(problem.code().as_str(), code);
            assert_eq!(problem.code().status().as_u16(), status);
            assert_eq!(rejection.into_response().status(), problem.code().status());
        }
    }

    fn too_large() -> SealError {
        let largest = "attribute `cart`".into();
        SealError::TooLarge { size: 4_100, limit: 4_096, largest, largest_size: 3_000 }
    }

    #[test]
    fn a_cookie_that_is_too_large_says_what_is_large() {
        let told = Rejection::from(SessionError::Seal(too_large())).problem().to_json();
        assert_eq!((&told["bytes"], &told["max_bytes"]), (&4_100.into(), &4_096.into()));
        assert_eq!((&told["largest"], &told["largest_bytes"]), (&"attribute `cart`".into(), &3_000.into()));
        assert!(told["detail"].as_str().unwrap().contains("attribute `cart`"));
        let no_key = Rejection::from(SessionError::Seal(SealError::NoKey));
        assert_eq!(no_key.problem().code().as_str(), "store_unavailable");
    }

    #[test]
    fn an_end_is_told_with_reason_and_instant_and_a_limit_with_both_sizes() {
        let tombstone = Tombstone {
            session: SessionId::from_bytes([0; 16]),
            principal: None,
            ended_at: Timestamp::EPOCH,
            reason: EndReason::IdleTimeout,
        };
        let ended = Rejection::Ended(tombstone).problem().to_json();
        assert_eq!(ended["end_reason"], "idle_timeout");
        assert_eq!(ended["ended_at"], "1970-01-01T00:00:00.000Z");
        let large = Rejection::from(SessionError::AttributesTooLarge { size: 5_000, limit: 4_096 });
        assert_eq!(large.problem().to_json()["bytes"], 5_000);
        assert_eq!(large.problem().to_json()["max_bytes"], 4_096);
    }
}
