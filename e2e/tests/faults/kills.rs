//! `kill -9`, again and again.

use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Failure, Outcome, World, run};
use futures_util::future::try_join_all;
use tokio::select;
use tokio::sync::Notify;

use crate::guest::{Acknowledged, Guest};

#[test]
fn twenty_kills_under_load_lose_nothing_that_was_acknowledged() {
    let mut config = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    // Each life tries the exchanged tokens of all lives before: by default, that is a replay and ends their sessions.
    config
        .write_all(b"[detection.token_replayed]\ngrade = \"log\"\n")
        .expect("a temporary file can be written");
    let path = config.path().to_str().expect("temporary files have plain names").to_owned();
    run("kills_under_load", &["--config", &path], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        let mut book: Vec<Acknowledged> = Vec::new();
        for round in 1..=KILLS {
            let seen =
                one_life(world).await.map_err(|failure| failure.while_doing(format!("life {round}")))?;
            book.extend(seen);
            for session in &book {
                guest(world)?
                    .check(session)
                    .await
                    .map_err(|failure| failure.while_doing(format!("after kill {round}")))?;
            }
        }
        for session in &book {
            world.output.note_secret(&session.token)?;
        }
        let (ended, alive): (Vec<_>, Vec<_>) = book.iter().partition(|session| session.ended);
        println!("{} sessions alive, {} ended, after {KILLS} kills", alive.len(), ended.len());
        if alive.len() < KILLS || ended.len() < KILLS {
            return Err(Failure::new("too little happened to prove anything"));
        }
        Ok(())
    });
}

/// Keeps the server busy, kills it in the middle, starts it again; what was acknowledged meanwhile.
pub(crate) async fn one_life(world: &mut World) -> Outcome<Vec<Acknowledged>> {
    let (acknowledged, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        let (guest, acknowledged, enough) = (guest(world)?, Arc::clone(&acknowledged), Arc::clone(&enough));
        guests.push(tokio::spawn(async move {
            let go_on = move || {
                let count = acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
                if count == ACKNOWLEDGED_BEFORE_KILL {
                    enough.notify_one();
                }
                // Far beyond the kill: this guest's requests all fell between two lives of the server.
                count < 10 * ACKNOWLEDGED_BEFORE_KILL
            };
            guest.live(go_on).await
        }));
    }
    let mut books = pin!(try_join_all(guests.into_iter().map(async |guest| guest.await?)));
    select! {
        () = enough.notified() => {}
        // Nobody leaves before the kill, unless something is wrong.
        left = &mut books => return left.and(Err(Failure::new("the guests left before there was enough to kill"))),
    }
    world.server.kill_and_restart().await?;
    Ok(books.await?.into_iter().flatten().collect())
}

pub(crate) fn guest(world: &World) -> Outcome<Guest> {
    Guest::of(vec![world.server.url("")], PASSWORD)
}

pub(crate) const PASSWORD: &str = "a quiet umbrella stand";
const KILLS: usize = 20;
/// Clients at once: enough that the server always has writes of several in its hands.
const GUESTS: usize = 6;
/// Acknowledgements between a start and a kill.
const ACKNOWLEDGED_BEFORE_KILL: usize = 120;
