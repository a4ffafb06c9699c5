//! What happens leaves its events, whoever leaves meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use cloakroom_audit::{AuditEvent, AuditQuery, EventObject};
use cloakroom_server::web::Listener;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::server::{PASSWORD, Server};

/// Every event so far, the first of them first.
async fn events(server: &Server) -> Vec<AuditEvent> {
    let mut query = AuditQuery::latest();
    (query.after, query.limit) = (Some(0), 1_000.try_into().unwrap());
    server.audit.page(&query).await.unwrap().events
}

/// `event principal reason` of each.
fn gist(events: &[AuditEvent]) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    events.iter().map(|e| format!("{} {} {}", e.event, text(&e.principal), text(&e.reason))).collect()
}

#[tokio::test]
async fn sign_ins_and_passwords_leave_their_events_before_they_are_answered() {
    let server = Server::with_people().await;
    let mut program = server.program();
    let sign_in =
        |name: &str, password: &str| json!({ "username": name, "password": password, "mode": "bearer" });
    // Somebody typed the password into the wrong field.
    let typed = "my secret 4711";
    for (body, status) in [
        (sign_in(typed, "x"), StatusCode::UNAUTHORIZED),
        (sign_in("ALICE", "wrong"), StatusCode::UNAUTHORIZED),
        (sign_in("alice", PASSWORD), StatusCode::OK),
    ] {
        let answer = program.json(Method::POST, "/v1/sign-in", &body).await;
        assert_eq!(answer.status, status);
        program.token = answer.json()["token"].as_str().map(str::to_owned);
    }
    assert_eq!(
        gist(&events(&server).await),
        [
            "authn_login_fail - invalid_credentials",
            "authn_login_fail alice invalid_credentials",
            "session_created alice -",
            "authn_login_success alice -",
        ]
    );
    let again = json!({ "current": "wrong", "new": "another long password 5" });
    assert_eq!(program.json(Method::POST, "/v1/password", &again).await.status, StatusCode::UNAUTHORIZED);
    let again = json!({ "password": "wrong" });
    assert_eq!(
        program.json(Method::POST, "/v1/reauthenticate", &again).await.status,
        StatusCode::UNAUTHORIZED
    );
    let again = json!({ "current": PASSWORD, "new": "another long password 5" });
    assert_eq!(program.json(Method::POST, "/v1/password", &again).await.status, StatusCode::NO_CONTENT);
    assert_eq!(program.ask(Method::DELETE, "/v1/session").await.status, StatusCode::NO_CONTENT);
    let all = events(&server).await;
    assert_eq!(
        gist(&all)[4..],
        [
            "authn_password_change_fail alice invalid_credentials",
            "authn_login_fail alice invalid_credentials",
            "authn_password_change alice -",
            "session_logout alice signed_out",
        ]
    );
    for event in &all {
        assert!(event.ip.is_some() || event.event == "session_logout", "{event:?}");
        let shown = serde_json::to_string(&EventObject::from(event)).unwrap();
        for secret in [typed, PASSWORD, "another long password 5", "cr1_"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(all[5].session.is_some() && all[5].detail["during"] == "reauthentication");
    assert_eq!(all[3].session, all[2].session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_whose_client_leaves_is_done_to_its_end_and_leaves_its_events() {
    let server = Server::with_people().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = server.router(Listener::Plain).into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });
    let body = json!({ "username": "alice", "password": PASSWORD, "mode": "bearer" }).to_string();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The handler asks for the body: it runs.
    let mut answer = [0; 25];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(body.as_bytes()).await.unwrap();
    drop(connection);
    let found = async {
        let mut tail = server.audit.tail_after(0);
        let mut seen = Vec::new();
        while !seen.iter().any(|event: &String| event.starts_with("authn_login_success alice")) {
            seen.extend(gist(&tail.next().await.unwrap()));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("it goes on, and is recorded");
    assert_eq!(server.live("alice").await, 1);
    serving.abort();
}
