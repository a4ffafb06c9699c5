//! The server that is measured.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use clap::Args;
use cloakroom::{Attribute, AuthLevel, Method, Principal, PrincipalId, Sessions};
use cloakroom_axum::{Rejection, Session, SessionLayer, SignIn, SignedIn};
use cloakroom_conformance::CountingStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::child::say;
use crate::error::{Doing as _, Outcome};
use crate::stores::Kind;

/// A server to run.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ServerTask {
    /// Where sessions live
    #[arg(long)]
    store: Kind,
    /// Remember what the store is asked
    #[arg(long)]
    counted: bool,
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) port: u16,
}

/// What the store was asked since the last time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Verbs {
    pub(super) verbs: BTreeMap<String, u64>,
}

/// The role of a server: tells where it listens, and serves until its input ends.
pub(crate) fn serve(task: &ServerTask) -> Outcome {
    let directory = TempDir::with_prefix("cloakroom-bench-").doing("making a directory")?;
    // As a real server would: what is counted costs too.
    PrometheusBuilder::new().install_recorder().doing("installing a recorder of metrics")?;
    let mut store = task.store.open(directory.path())?;
    let mut counting = None;
    if task.counted {
        let around = Arc::new(CountingStore::new(store));
        counting = Some(Arc::clone(&around));
        store = around;
    }
    let sessions = Sessions::builder_shared(store).build().doing("building the engine")?;
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.doing("listening")?;
        say(&Address { port: listener.local_addr().doing("listening")?.port() })?;
        let (sender, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Whatever ends the input ends the server.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = sender.send(());
        });
        if !task.counted {
            let upkeep = sessions.clone();
            tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await });
        }
        let serving = axum::serve(listener, router(sessions, counting));
        serving
            .with_graceful_shutdown(async {
                let _ = ended.await;
            })
            .await
            .doing("serving")
    })
}

fn router(sessions: Sessions, counting: Option<Arc<CountingStore>>) -> Router {
    let layered = Router::new()
        .route("/hello", get(hello))
        .route("/read", get(read))
        .route("/write", post(write))
        .route("/rotate", post(rotate))
        .route("/sign-in", post(sign_in))
        .layer(SessionLayer::new(sessions));
    let bare = Router::new()
        .route("/bare/hello", get(hello))
        .route("/bare/write", post(hello))
        .route("/bare/rotate", post(hello))
        .route("/verbs", get(verbs).with_state(counting));
    layered.merge(bare)
}

async fn hello() -> &'static str {
    HELLO
}

async fn read(SignedIn(session): SignedIn) -> &'static str {
    // As many bytes as without asking: what differs is the session.
    session.principal().map_or("", |_| HELLO)
}

async fn write(session: Session) -> Result<&'static str, Rejection> {
    session.update(&COUNT, |count| *count += 1).await?;
    Ok(HELLO)
}

async fn rotate(session: Session) -> Result<&'static str, Rejection> {
    session.rotate().await?;
    Ok(HELLO)
}

async fn sign_in(session: Session) -> Result<&'static str, Rejection> {
    let id = PrincipalId::new("user-123456").expect("a name without spaces is an id");
    session.sign_in(SignIn::new(Principal::new(id), AuthLevel::One, Method::password())).await?;
    Ok(HELLO)
}

async fn verbs(State(counting): State<Option<Arc<CountingStore>>>) -> String {
    let mut verbs = Verbs::default();
    for verb in counting.iter().flat_map(|counting| counting.take()) {
        *verbs.verbs.entry(verb.to_string()).or_default() += 1;
    }
    serde_json::to_string(&verbs).unwrap_or_default()
}

const COUNT: Attribute<u64> = Attribute::new("count");

const HELLO: &str = "hello, user-123456";
