//! What each verb costs, as the server counts it.

use std::future::Future;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_servers::Postgres;
use cloakroom_store::{
    ExportQuery, InsertRequest, Inserted, ListFilter, ListQuery, RekeyRequest, Rekeyed, Selector, Store,
    SweepRequest, Touch, Version,
};

use crate::support::{change, database, end, file, open, runtime, shared};

/// Statements that `ask` is, counted by the server.
async fn statements<F: Future>(server: &Postgres, ask: F) -> (u64, F::Output) {
    server.sql("postgres", "SELECT pg_stat_statements_reset();").unwrap();
    let answer = ask.await;
    let count = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                 JOIN pg_roles ON pg_roles.oid = userid WHERE rolname = 'cloakroom';";
    (server.sql("postgres", count).unwrap().trim().parse().unwrap(), answer)
}

#[test]
fn each_verb_is_one_statement_and_the_end_of_everything_two() {
    let counting =
        ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on"];
    let server = Postgres::start_with(&counting).unwrap();
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements;").unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        // The second round counts: the first one opens connections and prepares statements.
        for round in 0..2 {
            let count =
                |asked: u64, most: u64, verb: &str| assert!(round == 0 || asked == most, "{verb}: {asked}");
            let (all, twenty, filing) = sessions(&mut fixtures);
            let max = SessionLimit { max: 1.try_into().unwrap(), on_limit: OnLimit::EndOldest };
            file(&store, &all).await;

            let request = InsertRequest {
                record: &filing.record,
                digest: filing.digest,
                limit: Some(max),
                replaces: None,
                now: T0,
            };
            let (asked, inserted) = statements(&server, store.insert(request)).await;
            assert!(
                matches!(inserted.unwrap(), Inserted::Done { ended } if ended.len() == 1),
                "it makes room"
            );
            count(asked, 1, "insert with a limit");
            count(statements(&server, store.get(filing.digest, T0)).await.0, 1, "get");
            count(statements(&server, change(&store, &filing, Version::FIRST)).await.0, 1, "replace");
            let next = filing.rotated(fixtures.next_digest(&filing), T0);
            let request = RekeyRequest {
                old: filing.digest,
                new: next.digest,
                version: Version::from_u64(2),
                record: &next.record,
                now: T0,
            };
            let (asked, rekeyed) = statements(&server, store.rekey(request)).await;
            assert_eq!(rekeyed.unwrap(), Rekeyed::Done(Version::from_u64(3)));
            count(asked, 1, "rotate and write");

            for filing in &twenty {
                file(&store, filing).await;
            }
            let touches: Vec<Touch> =
                twenty.iter().map(|filing| Touch { digest: filing.digest, seen_at: at(5) }).collect();
            let (asked, touched) = statements(&server, store.touch(&touches, at(5))).await;
            assert_eq!(touched.unwrap().touched, twenty.len());
            count(asked, 1, "touch of twenty");
            count(statements(&server, store.touch(&[], at(5))).await.0, 0, "touch of none");
            let query = ListQuery::new(ListFilter::default());
            count(statements(&server, store.list(&query, T0)).await.0, 1, "list");
            count(statements(&server, store.count(T0)).await.0, 1, "count");
            let export = ExportQuery::new(None, 1_000.try_into().unwrap());
            let (asked, page) = statements(&server, store.export(&export, T0)).await;
            count(asked, 2, "export of everything");
            let filed = page.unwrap().items.pop().unwrap();
            count(statements(&server, store.import(&filed, T0)).await.0, 1, "import");
            let principal = Selector::Principal { principal: principal_id("twenty"), except: None };
            let (asked, ending) = statements(&server, end(&store, &principal, at(6))).await;
            assert_eq!(ending.unwrap().ended.len(), twenty.len());
            count(asked, 1, "end of a principal's twenty");
            count(
                statements(&server, end(&store, &Selector::One(next.id()), at(6))).await.0,
                1,
                "end of one",
            );
            count(statements(&server, end(&store, &Selector::All, at(6))).await.0, 2, "end of everything");
            let sweep = SweepRequest { now: at(90_000), limit: 1_000, lease: std::time::Duration::ZERO };
            let (asked, swept) = statements(&server, store.sweep(sweep)).await;
            assert!(swept.unwrap().removed > 20);
            count(asked, 1, "sweep");
            count(statements(&server, store.ping()).await.0, 1, "ping");
        }
    });
}

/// One whom the limit puts out, twenty of one principal, and the one that puts out.
fn sessions(fixtures: &mut Fixtures) -> (Filing, Vec<Filing>, Filing) {
    let [first, second] = std::array::from_fn(|_| fixtures.signed_in("limited"));
    (first, (0..20).map(|_| fixtures.signed_in("twenty")).collect(), second)
}

/// The promise of the layout: a touch writes the row's own page and no index.
#[test]
fn touches_are_heap_only() {
    let url = database("heap_only");
    let server = shared();
    runtime().block_on(async {
        let store = open(&url).await;
        // What vacuum does meanwhile is not what is counted.
        server.sql("heap_only", "ALTER TABLE cloakroom.session SET (autovacuum_enabled = off);").unwrap();
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..200).map(|_| fixtures.signed_in("alice")).collect();
        for filing in &filings {
            file(&store, filing).await;
        }
        for round in 1..=20 {
            let seen_at = at(round);
            // In batches of sessions that lie apart, as they do among a million.
            for batch in 0..20 {
                let some = filings.iter().skip(batch).step_by(20);
                let touches: Vec<Touch> =
                    some.map(|filing| Touch { digest: filing.digest, seen_at }).collect();
                assert_eq!(store.touch(&touches, seen_at).await.unwrap().touched, 10);
            }
        }
        let one = Selector::One(filings.first().unwrap().id());
        assert_eq!(end(&store, &one, at(21)).await.unwrap().ended.len(), 1);
    });
    // Counters arrive when a backend is idle for a moment or ends: the store is gone by now.
    let seen = cloakroom_servers::until("the server's counters", std::time::Duration::from_secs(20), || {
        let updates = server
            .sql(
                "heap_only",
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session';",
            )
            .unwrap();
        let (all, hot) = updates.trim().split_once('|').unwrap();
        let (all, hot): (u64, u64) = (all.parse().unwrap(), hot.parse().unwrap());
        if all >= 4_001 {
            cloakroom_servers::Look::Done((all, hot))
        } else {
            cloakroom_servers::Look::NotYet(updates)
        }
    });
    let (all, hot) = seen.unwrap();
    assert_eq!(all, 4_001, "twenty touches of two hundred, and one end");
    assert!(hot * 100 >= all * 95, "{hot} of {all}: rows move only where a page had no room left");
}
