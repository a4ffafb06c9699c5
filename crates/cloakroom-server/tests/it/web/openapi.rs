//! The API's description says what the server does.

use std::collections::BTreeSet;

use cloakroom_server::web;
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
    for code in
        ["invalid_credentials", "too_many_attempts", "session_limit", "session_ended", "attributes_too_large"]
    {
        assert!(text.contains(code), "{code}");
    }
}
