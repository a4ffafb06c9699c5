//! Changes ask for a fresh proof of identity. Who has none makes a detour, and comes back to where they asked.

use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::Session;
use cloakroom_http::{ProblemCode, ReturnPolicy};

use crate::web::App;
use crate::web::context::Context;
use crate::web::pages::{address, see_other};
use crate::web::staff::{Right, Staff};

/// One request to see or do something.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) context: &'a Context,
    pub(super) session: &'a Session,
}

/// Lets in whoever has `right`, or leads to the proof of identity and from there to the page at `path` with `fields`.
///
/// What was filled in comes back with them as far as an address may be long, the last fields first left out: nothing is
/// done by the detour, and the page asks again.
pub(super) async fn staff_or_detour(
    app: &App,
    visit: &Visit<'_>,
    right: Right,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Staff, Response> {
    Staff::require(app, visit.session, right).await.map_err(|refusal| {
        if refusal.code() == ProblemCode::REAUTHENTICATION_REQUIRED {
            see_other(&address("/reauthenticate", &[("return_to", &way_back(path, fields))]))
        } else {
            refusal.into_response()
        }
    })
}

/// The longest address that is followed after the detour.
fn way_back(path: &str, fields: &[(&str, &str)]) -> String {
    let given: Vec<_> = fields.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
    (0..=given.len())
        .rev()
        .filter_map(|count| given.get(..count))
        .map(|some| address(path, some))
        .find(|whole| whole.len() <= ReturnPolicy::MAX_BYTES)
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_keeps_what_was_chosen_before_what_was_written() {
        let long = "x".repeat(ReturnPolicy::MAX_BYTES);
        assert_eq!(way_back("/a", &[("s", "1"), ("note", "")]), "/a?s=1");
        assert_eq!(way_back("/a", &[("s", "1"), ("note", &long)]), "/a?s=1");
        assert_eq!(way_back("/a", &[("note", &long)]), "/a");
        let fits = "x".repeat(ReturnPolicy::MAX_BYTES - "/a?s=1&note=".len());
        assert_eq!(way_back("/a", &[("s", "1"), ("note", &fits)]).len(), ReturnPolicy::MAX_BYTES);
    }
}
