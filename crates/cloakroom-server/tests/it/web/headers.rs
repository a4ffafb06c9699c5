//! Https, and headers that depend on it. What every response carries is the recorder's business.

use cloakroom_server::web::Listener;
use http::{Method, StatusCode};
use serde_json::json;

use super::client::Client;
use super::server::{PASSWORD, Server};

const HSTS: &str = "max-age=31536000; includeSubDomains";

fn behind_a_proxy() -> Server {
    Server::configured("public_url = \"https://id.example\"\n[trust]\nproxies = [\"10.0.0.0/8\"]")
}

fn through_tls(mut client: Client<'_>) -> Client<'_> {
    client.listener = Listener::Tls;
    client
}

#[tokio::test]
async fn in_clear_pages_lead_to_https_and_programs_are_refused() {
    let server = behind_a_proxy();
    for path in ["/", "/sign-in?return_to=%2Faccount", "/account", "/no-such-page"] {
        let answer = server.browser().get(path).await;
        assert_eq!(answer.gist(), format!("308 https://id.example{path}"));
        assert_eq!(server.browser().ask(Method::HEAD, path).await.status, StatusCode::PERMANENT_REDIRECT);
    }
    let credentials = json!({ "username": "alice", "password": PASSWORD });
    for mut client in [server.program(), server.browser()] {
        let refused = client.json(Method::POST, "/v1/sign-in", &credentials).await;
        assert_eq!(refused.gist(), "403 https_required");
        assert_eq!(client.get("/v1/session").await.gist(), "403 https_required");
        assert_eq!(client.sign_in("alice", PASSWORD).await.gist(), "403 https_required", "a secret in clear");
        for path in ["/livez", "/readyz"] {
            assert_eq!(client.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
}

/// What a proxy in front of https says.
fn said(client: Client<'_>) -> Client<'_> {
    client.with("x-forwarded-proto", "https").with("x-forwarded-for", "203.0.113.9")
}

#[tokio::test]
async fn only_a_trusted_proxy_says_that_the_client_came_through_https() {
    let server = behind_a_proxy();
    let mut trusted = said(server.browser().at("10.0.0.7")).with("origin", "https://id.example");
    let page = trusted.get("/sign-in").await;
    assert_eq!((page.gist(), page.header("strict-transport-security")), ("200".to_owned(), HSTS));
    // A redirect would come back through the same stranger, for ever.
    let stranger = said(server.browser().at("192.0.2.1")).get("/sign-in").await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    assert_eq!(server.browser().at("192.0.2.1").get("/sign-in").await.status, StatusCode::PERMANENT_REDIRECT);
    let mut downgraded = server.browser().at("10.0.0.7").with("x-forwarded-proto", "http");
    assert_eq!(downgraded.get("/sign-in").await.status, StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test]
async fn over_tls_every_answer_demands_https_for_a_year() {
    let server = Server::configured("public_url = \"https://localhost:8080\"");
    server.add("alice", &[]).await;
    let mut person = through_tls(server.browser()).with("origin", "https://localhost:8080");
    for path in ["/sign-in", "/", "/account", "/no-such-page", "/v1/session", "/livez", "/assets/none.css"] {
        assert_eq!(person.get(path).await.header("strict-transport-security"), HSTS, "{path}");
    }
    let refused = person.ask(Method::DELETE, "/sign-in").await;
    assert_eq!(
        (refused.gist(), refused.header("strict-transport-security")),
        ("405 method_not_allowed".to_owned(), HSTS)
    );
    assert_eq!(person.sign_in("alice", PASSWORD).await.header("strict-transport-security"), HSTS);
}

#[tokio::test]
async fn in_clear_on_this_machine_nothing_demands_https() {
    let server = Server::new();
    for path in ["/setup", "/v1/session", "/livez", "/no-such-page"] {
        let answer = server.browser().get(path).await;
        assert!(!answer.headers.contains_key("strict-transport-security"), "{path}");
    }
}

#[tokio::test]
async fn forms_lead_here_and_on_to_configured_hosts_only() {
    let policy = |text: &str| {
        let server = Server::configured(text);
        async move { server.browser().get("/setup").await.header("content-security-policy").to_owned() }
    };
    assert!(policy("").await.contains("form-action 'self';"));
    let configured = policy("[trust]\nreturn_hosts = [\"shop.example\"]").await;
    assert!(configured.contains("form-action 'self' https://shop.example;"), "{configured}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_a_problem_for_programs() {
    let server = Server::new();
    let page = server.browser().get("/no-such-page").await;
    assert_eq!(page.gist(), "404 not_found");
    assert!(page.header("content-type").starts_with("text/html"));
    for path in
        ["/no-such-page", "/v1/no-such-call", "/v1/", "/assets/cloakroom.00000000.css", "/../etc/passwd"]
    {
        assert_eq!(server.program().get(path).await.gist(), "404 not_found", "{path}");
    }
    assert_eq!(
        server.browser().get("/v1/no-such-call").await.header("content-type"),
        "application/problem+json"
    );
}

#[tokio::test]
async fn a_response_that_depends_on_who_asks_says_so() {
    let server = Server::with_people().await;
    let session = server.plant("alice").await;
    for path in ["/account", "/v1/session", "/v1/sessions", "/"] {
        let vary = server.browser_with(&session).get(path).await.header("vary").to_ascii_lowercase();
        assert!(vary.contains("cookie"), "{path}: {vary}");
    }
}
