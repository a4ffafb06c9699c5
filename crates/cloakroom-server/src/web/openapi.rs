//! The API's description, made from the handlers themselves.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

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
        health::livez,
        health::readyz,
        health::metrics,
        document,
    ),
    modifiers(&Credentials)
)]
struct Description;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-cloakroom")));
        components.add_security_scheme("cookie", cookie);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

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
