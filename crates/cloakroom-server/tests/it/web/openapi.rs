//! The API's description says what the server does.

use std::collections::BTreeSet;

use cloakroom_server::web::{self, Access};
use serde_json::Value;

use super::server::Server;

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[test]
fn a_program_is_told_where_its_next_token_is() {
    let description = serde_json::to_value(cloakroom_server::web::description()).unwrap();
    let headers =
        |path: &str, status: &str| description["paths"][path]["get"]["responses"][status]["headers"].clone();
    assert!(headers("/v1/session", "200")["X-Cloakroom-Token"].is_object());
    assert!(headers("/v1/session", "401").is_null() && headers("/livez", "200").is_null());
}

#[tokio::test]
async fn every_call_of_the_api_is_described_and_nothing_else_is() {
    let document = Server::new().program().get("/openapi.json").await.json();
    let routes: BTreeSet<_> = web::routes()
        .iter()
        .filter(|route| {
            route.path.starts_with("/v1/")
                || matches!(route.path, "/livez" | "/readyz" | "/metrics" | "/openapi.json")
        })
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(described(&document), routes);
}

#[tokio::test]
async fn every_reference_in_the_description_leads_somewhere() {
    let document = Server::new().program().get("/openapi.json").await.json();
    let text = document.to_string();
    let references: BTreeSet<&str> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(!references.is_empty());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[test]
fn every_call_says_which_credential_it_takes_and_what_its_refusals_look_like() {
    let document = serde_json::to_value(web::description()).unwrap();
    for route in web::routes() {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        let Some(responses) = operation["responses"].as_object() else { continue };
        let about = format!("{} {}", route.method, route.path);
        let takes: Vec<&String> = operation["security"]
            .as_array()
            .unwrap_or_else(|| panic!("{about} says nothing of credentials"))
            .iter()
            .flat_map(|either| either.as_object().unwrap().keys())
            .collect();
        let is_open = matches!(route.access, Access::Anyone | Access::Local);
        assert_eq!(takes, if is_open { [].as_slice() } else { &["cookie", "bearer"] }, "{about}");
        for (status, response) in responses {
            let is_refusal = status.starts_with(['4', '5']) && route.path != "/readyz";
            let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem == "#/components/schemas/Problem", is_refusal, "{about}: {status}");
        }
        if !is_open {
            assert!(responses.contains_key("401") && responses.contains_key("503"), "{about}");
        }
        if matches!(route.access, Access::Staff(_) | Access::Fresh) {
            assert!(responses.contains_key("403"), "{about}");
        }
    }
    for field in ["type", "title", "status", "code", "detail"] {
        assert!(document["components"]["schemas"]["Problem"]["properties"][field].is_object(), "{field}");
    }
}

#[test]
fn a_description_names_what_the_contract_names() {
    let document = serde_json::to_value(web::description()).unwrap();
    let session = &document["components"]["schemas"]["SessionObject"]["properties"];
    for field in [
        "id",
        "state",
        "principal",
        "created_at",
        "authenticated_at",
        "last_seen_at",
        "idle_expires_at",
        "absolute_expires_at",
        "authentication",
        "device",
        "attributes",
        "current",
        "ended_at",
        "end_reason",
    ] {
        assert!(session[field].is_object(), "{field}");
    }
    let text = document.to_string();
    for code in [
        "invalid_credentials",
        "too_many_attempts",
        "session_limit",
        "session_ended",
        "attributes_too_large",
        "audit_unavailable",
        "protected_principal",
        "own_account",
        "last_administrator",
        "name_taken",
        "too_many_streams",
        "too_many_renewals",
        "too_many_looks",
        "too_many_ends",
    ] {
        assert!(text.contains(code), "{code}");
    }
}
