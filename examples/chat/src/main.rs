//! `cargo run -p chat`, then open <http://localhost:3001> and <http://localhost:3002> and sign in as alice, password
//! "plum tractor 42". Two nodes, one store: signed out everywhere on one, alice is out of the other too.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use chat::{People, Rooms};
use clap::Parser;
use cloakroom::{Clock as _, OsRandom, Sessions, SessionsBuilder, SystemClock};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A chat on several nodes.
#[derive(Parser)]
struct Arguments {
    /// Where sessions are: sqlite:FILE, redis://HOST:PORT, or sealed:DIRECTORY for sessions in their own cookies, with a key
    /// and a list of ends in that directory. Start it twice, with other ports, for nodes in two processes.
    #[arg(long, default_value = "sqlite:chat.db")]
    store: String,
    /// The ports to listen on, a node for each.
    #[arg(default_values_t = [3001, 3002])]
    ports: Vec<u16>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let people = [("alice", "plum tractor 42"), ("bob", "seven quiet rivers"), ("carol", "amber lantern 9")];
    let people = Arc::new(People::new(&OsRandom, &people)?);
    let rooms = Arc::new(Rooms::default());
    let (close, closing) = tokio::sync::watch::channel(());
    let mut upkeeps = JoinSet::new();
    let mut nodes = JoinSet::new();
    for port in arguments.ports {
        // Each node has an engine and a connection to the store of its own, as if it were alone in its process.
        let sessions = open(&arguments.store).await?.build()?;
        let upkeep = sessions.clone();
        let mut closing = closing.clone();
        upkeeps.spawn(async move { upkeep.upkeep(async { drop(closing.changed().await) }).await });
        let origin = format!("http://localhost:{port}");
        let app = chat::app(sessions, Arc::clone(&people), Arc::clone(&rooms), origin.parse()?);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        say(&format!("A node of the chat is on {origin}. Sign in as alice, password \"plum tractor 42\"."));
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        nodes.spawn(async move { axum::serve(listener, service).await });
    }
    tokio::select! {
        Some(ended) = nodes.join_next() => ended??,
        () = interrupted() => {}
    }
    drop(close);
    upkeeps.join_all().await;
    Ok(())
}

async fn open(url: &str) -> Result<SessionsBuilder, Box<dyn Error>> {
    Ok(match url.split_once(':') {
        Some(("sqlite", path)) => Sessions::builder(SqliteStore::open(SqliteOptions::new(path))?),
        Some(("sealed", directory)) => {
            chat::sealed(directory.as_ref(), &OsRandom, SystemClock::default().now())?
        }
        _ => Sessions::builder(RedisStore::connect(RedisOptions::from_url(url)?).await?),
    })
}

async fn interrupted() {
    // Where there is no such signal, the chat stays open until its process ends.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[expect(clippy::print_stdout, reason = "a program that is started by hand says where it listens")]
fn say(sentence: &str) {
    println!("{sentence}");
}
