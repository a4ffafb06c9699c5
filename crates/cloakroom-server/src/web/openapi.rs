//! The API's description, made from the handlers themselves.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::routes::{Access, routes};
use super::{api, health};

#[derive(OpenApi)]
#[openapi(
    info(title = "Cloakroom", description = "Sessions: sign in, look, change, end. Errors are `application/problem+json` with a stable `code`."),
    paths(
        api::sign_in::sign_in,
        api::sign_in::reauthenticate,
        api::sign_in::password,
        api::session::show,
        api::session::sign_out,
        api::session::attributes,
        api::session::rotate,
        api::sessions::list,
        api::sessions::end_one,
        api::sessions::end_many,
        api::admin::sessions::list,
        api::admin::sessions::show,
        api::admin::sessions::end,
        api::admin::revocations::revoke,
        api::admin::principals::show,
        api::admin::audit::list,
        api::admin::live::follow,
        api::admin::stats::show,
        api::admin::users::list,
        api::admin::users::add,
        api::admin::users::show,
        api::admin::users::disable,
        api::admin::users::enable,
        api::admin::users::set_roles,
        api::admin::users::set_password,
        health::livez,
        health::readyz,
        health::metrics,
        document,
    ),
    components(schemas(ProblemObject)),
    modifiers(&Credentials, &Renewals, &Refusals)
)]
struct Description;

/// A refusal (RFC 9457). Some have further members, which the operation names.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what `cloakroom_http::Problem` writes")]
struct ProblemObject {
    /// `urn:cloakroom:problem:` and the code.
    r#type: String,
    /// What the code means, in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What programs decide by. Codes never change their meaning.
    code: String,
    /// A sentence about this occasion.
    detail: Option<String>,
}

/// Says of each operation which credential it takes.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-cloakroom")));
        components.add_security_scheme("cookie", cookie);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        for_each_operation(openapi, |operation, access| {
            let none: [&str; 0] = [];
            operation.security = Some(match access {
                Access::Anyone | Access::Local => Vec::new(),
                Access::SignedIn | Access::Fresh | Access::Staff(_) => {
                    vec![SecurityRequirement::new("cookie", none), SecurityRequirement::new("bearer", none)]
                }
            });
        });
    }
}

/// Says where a program finds its next token, whose session travels in it.
struct Renewals;

impl Modify for Renewals {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let header = || {
            HeaderBuilder::new()
                .description(Some(
                    "Only where sessions are sealed, and only for bearer tokens: present this token from now on. It counts before \
                     one in the body.",
                ))
                .build()
        };
        for_each_operation(openapi, |operation, access| {
            if matches!(access, Access::Anyone | Access::Local) {
                return;
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && status.starts_with('2')
                {
                    response.headers.insert("X-Cloakroom-Token".to_owned(), RefOr::T(header()));
                }
            }
        });
    }
}

/// Gives each refusal its schema, and each operation the refusals that follow from who may use it.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for_each_operation(openapi, |operation, access| {
            for (status, description) in refusals_of(access) {
                let responses = &mut operation.responses.responses;
                let response = || RefOr::T(ResponseBuilder::new().description(*description).build());
                responses.entry((*status).to_owned()).or_insert_with(response);
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && status.starts_with(['4', '5'])
                    && response.content.is_empty()
                {
                    let schema = Some(Ref::from_schema_name("Problem"));
                    response.content.insert(PROBLEM_TYPE.to_owned(), RefOr::T(Content::new(schema)));
                }
            }
        });
    }
}

/// What operations of this kind answer besides what they say themselves.
fn refusals_of(access: Access) -> &'static [(&'static str, &'static str)] {
    const SESSION: (&str, &str) =
        ("401", "`session_missing`, `session_unknown`, or `session_ended` with `end_reason` and `ended_at`");
    const STORE: (&str, &str) =
        ("503", "`store_unavailable`, with `Retry-After`: nobody knows; nothing was done");
    const STAFF: (&str, &str) = (
        "503",
        "`store_unavailable`, `accounts_unavailable`, or `audit_unavailable`, whose member `done` says whether the act was done all the same; with `Retry-After`",
    );
    const FRESH: (&str, &str) =
        ("403", "`reauthentication_required`: identity was proved more than five minutes ago; `cross_site`");
    const SEES: (&str, &str) = (
        "403",
        "`forbidden`: the role does not come with this right; `protected_principal`: staff, to support",
    );
    const CHANGES: (&str, &str) = (
        "403",
        "`forbidden`: the role does not come with this right; `protected_principal`: staff, to support; `reauthentication_required`: identity was proved more than five minutes ago; `cross_site`",
    );
    match access {
        Access::Anyone | Access::Local => &[],
        Access::SignedIn => &[SESSION, STORE],
        Access::Fresh => &[SESSION, FRESH, STORE],
        Access::Staff(right) if right.changes() => &[SESSION, CHANGES, STAFF],
        Access::Staff(_) => &[SESSION, SEES, STAFF],
    }
}

fn for_each_operation(
    openapi: &mut utoipa::openapi::OpenApi,
    mut change: impl FnMut(&mut Operation, Access),
) {
    for route in routes() {
        let Some(item) = openapi.paths.paths.get_mut(route.path) else { continue };
        let operation = match route.method {
            "GET" => item.get.as_mut(),
            "POST" => item.post.as_mut(),
            "PATCH" => item.patch.as_mut(),
            "DELETE" => item.delete.as_mut(),
            _ => None,
        };
        if let Some(operation) = operation {
            change(operation, route.access);
        }
    }
}

const PROBLEM_TYPE: &str = "application/problem+json";

/// The API's description as OpenAPI.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, description = "This description")))]
pub(super) async fn document() -> axum::Json<utoipa::openapi::OpenApi> {
    axum::Json(description())
}
