//! Addresses of people and sessions in the console.
//!
//! A principal's id may be anything: `..`, or have slashes in it. Browsers and proxies treat `.` and `..` in a path as
//! directions, whether escaped or not; so an id that begins with a dot, or with the mark itself, has a mark before it.

use axum::extract::{FromRequestParts, Path};
use cloakroom::{PrincipalId, SessionId};
use http::request::Parts;

use crate::web::refusal::Refusal;

/// The page of a principal.
pub(in crate::web::pages) fn person(id: &str) -> String {
    format!("/admin/people/{}", segment(id))
}

/// A page below that of a principal.
pub(super) fn person_act(id: &str, act: &str) -> String {
    format!("{}/{act}", person(id))
}

/// The page of a session.
pub(in crate::web::pages) fn session(id: impl std::fmt::Display) -> String {
    format!("/admin/sessions/{id}")
}

/// The principal that the path names.
pub(in crate::web) struct Named(pub(super) PrincipalId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(segment) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Refusal::not_found())?;
        PrincipalId::new(unmarked(&segment)).map(Self).map_err(|_| Refusal::not_found())
    }
}

/// The session that the path names.
pub(in crate::web) struct Which(pub(super) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for Which {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(segment) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Refusal::not_found())?;
        segment.parse().map(Self).map_err(|_| Refusal::not_found())
    }
}

fn segment(id: &str) -> String {
    let mark = if id.starts_with(['.', MARK]) { "~" } else { "" };
    // A form's encoding, but for the space: in a path a plus is a plus.
    let encoded: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("{mark}{}", encoded.replace('+', "%20"))
}

fn unmarked(segment: &str) -> &str {
    segment.strip_prefix(MARK).unwrap_or(segment)
}

const MARK: char = '~';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_principal_has_an_address_of_its_own_that_no_browser_takes_for_a_direction() {
        for (id, path) in [
            ("alice", "alice"),
            (".", "~."),
            ("..", "~.."),
            ("~", "~%7E"),
            ("~..", "~%7E.."),
            ("a/b", "a%2Fb"),
            ("a b+c", "a%20b%2Bc"),
            ("50%?#&", "50%25%3F%23%26"),
            ("zoë", "zo%C3%AB"),
        ] {
            assert_eq!(segment(id), path);
            let read: String = percent_decoded(path);
            assert_eq!(unmarked(&read), id);
        }
    }

    fn percent_decoded(path: &str) -> String {
        let pair = format!("x={}", path.replace('+', "%2B"));
        form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
    }
}
