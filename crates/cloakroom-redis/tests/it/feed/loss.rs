//! A line that breaks, hangs, or leads to the wrong server: what it covered is told to be lost, and nothing is proven by it.

use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures, Seeded};
use cloakroom_servers::{Redis, Relay};
use cloakroom_store::{ErrorKind, Feed, Parts};

use super::super::{HASTE, alice, end_one, eventually, file_all, is_live, open, open_hasty, run};
use super::pipe::Pipe;
use super::{Enders, eventually_proven, eventually_told, watched, watched_by};

fn port(server: &Redis) -> u16 {
    server.url().rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_line_that_is_cut_loses_everything_and_what_happened_meanwhile_is_told_before_the_next_proof() {
    let server = Redis::start().unwrap();
    let relay = Relay::to(port(&server)).unwrap();
    run(async {
        let (_store, recorder, feed) = watched(&format!("redis://127.0.0.1:{}", relay.port())).await;
        let (writer, filing) = (open(&server.url()).await, alice(&mut Fixtures::new(1)));
        file_all(&writer, std::slice::from_ref(&filing)).await;
        eventually_proven(&*feed, Parts::ALL).await;
        recorder.clear();
        relay.refuse();
        relay.cut();
        // Nobody asked for a proof: whoever has a stream open hears of it all the same.
        eventually_told("the loss", || recorder.anything() == Parts::ALL).await;
        feed.prove().await.unwrap_err();
        recorder.clear();
        end_one(&writer, &filing).await.unwrap();
        feed.prove().await.unwrap_err();
        assert_eq!(recorder.times(), 0, "nobody can have told it");
        relay.accept().unwrap();
        // Without a proof, too.
        eventually_told("what was missed", || recorder.count(filing.digest) > 0).await;
        eventually_proven(&*feed, Parts::ALL).await;
        let other = alice(&mut Fixtures::new(2));
        file_all(&writer, std::slice::from_ref(&other)).await;
        feed.prove().await.unwrap();
        recorder.clear();
        end_one(&writer, &other).await.unwrap();
        feed.prove().await.unwrap();
        assert_eq!(
            (recorder.changed(other.digest), recorder.anything()),
            (1, Parts::NONE),
            "covered as before"
        );
    });
}

#[test]
fn a_server_that_hangs_up_by_itself_is_connected_to_anew() {
    let server = Redis::start().unwrap();
    run(async {
        let (_store, recorder, feed) = watched(&server.url()).await;
        let overrun = ["CONFIG", "SET", "client-output-buffer-limit", "normal 65536 0 0"];
        let commands: [&[&str]; 2] = [&["CLIENT", "KILL", "TYPE", "normal"], &overrun];
        for words in commands {
            eventually_proven(&*feed, Parts::ALL).await;
            recorder.clear();
            server.command(words).unwrap();
            if words == overrun {
                // More news in one round than a connection may have waiting.
                let script = "for i = 1, 4000 do redis.call('SET', 'cloakroom:record:' .. i, 1) end";
                server.command(&["EVAL", script, "0"]).unwrap();
            }
            eventually_told("the loss", || recorder.anything() == Parts::ALL).await;
        }
        eventually_proven(&*feed, Parts::ALL).await;
    });
}

#[test]
fn nothing_is_proven_while_a_server_hangs_and_a_line_that_hangs_is_given_up() {
    let server = Redis::start().unwrap();
    let pipe = Pipe::to(port(&server));
    let relay = Relay::to(port(&server)).unwrap();
    run(async {
        let (writer, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let feeds = [
            watched_by(open_hasty(&server.url()).await).await,
            watched_by(open_hasty(&pipe.url()).await).await,
            watched_by(open_hasty(&format!("redis://127.0.0.1:{}", relay.port())).await).await,
        ];
        for (number, (store, recorder, feed)) in feeds.iter().enumerate() {
            eventually_proven(&**feed, Parts::ALL).await;
            let filing = alice(&mut fixtures);
            file_all(&writer, std::slice::from_ref(&filing)).await;
            assert!(eventually("looking up", || is_live(store, &filing)).await);
            eventually_proven(&**feed, Parts::ALL).await;
            recorder.clear();
            match number {
                0 => server.pause(),
                1 => pipe.hold_answers(),
                _ => relay.stall(),
            }
            if number > 0 {
                end_one(&writer, &filing).await.unwrap();
            }
            let proof = tokio::time::timeout(HASTE * 4, feed.prove()).await;
            let error = proof.expect("a deadline bounds it").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
            eventually_told("that nothing is known", || recorder.anything() == Parts::ALL).await;
            match number {
                0 => server.resume(),
                1 => pipe.pass_answers(),
                _ => relay.flow(),
            }
            eventually_proven(&**feed, Parts::ALL).await;
        }
    });
}

#[test]
fn answers_that_are_late_prove_what_they_prove() {
    let server = Redis::start().unwrap();
    let pipe = Pipe::to(port(&server));
    run(async {
        let (_store, recorder, feed) = watched(&pipe.url()).await;
        let feed: Arc<dyn Feed> = Arc::from(feed);
        let (writer, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let filings: Vec<Filing> = (0..20).map(|_| alice(&mut fixtures)).collect();
        file_all(&writer, &filings).await;
        feed.prove().await.unwrap();
        for filing in filings {
            let before = recorder.changed(filing.digest);
            pipe.hold_answers();
            end_one(&writer, &filing).await.unwrap();
            let proof = tokio::spawn({
                let feed = Arc::clone(&feed);
                async move { feed.prove().await }
            });
            tokio::task::yield_now().await;
            assert_eq!(recorder.changed(filing.digest), before);
            pipe.pass_answers();
            assert_eq!(proof.await.unwrap().unwrap(), Parts::ALL);
            assert_eq!(recorder.changed(filing.digest), before + 1);
        }
    });
}

#[test]
fn a_server_that_is_a_replica_proves_nothing_and_one_that_was_one_begins_anew() {
    let (server, other) = (Redis::start().unwrap(), Redis::start().unwrap());
    run(async {
        let (_store, recorder, feed) = watched(&server.url()).await;
        feed.prove().await.unwrap();
        server.command(&["REPLICAOF", "127.0.0.1", &port(&other).to_string()]).unwrap();
        recorder.clear();
        feed.prove().await.unwrap_err();
        assert_eq!(recorder.anything(), Parts::ALL);
        server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        eventually_proven(&*feed, Parts::ALL).await;
        // There and back between two proofs.
        recorder.clear();
        server.command(&["REPLICAOF", "127.0.0.1", &port(&other).to_string()]).unwrap();
        server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        eventually_proven(&*feed, Parts::ALL).await;
        assert_eq!(recorder.anything(), Parts::ALL);
    });
}

#[test]
fn a_name_that_leads_to_another_server_by_now_proves_nothing_until_everything_leads_there() {
    let (old, new) = (Redis::start().unwrap(), Redis::start().unwrap());
    let pipe = Pipe::to(port(&old));
    run(async {
        let (store, recorder, feed) = watched(&pipe.url()).await;
        let filing = alice(&mut Fixtures::new(1));
        file_all(&store, std::slice::from_ref(&filing)).await;
        feed.prove().await.unwrap();
        pipe.lead_to(port(&new));
        // All connections but the one by which news come are made anew.
        for client in old.command(&["CLIENT", "LIST"]).unwrap().lines() {
            let field = |name: &str| client.split(' ').find_map(|word| word.strip_prefix(name)).unwrap();
            if !field("flags=").contains('B') && !field("cmd=").starts_with("client") {
                old.command(&["CLIENT", "KILL", "ID", field("id=")]).unwrap();
            }
        }
        let writer = open(&new.url()).await;
        file_all(&writer, std::slice::from_ref(&filing)).await;
        super::super::eventually("looking up", || {
            super::super::touch(&store, &filing, cloakroom_conformance::T0)
        })
        .await;
        recorder.clear();
        feed.prove().await.unwrap_err();
        assert_eq!(recorder.anything(), Parts::ALL);
        eventually_proven(&*feed, Parts::ALL).await;
        recorder.clear();
        end_one(&writer, &filing).await.unwrap();
        feed.prove().await.unwrap();
        assert_eq!(recorder.changed(filing.digest), 1, "by the new one");
    });
}

#[test]
fn whatever_goes_wrong_no_proof_comes_before_the_news_it_proves() {
    let server = Redis::start().unwrap();
    let relay = Relay::to(port(&server)).unwrap();
    run(async {
        let store = open_hasty(&format!("redis://127.0.0.1:{}", relay.port())).await;
        let (_store, recorder, feed) = watched_by(store).await;
        let feed: Arc<dyn Feed> = Arc::from(feed);
        let enders = Enders::start(&server.url(), &recorder, &feed).await;
        let mut random = Seeded::new(0xFEED);
        for _ in 0..16 {
            enders.go_on(1 + random.below(10)).await;
            match random.below(5) {
                0 => relay.cut(),
                1 => relay.cut_replies_after(usize::try_from(random.below(3_000)).unwrap()),
                2 => {
                    relay.stall();
                    feed.prove().await.unwrap_err();
                    relay.flow();
                }
                3 => {
                    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
                }
                _ => {
                    let losses = recorder.losses();
                    server.kill();
                    eventually_told("the loss", || recorder.losses() > losses).await;
                    server.restart().unwrap();
                }
            }
        }
        enders.go_on(10).await;
        enders.finish().await;
    });
}
