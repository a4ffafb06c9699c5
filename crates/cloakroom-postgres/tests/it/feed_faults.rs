//! News of changes while connections, servers and rights come and go.

use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::{Look, Postgres, Relay, until};
use cloakroom_store::{Applied, ErrorKind, Feed, Lookup, Parts, Selector, Store, SweepRequest, Version};

use crate::feed::{Heard, filed, hex, operator, prove, watch};
use crate::support::{change, database, end, healed, kind, open, runtime, shared, through, whole};

/// Proofs until one is answered.
async fn proven(feed: &dyn Feed) {
    assert_eq!(healed(|| feed.prove()).await, Parts::ALL);
}

/// Whether this change is told, without anybody's proof.
async fn is_told_soon(heard: &Heard, filing: &Filing) -> bool {
    for _ in 0..4_000 {
        if heard.has(filing.digest) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

async fn end_one(store: &PostgresStore, filing: &Filing) {
    assert_eq!(end(store, &Selector::One(filing.id()), at(1)).await.unwrap().ended.len(), 1);
}

#[test]
fn a_connection_that_is_ended_loses_no_news_and_no_copies() {
    let url = database("terminated");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let operator = operator(&url).await;
        for filing in filed(&store, &mut Fixtures::new(1), 20).await {
            let ends = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity
                        WHERE datname = 'terminated' AND query LIKE '%FROM \"cloakroom\".feed%'
                            AND pid <> pg_backend_pid()";
            assert!(!operator.query(ends, &[]).await.unwrap().is_empty(), "the watch has a connection");
            let sql = format!("DELETE FROM cloakroom.session WHERE digest = '\\x{}'", hex(filing.digest));
            operator.batch_execute(&sql).await.unwrap();
            prove(&*feed).await;
            assert!(heard.has(filing.digest));
        }
        assert!(!heard.had_anything(), "it read on where it was");
    });
}

#[test]
fn a_server_that_was_killed_has_told_anything_before_it_proves_again() {
    let server = Postgres::start().unwrap();
    let runtime = runtime();
    let url = format!("{}?deadline=3s", server.url());
    let (store, heard, feed, filings) = runtime.block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let filings = filed(&store, &mut Fixtures::new(1), 2).await;
        end_one(&store, &filings[0]).await;
        (store, heard, feed, filings)
    });
    server.kill();
    let (kind, applied) = kind(runtime.block_on(feed.prove()));
    assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{kind:?}");
    assert_eq!(applied, Applied::No);
    assert!(!heard.had_anything());
    server.restart().unwrap();
    runtime.block_on(async {
        proven(&*feed).await;
        assert!(heard.take().anything > 0, "nobody knows what was in the list");
        healed(|| change(&store, &filings[1], Version::FIRST)).await;
        prove(&*feed).await;
        assert!(heard.has(filings[1].digest) && !heard.had_anything());
    });
}

/// What a crash of one of its processes leaves: the same server, started when it was, with an empty list.
#[test]
fn a_server_that_mended_itself_after_a_crash_has_told_anything_before_it_proves_again() {
    let server = Postgres::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let (heard, feed) = watch(&store).await;
        let [before, after] = filed(&store, &mut Fixtures::new(1), 2).await.try_into().unwrap();
        end_one(&store, &before).await;
        prove(&*feed).await;
        assert!(!heard.take().changed.is_empty());
        let victim = operator(&server.url()).await;
        let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        healed(|| change(&store, &after, Version::FIRST)).await;
        proven(&*feed).await;
        assert!(heard.take().anything > 0, "the list lost what it said");
        end_one(&store, &after).await;
        prove(&*feed).await;
        assert!(heard.has(after.digest) && !heard.had_anything());
    });
    assert!(server.log().contains("reinitializing"), "it was no restart");
}

#[test]
fn a_server_that_is_stopped_proves_nothing_within_the_deadline_and_goes_on_without_a_gap() {
    let server = Postgres::start().unwrap();
    let runtime = runtime();
    let url = format!("{}?deadline=900ms", server.url());
    let (heard, feed) = runtime.block_on(async { watch(&*open(&url).await).await });
    server.pause();
    for _ in 0..2 {
        // Slack for a busy machine; what hangs hangs for longer than that.
        let answer =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(8), feed.prove()).await });
        assert_eq!(kind(answer.expect("it is bounded by the deadline")), (ErrorKind::Timeout, Applied::No));
    }
    server.resume();
    runtime.block_on(proven(&*feed));
    assert!(!heard.had_anything());
}

#[test]
fn a_way_that_is_blocked_or_cut_proves_nothing_and_tells_all_when_it_is_open_again() {
    let url = database("blocked");
    let relay = Relay::to(shared().port()).unwrap();
    runtime().block_on(async {
        let writer = open(&url).await;
        let far = format!("{}?deadline=900ms", through(&url, shared().port(), relay.port()));
        let (heard, feed) = watch(&*open(&far).await).await;
        let mut filings = filed(&writer, &mut Fixtures::new(1), 90).await;
        let (first, second) = (filings.pop().unwrap(), filings.pop().unwrap());
        relay.stall();
        end_one(&writer, &first).await;
        assert_eq!(kind(feed.prove().await), (ErrorKind::Timeout, Applied::No));
        assert!(!heard.has(first.digest));
        relay.flow();
        proven(&*feed).await;
        assert!(heard.has(first.digest));
        relay.refuse();
        relay.cut();
        end_one(&writer, &second).await;
        assert_eq!(kind(feed.prove().await).0, ErrorKind::Unavailable);
        relay.accept().unwrap();
        proven(&*feed).await;
        assert!(heard.has(second.digest));
        // Wherever in an answer the connection breaks.
        for (filing, bytes) in filings.iter().zip((0..).step_by(11)) {
            relay.cut_replies_after(bytes);
            end_one(&writer, filing).await;
            proven(&*feed).await;
            assert!(heard.has(filing.digest), "cut after {bytes}");
        }
        assert!(!heard.had_anything());
    });
}

#[test]
fn a_standby_cannot_be_watched() {
    let server = Postgres::start_with(&["-c", "wal_retrieve_retry_interval=50ms"]).unwrap();
    runtime().block_on(async {
        let (heard, feed) = watch(&*open(&server.url()).await).await;
        let data = server.sql("postgres", "SHOW data_directory;").unwrap();
        server.kill();
        // A standby of nobody: it has what it had, and takes no writes.
        std::fs::write(std::path::Path::new(data.trim()).join("standby.signal"), "").unwrap();
        server.restart().unwrap();
        let store = open(&server.url()).await;
        let digest = Fixtures::new(1).anonymous().digest;
        assert_eq!(
            store.get(digest, T0).await.unwrap(),
            Lookup::Unknown,
            "who keeps no copies may read there"
        );
        let error = store.watch(heard.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        let refused = kind(store.get(digest, T0).await).0;
        assert_eq!(refused, ErrorKind::ReadOnly, "what a standby says is not kept as the primary's word");
        assert!(whole(&error).contains("standby") && whole(&error).contains("primary"), "{}", whole(&error));
        assert_eq!(kind(feed.prove().await).0, ErrorKind::ReadOnly);
        server.sql("postgres", "SELECT pg_promote();").unwrap();
        proven(&*feed).await;
        assert!(heard.take().anything > 0, "what was in the list is gone");
        assert_eq!(healed(|| store.get(digest, T0)).await, Lookup::Unknown);
    });
}

#[test]
fn what_is_forgotten_before_it_was_read_is_told_as_anything() {
    // Its own: what others have under way, also in other databases, is forgotten later.
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let url = server.url();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        let writer = open(&url).await;
        let (near, present) = watch(&writer).await;
        let (far, absent) = watch(&*open(&through(&url, server.port(), relay.port())).await).await;
        let filings = filed(&writer, &mut Fixtures::new(1), 3).await;
        relay.stall();
        let sweep = SweepRequest { now: at(1), limit: 10, lease: Duration::ZERO };
        let later = "UPDATE cloakroom.feed SET next_at = '-infinity';";
        for filing in &filings {
            end_one(&writer, filing).await;
            prove(&*present).await;
            // Half a minute later: what was there at the last time is forgotten.
            server.sql("cloakroom", later).unwrap();
            writer.sweep(sweep).await.unwrap();
        }
        let left = server.sql("cloakroom", "SELECT count(*) FROM cloakroom.change;").unwrap();
        assert_eq!(left.trim(), "1", "the last one could still be asked for");
        relay.flow();
        proven(&*absent).await;
        assert!(far.had_anything());
        assert!(!near.had_anything() && filings.iter().all(|filing| near.has(filing.digest)));
    });
}

#[test]
fn a_list_of_changes_is_cleared_in_small_steps_by_whoever_sweeps() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let url = server.url();
    runtime().block_on(async {
        let store = open(&url).await;
        let many = "INSERT INTO cloakroom.change (digest) SELECT NULL FROM generate_series(1, 25000);";
        server.sql("cloakroom", many).unwrap();
        let later = "UPDATE cloakroom.feed SET next_at = '-infinity';";
        let sweep = SweepRequest { now: at(1), limit: 10, lease: Duration::ZERO };
        assert!(!store.sweep(sweep).await.unwrap().more, "nobody knows yet that everybody has read it");
        server.sql("cloakroom", later).unwrap();
        let mut rounds = 1;
        while store.sweep(sweep).await.unwrap().more {
            rounds += 1;
        }
        assert_eq!(rounds, 3);
        let left = server.sql("cloakroom", "SELECT count(*) FROM cloakroom.change;").unwrap();
        assert_eq!(left.trim(), "0");
    });
}

#[test]
fn more_changes_than_are_worth_telling_one_by_one_are_anything() {
    let url = database("flood");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        for (number, anything) in [(10_000, false), (10_001, true)] {
            let flood = format!(
                "INSERT INTO cloakroom.change (digest)
                 SELECT decode(lpad(n::text, 68, '0'), 'hex') FROM generate_series(1, {number}) AS n;"
            );
            shared().sql("flood", &flood).unwrap();
            prove(&*feed).await;
            let told = heard.take();
            assert_eq!((told.anything > 0, told.changed.len() == 10_000), (anything, !anything));
        }
    });
}

#[test]
fn changes_are_told_without_proofs_also_where_nobody_can_listen() {
    let url = database("unasked");
    runtime().block_on(async {
        let writer = open(&url).await;
        let pooled = open(&format!("{url}?pooler=transaction")).await;
        let (listening, _feed) = watch(&writer).await;
        let (polling, _other_feed) = watch(&pooled).await;
        for filing in filed(&writer, &mut Fixtures::new(1), 3).await {
            end_one(&writer, &filing).await;
            assert!(is_told_soon(&listening, &filing).await && is_told_soon(&polling, &filing).await);
        }
    });
}

#[test]
fn a_watch_that_is_dropped_hears_no_more_and_keeps_no_connection() {
    let url = database("dropped");
    runtime().block_on(async {
        let store = open(&url).await;
        let watches = || {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'dropped' AND query LIKE '%.feed%'
                       AND pid <> pg_backend_pid();";
            shared().sql("dropped", sql).unwrap().trim().to_owned()
        };
        let (heard, feed) = watch(&store).await;
        assert_eq!(watches(), "1");
        drop(feed);
        until("the connection to be gone", Duration::from_secs(20), || match watches() {
            none if none == "0" => Look::Done(()),
            some => Look::NotYet(some),
        })
        .unwrap();
        let [filing] = filed(&store, &mut Fixtures::new(1), 1).await.try_into().unwrap();
        end_one(&store, &filing).await;
        let (other, feed) = watch(&store).await;
        prove(&*feed).await;
        assert_eq!(
            (heard.take().calls, other.take().calls),
            (0, 0),
            "and a new one hears of what comes later"
        );
    });
}

#[test]
fn products_in_one_database_do_not_hear_each_other() {
    let url = database("neighbours");
    runtime().block_on(async {
        let [ours, theirs] = ["ours", "theirs"].map(|schema| format!("{url}?schema={schema}"));
        let (ours, theirs) = (open(&ours).await, open(&theirs).await);
        let (heard, feed) = watch(&ours).await;
        let (overheard, their_feed) = watch(&theirs).await;
        let [filing] = filed(&ours, &mut Fixtures::new(1), 1).await.try_into().unwrap();
        end_one(&ours, &filing).await;
        prove(&*feed).await;
        assert!(heard.has(filing.digest));
        end(&ours, &Selector::All, T0).await.unwrap();
        prove(&*feed).await;
        prove(&*their_feed).await;
        assert!(heard.had_anything());
        assert_eq!(overheard.take().calls, 0);
    });
}

/// A node of the version before, and a role that was granted the tables of that version.
#[test]
fn what_an_older_node_changes_is_told_and_whoever_could_read_sessions_can_watch() {
    let (server, url) = (shared(), shared().database("aged").unwrap());
    let second =
        concat!(include_str!("../../schema/001_tables.sql"), include_str!("../../schema/002_verbs.sql"));
    let sql = format!(
        "SET ROLE cloakroom; BEGIN; CREATE SCHEMA cloakroom; {second} COMMIT; RESET ROLE;
         CREATE ROLE reader LOGIN; CREATE ROLE \"Odd role\" LOGIN; CREATE ROLE blind LOGIN;
         GRANT USAGE ON SCHEMA cloakroom TO reader, \"Odd role\", blind;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA cloakroom TO reader, \"Odd role\";
         GRANT UPDATE ON cloakroom.session TO blind; GRANT SELECT ON cloakroom.schema_version TO blind;"
    );
    server.sql("aged", &sql).unwrap();
    runtime().block_on(async {
        let old = operator(&url).await;
        old.batch_execute("SET ROLE reader").await.unwrap();
        let ends =
            old.prepare("SELECT id FROM cloakroom.end_sessions($1, NULL, NULL, 'revoked', 5)").await.unwrap();
        let store = open(&url).await;
        let by = |role: &str| format!("{}?migrate=off", url.replace("cloakroom@", &format!("{role}@")));
        for (role, seed) in [("reader", 1), ("Odd%20role", 2)] {
            let (heard, feed) = watch(&*open(&by(role)).await).await;
            let [filing] = filed(&store, &mut Fixtures::new(seed), 1).await.try_into().unwrap();
            assert_eq!(old.query(&ends, &[&filing.id().as_bytes().as_slice()]).await.unwrap().len(), 1);
            prove(&*feed).await;
            assert!(heard.has(filing.digest), "{role}");
        }
        // Whoever may change sessions cannot but tell, also without any right to the list.
        let (heard, feed) = watch(&store).await;
        let [filing] = filed(&store, &mut Fixtures::new(99), 1).await.try_into().unwrap();
        server.sql("aged", "SET ROLE blind; UPDATE cloakroom.session SET version = 7;").unwrap();
        prove(&*feed).await;
        assert!(heard.has(filing.digest));
        let blind = open(&by("blind")).await;
        assert!(!blind.facts().await.unwrap().may_watch);
        let error = blind.watch(heard.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(whole(&error).contains("permission denied"), "{}", whole(&error));
    });
}

#[test]
fn a_schema_that_does_not_tell_cannot_be_watched() {
    let url = database("silent");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let sql = "ALTER TABLE cloakroom.session DISABLE TRIGGER told_of_change;";
        shared().sql("silent", sql).unwrap();
        let error = store.watch(heard.clone()).await.unwrap_err();
        assert!(whole(&error).contains("told_of_"), "{}", whole(&error));
        let warnings = store.facts().await.unwrap().warnings();
        assert!(warnings.iter().any(|warning| warning.contains("told_of_")), "{warnings:?}");
        // One that watched before cannot know: whoever owns the schema may do anything.
        prove(&*feed).await;
    });
}
