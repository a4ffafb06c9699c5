//! `cargo run -p shop`, then open <http://localhost:3000> and sign in as alice, password "plum tractor 42".

use std::net::SocketAddr;

use cloakroom::{OsRandom, Sessions};
use cloakroom_memory::MemoryStore;
use shop::Customers;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // To keep sessions across restarts, put a `cloakroom_sqlite` store here. Nothing else changes.
    let sessions = Sessions::builder(MemoryStore::default()).build()?;
    let customers =
        Customers::new(&OsRandom, &[("alice", "plum tractor 42"), ("bob", "seven quiet rivers")])?;
    let app = shop::app(sessions.clone(), customers, "http://localhost:3000".parse()?);

    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 3000))).await?;
    say("The shop is open on http://localhost:3000. Sign in as alice, password \"plum tractor 42\".");
    let (close, closing) = tokio::sync::watch::channel(());
    let upkeep = tokio::spawn(async move {
        let mut closing = closing;
        sessions.upkeep(async { drop(closing.changed().await) }).await;
    });
    // With the address of the connection, the list of sessions can say from where each one came.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(interrupted()).await?;
    drop(close);
    upkeep.await?;
    Ok(())
}

async fn interrupted() {
    // Where there is no such signal, the shop stays open until its process ends.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[expect(clippy::print_stdout, reason = "a program that is started by hand says where it listens")]
fn say(sentence: &str) {
    println!("{sentence}");
}
