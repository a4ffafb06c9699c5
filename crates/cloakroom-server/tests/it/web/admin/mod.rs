//! What staff sees and does through the API: the stories, the refusals, and what is recorded of both.

mod accounts;
mod acts;
mod faulty_audit;
mod live;
mod sessions;
mod stats;
mod support;

use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::server::{Planted, Server};

/// A server with staff and somebody they have to do with.
struct Desk {
    server: Server,
    /// Alice, an administrator.
    admin: Planted,
    /// Ada.
    auditor: Planted,
    /// Sam.
    support: Planted,
    /// Dora, who has no role.
    dora: Planted,
}

impl Desk {
    async fn set() -> Self {
        Self::of(Server::new()).await
    }

    async fn of(server: Server) -> Self {
        for (name, roles) in
            [("alice", &["admin"][..]), ("ada", &["auditor"]), ("sam", &["support"]), ("dora", &[])]
        {
            server.add(name, roles).await;
        }
        let (admin, auditor) = (server.plant("alice").await, server.plant("ada").await);
        let (support, dora) = (server.plant("sam").await, server.plant("dora").await);
        Self { server, admin, auditor, support, dora }
    }

    fn admin(&self) -> Client<'_> {
        self.server.browser_with(&self.admin)
    }

    fn auditor(&self) -> Client<'_> {
        self.server.browser_with(&self.auditor)
    }

    fn support(&self) -> Client<'_> {
        self.server.browser_with(&self.support)
    }

    fn dora(&self) -> Client<'_> {
        self.server.browser_with(&self.dora)
    }
}

/// Sends JSON to the API of administrators.
async fn post(client: &mut Client<'_>, path: &str, body: Value) -> Answer {
    client.json(Method::POST, &format!("/v1/admin/{path}"), &body).await
}

/// Ends sessions.
async fn revoke(client: &mut Client<'_>, body: Value) -> Answer {
    post(client, "revocations", body).await
}

/// The ids of the sessions in an answer.
fn ids(answer: &Answer) -> Vec<String> {
    let sessions = answer.json()["sessions"].as_array().expect("a list of sessions").clone();
    sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

/// How an answer says that so many sessions ended.
fn revoked(count: u64) -> Value {
    json!({ "revoked": count, "settled": false })
}
