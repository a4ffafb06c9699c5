//! News of changes, on real servers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit, TokenDigest};
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::Postgres;
use cloakroom_store::{
    ErrorKind, Feed, InsertRequest, Inserted, News, Observer, Parts, RekeyRequest, Rekeyed, Replaced,
    Selector, Store, SweepRequest, Touch, Version,
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::support::{change, database, end, file, kind, open, runtime, shared};

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) changed: BTreeSet<TokenDigest>,
    pub(crate) anything: usize,
    pub(crate) calls: usize,
}

impl Observer for Heard {
    fn told(&self, news: News<'_>) {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        match news {
            News::Changed(digests) => state.changed.extend(digests),
            News::Anything(parts) => {
                assert_eq!(parts, Parts::ALL);
                state.anything += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Heard {
    /// What was told since the last time.
    pub(crate) fn take(&self) -> State {
        std::mem::take(&mut *self.state.lock().unwrap())
    }

    pub(crate) fn has(&self, digest: TokenDigest) -> bool {
        self.state.lock().unwrap().changed.contains(&digest)
    }

    pub(crate) fn had_anything(&self) -> bool {
        self.state.lock().unwrap().anything > 0
    }
}

pub(crate) async fn watch(store: &PostgresStore) -> (Arc<Heard>, Box<dyn Feed>) {
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    let feed = store.watch(observer).await.unwrap();
    (heard, feed)
}

pub(crate) async fn prove(feed: &dyn Feed) {
    assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
}

/// A person with `psql`.
pub(crate) async fn operator(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&url.replace("cloakroom@", "postgres@"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn hex(digest: TokenDigest) -> String {
    digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn filed(store: &PostgresStore, fixtures: &mut Fixtures, number: usize) -> Vec<Filing> {
    let filings: Vec<Filing> = (0..number).map(|_| fixtures.signed_in("alice")).collect();
    for filing in &filings {
        file(store, filing).await;
    }
    filings
}

#[test]
fn whatever_was_acknowledged_on_any_node_has_been_told_when_a_later_proof_is_answered() {
    let url = database("told");
    runtime().block_on(async {
        let nodes = [open(&url).await, open(&url).await];
        let (heard, feed) = watch(&*open(&url).await).await;
        let feed: Arc<dyn Feed> = Arc::from(feed);
        // Something that writes and does not come to an end, so that numbers commit out of their order.
        let slow = operator(&url).await;
        slow.batch_execute("BEGIN; CREATE TABLE slow (n int); SAVEPOINT part; INSERT INTO slow VALUES (1)")
            .await
            .unwrap();
        let mut writers = JoinSet::new();
        for writer in 0..16 {
            let (node, heard, feed) = (Arc::clone(&nodes[writer % 2]), Arc::clone(&heard), Arc::clone(&feed));
            writers.spawn(async move {
                let mut fixtures = Fixtures::new(u64::try_from(writer).unwrap());
                for _ in 0..64 {
                    write_and_look(&node, &mut fixtures, &heard, &*feed).await;
                }
            });
        }
        while let Some(result) = writers.join_next().await {
            result.unwrap();
        }
        slow.batch_execute("ROLLBACK").await.unwrap();
        assert!(!heard.had_anything(), "nothing was lost meanwhile");
    });
}

/// Each verb, and a proof after it.
async fn write_and_look(node: &PostgresStore, fixtures: &mut Fixtures, heard: &Heard, feed: &dyn Feed) {
    let filing = fixtures.signed_in("alice");
    file(node, &filing).await;
    assert_eq!(change(node, &filing, Version::FIRST).await.unwrap(), Replaced::Done(Version::from_u64(2)));
    prove(feed).await;
    assert!(heard.has(filing.digest), "replaced");
    let next = filing.rotated(fixtures.next_digest(&filing), T0);
    let (old, new, record) = (filing.digest, next.digest, &next.record);
    heard.state.lock().unwrap().changed.remove(&old);
    let request = RekeyRequest { old, new, version: Version::from_u64(2), record, now: T0 };
    assert_eq!(node.rekey(request).await.unwrap(), Rekeyed::Done(Version::from_u64(3)));
    prove(feed).await;
    assert!(heard.has(old), "rotated");
    assert_eq!(end(node, &Selector::One(next.id()), at(1)).await.unwrap().ended.len(), 1);
    prove(feed).await;
    assert!(heard.has(new), "ended");
}

#[test]
fn those_whom_a_limit_or_a_new_session_or_the_end_of_a_principal_ends_are_told() {
    let url = database("put_out");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let mut fixtures = Fixtures::new(1);
        let filings = filed(&store, &mut fixtures, 1_000).await;
        let newcomer = fixtures.signed_in("alice");
        let limit = Some(SessionLimit { max: 1_000.try_into().unwrap(), on_limit: OnLimit::EndOldest });
        let (record, digest) = (&newcomer.record, newcomer.digest);
        let replaces = filings.last().map(Filing::id);
        let request = InsertRequest { record, digest, limit, replaces, now: T0 };
        let Inserted::Done { ended } = store.insert(request).await.unwrap() else { panic!("it is filed") };
        prove(&*feed).await;
        let told = heard.take();
        assert_eq!((told.changed.len(), told.anything), (ended.len(), 0));
        let own = Selector::Principal { principal: principal_id("alice"), except: None };
        let ended = end(&store, &own, at(5)).await.unwrap().ended.len();
        prove(&*feed).await;
        let told = heard.take();
        assert_eq!((told.changed.len(), told.anything), (ended, 0));
        assert!(ended >= 999 && told.calls <= 2, "in few calls: {}", told.calls);
        // What is over already makes no news, and an end of everything is news of anything.
        end(&store, &own, at(6)).await.unwrap();
        prove(&*feed).await;
        assert_eq!(heard.take().calls, 0);
        for everything in [Selector::IssuedBefore(at(-100)), Selector::All] {
            end(&store, &everything, at(7)).await.unwrap();
            prove(&*feed).await;
            assert_eq!(heard.take().anything, 1, "{everything:?}");
        }
    });
}

#[test]
fn touches_newcomers_and_what_is_cleared_away_make_no_news() {
    let url = database("quiet");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let filings = filed(&store, &mut Fixtures::new(1), 20).await;
        let touches: Vec<Touch> =
            filings.iter().map(|filing| Touch { digest: filing.digest, seen_at: at(500) }).collect();
        assert_eq!(store.touch(&touches, at(500)).await.unwrap().touched, 20);
        // A sweep that comes too early moves its own mark.
        let round = |now| SweepRequest { now, limit: 100, lease: Duration::ZERO };
        assert!(store.sweep(round(at(1_100))).await.unwrap().ended.is_empty());
        prove(&*feed).await;
        assert_eq!(heard.take().calls, 0);
        // What time has ended is told by whoever finds it, and what is left of it goes in silence.
        assert_eq!(store.sweep(round(at(2_000))).await.unwrap().ended.len(), 20);
        prove(&*feed).await;
        assert_eq!(heard.take().changed.len(), 20);
        assert_eq!(store.sweep(round(at(1_000_000))).await.unwrap().removed, 20);
        prove(&*feed).await;
        assert_eq!(heard.take().calls, 0);
        let recorded = "SELECT count(*) FROM cloakroom.change WHERE digest IS NULL;";
        assert_eq!(shared().sql("quiet", recorded).unwrap().trim(), "0");
    });
}

#[test]
fn what_an_operator_does_behind_the_back_is_told() {
    let url = database("operated");
    runtime().block_on(async {
        let store = open(&url).await;
        let (heard, feed) = watch(&store).await;
        let filings = filed(&store, &mut Fixtures::new(1), 12).await;
        let operator = operator(&url).await;
        let deeds = [
            "UPDATE cloakroom.session SET absolute_expires_at = 5",
            "UPDATE cloakroom.session SET idle_timeout = 0",
            "UPDATE cloakroom.session SET last_seen_at = last_seen_at - 1",
            "UPDATE cloakroom.session SET generation = -1",
            "UPDATE cloakroom.session SET principal = 'mallory'",
            "UPDATE cloakroom.session SET ended_at = 1, end_reason = 'revoked', body = NULL",
            "SET session_replication_role = replica; DELETE FROM cloakroom.session",
        ];
        for (filing, deed) in filings.iter().zip(deeds) {
            let sql = format!("{deed} WHERE digest = '\\x{}'", hex(filing.digest));
            operator.batch_execute(&sql).await.unwrap();
            prove(&*feed).await;
            let told = heard.take();
            assert_eq!(told.changed, BTreeSet::from([filing.digest]), "{deed}");
            assert_eq!(told.anything, 0, "{deed}");
        }
        for deed in [
            "INSERT INTO cloakroom.epoch VALUES (77, 0, 0, 1, 'revoked')",
            "UPDATE cloakroom.epoch SET issued_before = 1",
            "TRUNCATE cloakroom.session",
            "TRUNCATE cloakroom.change",
            "TRUNCATE cloakroom.session, cloakroom.change, cloakroom.feed",
        ] {
            operator.batch_execute(deed).await.unwrap();
            prove(&*feed).await;
            assert!(heard.take().anything > 0, "{deed}");
        }
        operator.batch_execute("UPDATE cloakroom.session SET device = 'x', due_at = 3").await.unwrap();
        prove(&*feed).await;
        assert_eq!(heard.take().calls, 0, "nothing is decided by these");
        operator
            .batch_execute("SET session_replication_role = origin; DROP SCHEMA cloakroom CASCADE")
            .await
            .unwrap();
        assert_eq!(kind(feed.prove().await).0, ErrorKind::Unavailable);
        drop(open(&url).await);
        prove(&*feed).await;
        assert!(heard.take().anything > 0, "it is another list");
    });
}

/// Whatever was under way at one reading is asked for by the next ones until it is decided.
#[test]
fn a_change_that_commits_late_is_told_after_it_did_and_not_before() {
    let server = Postgres::start_with(&["-c", "max_prepared_transactions=4"]).unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let (heard, feed) = watch(&store).await;
        let mut fixtures = Fixtures::new(1);
        let filings = filed(&store, &mut fixtures, 5).await;
        let late = operator(&server.url()).await;
        let touch = |filing: &Filing| {
            format!(
                "UPDATE cloakroom.session SET version = version WHERE digest = '\\x{}'",
                hex(filing.digest)
            )
        };
        let endings = [
            ("COMMIT", true),
            ("ROLLBACK", false),
            ("ROLLBACK TO part; COMMIT", false),
            ("RELEASE part; COMMIT", true),
            ("PREPARE TRANSACTION 'late'", false),
        ];
        for (filing, (ending, is_told)) in filings.iter().zip(endings) {
            late.batch_execute("BEGIN; SAVEPOINT part").await.unwrap();
            late.batch_execute(&touch(filing)).await.unwrap();
            // Others commit meanwhile, before and after it in the order of numbers, and are told.
            for _ in 0..20 {
                let [other] = filed(&store, &mut fixtures, 1).await.try_into().unwrap();
                end(&store, &Selector::One(other.id()), at(1)).await.unwrap();
                prove(&*feed).await;
                assert!(heard.has(other.digest) && !heard.has(filing.digest));
            }
            late.batch_execute(ending).await.unwrap();
            prove(&*feed).await;
            assert_eq!(heard.has(filing.digest), is_told, "{ending}");
        }
        late.batch_execute("COMMIT PREPARED 'late'").await.unwrap();
        prove(&*feed).await;
        assert!(heard.has(filings[4].digest), "prepared and committed");
        assert!(!heard.had_anything());
    });
}

#[test]
fn readings_and_clearings_go_by_the_index_also_where_they_were_planned_for_an_empty_list() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let explain = "
        ALTER ROLE cloakroom SET session_preload_libraries = 'auto_explain';
        ALTER ROLE cloakroom SET auto_explain.log_min_duration = 0;
        ALTER ROLE cloakroom SET auto_explain.log_nested_statements = on;";
    server.sql("postgres", explain).unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let (_heard, feed) = watch(&store).await;
        let sweep = SweepRequest { now: at(1), limit: 10, lease: Duration::ZERO };
        let crowd = "INSERT INTO cloakroom.change (xid, digest)
                     SELECT n::text::xid8, '\\x00' FROM generate_series(1, 100000) AS n;";
        for knowledge in ["SELECT 1;", "ANALYZE;", crowd, "ANALYZE;"] {
            server.sql("cloakroom", knowledge).unwrap();
            let before = server.log().len();
            for _ in 0..8 {
                prove(&*feed).await;
                // Somebody is under way at the next one.
                store.sweep(sweep).await.unwrap();
            }
            let log = server.log();
            let plans = log.get(before..).unwrap();
            for needed in
                ["Index Scan using change_xid", "xid >= pg_snapshot_xmax", "xid = ANY", "Tid Scan on change"]
            {
                assert!(plans.contains(needed), "{needed}, {knowledge}: {plans}");
            }
            for forbidden in ["Seq Scan on change", "Sort Key: change.xid", "Sort Key: told.xid"] {
                assert!(!plans.contains(forbidden), "{forbidden}, {knowledge}: {plans}");
            }
        }
    });
}
