//! What each verb costs, as the server counts it.

use std::future::Future;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::Postgres;
use cloakroom_store::{
    ExportQuery, InsertRequest, Inserted, ListFilter, ListQuery, RekeyRequest, Rekeyed, Selector, Store,
    SweepRequest, Touch, Version,
};

use crate::support::{change, database, end, file, open, runtime, shared};

/// Statements that `ask` is, counted by the server, without the hints to other nodes that nobody waits for, and without what a
/// connection for look-ups is asked when it is opened.
pub(crate) async fn statements<F: Future>(server: &Postgres, ask: F) -> (u64, F::Output) {
    server.sql("postgres", "SELECT pg_stat_statements_reset();").unwrap();
    let answer = ask.await;
    let count = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                 JOIN pg_roles ON pg_roles.oid = userid
                 WHERE rolname = 'cloakroom' AND query NOT LIKE '%pg_notify%'
                   AND query <> 'SELECT pg_is_in_recovery()';";
    (server.sql("postgres", count).unwrap().trim().parse().unwrap(), answer)
}

/// Statements that were parsed, in a piece of the log of a server that writes everything down.
fn parsed(log: &str) -> Vec<&str> {
    let entries = log.split("LOG:  duration: ").skip(1);
    let parses =
        entries.filter(|entry| entry.lines().next().is_some_and(|line| line.contains(" ms  parse ")));
    // Nobody waits for hints, and so nobody knows in which round the first of them is sent.
    parses.filter(|entry| !entry.contains("pg_notify")).collect()
}

#[test]
fn each_verb_is_one_statement_that_was_prepared_before_and_the_end_of_everything_two() {
    let counting = [
        "shared_preload_libraries=pg_stat_statements",
        "pg_stat_statements.track_utility=on",
        "log_min_duration_statement=0",
    ];
    let server = Postgres::start_with(&counting.map(|setting| ["-c", setting]).concat()).unwrap();
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements;").unwrap();
    runtime().block_on(async {
        // One connection of each kind: a second one would know nothing yet.
        let store = open(&format!("{}?readers=1&writers=1", server.url())).await;
        let mut fixtures = Fixtures::new(1);
        let opened = server.log().len();
        round(&Bill { server: &server, counts: false }, &store, &mut fixtures).await;
        // The first round opens connections and prepares statements, the second one counts.
        let prepared = server.log().len();
        round(&Bill { server: &server, counts: true }, &store, &mut fixtures).await;
        let log = server.log();
        let (first, second) = (parsed(&log[opened..prepared]), parsed(&log[prepared..]));
        assert!(first.len() >= 12, "each statement is in the log when it is prepared: {first:?}");
        assert_eq!(second, [""; 0], "what was prepared once is not prepared again");
    });
}

/// Every verb once.
async fn round(bill: &Bill<'_>, store: &PostgresStore, fixtures: &mut Fixtures) {
    let (all, twenty, filing) = sessions(fixtures);
    file(store, &all).await;
    let next = filing.rotated(fixtures.next_digest(&filing), T0);
    one(bill, store, &filing, &next).await;
    for filing in &twenty {
        file(store, filing).await;
    }
    many(bill, store, &twenty).await;
    bill.expect(1, "end of one", end(store, &Selector::One(next.id()), at(6))).await.unwrap();
    bill.expect(2, "end of everything", end(store, &Selector::All, at(6))).await.unwrap();
    let sweep = SweepRequest { now: at(90_000), limit: 1_000, lease: std::time::Duration::ZERO };
    let swept = bill.expect(1, "sweep", store.sweep(sweep)).await.unwrap();
    assert!(swept.removed > 20);
    bill.expect(1, "ping", store.ping()).await.unwrap();
}

/// What is asked, and what it may cost.
struct Bill<'a> {
    server: &'a Postgres,
    counts: bool,
}

impl Bill<'_> {
    async fn expect<F: Future>(&self, most: u64, verb: &str, ask: F) -> F::Output {
        let (asked, answer) = statements(self.server, ask).await;
        assert!(!self.counts || asked == most, "{verb}: {asked} statements, not {most}");
        answer
    }
}

/// A sign-in that puts somebody out, a read, a write, and a new token with a write.
async fn one(bill: &Bill<'_>, store: &PostgresStore, filing: &Filing, next: &Filing) {
    let limit = Some(SessionLimit { max: 1.try_into().unwrap(), on_limit: OnLimit::EndOldest });
    let (record, digest) = (&filing.record, filing.digest);
    let request = InsertRequest { record, digest, limit, replaces: None, now: T0 };
    let inserted = bill.expect(1, "insert with a limit", store.insert(request)).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { ended } if ended.len() == 1), "it makes room");
    bill.expect(1, "get", store.get(digest, T0)).await.unwrap();
    bill.expect(1, "replace", change(store, filing, Version::FIRST)).await.unwrap();
    let (old, new, record) = (digest, next.digest, &next.record);
    let request = RekeyRequest { old, new, version: Version::from_u64(2), record, now: T0 };
    let rekeyed = bill.expect(1, "rotate and write", store.rekey(request)).await.unwrap();
    assert_eq!(rekeyed, Rekeyed::Done(Version::from_u64(3)));
}

/// What is about several sessions.
async fn many(bill: &Bill<'_>, store: &PostgresStore, twenty: &[Filing]) {
    let touches: Vec<Touch> =
        twenty.iter().map(|filing| Touch { digest: filing.digest, seen_at: at(5) }).collect();
    let touched = bill.expect(1, "touch of twenty", store.touch(&touches, at(5))).await.unwrap();
    assert_eq!(touched.touched, twenty.len());
    bill.expect(0, "touch of none", store.touch(&[], at(5))).await.unwrap();
    let query = ListQuery::new(ListFilter::default());
    bill.expect(1, "list", store.list(&query, T0)).await.unwrap();
    bill.expect(1, "count", store.count(T0)).await.unwrap();
    let export = ExportQuery::new(None, 1_000.try_into().unwrap());
    let mut page = bill.expect(2, "export of everything", store.export(&export, T0)).await.unwrap();
    let filed = page.items.pop().unwrap();
    bill.expect(1, "import", store.import(&filed, T0)).await.unwrap();
    let principal = Selector::Principal { principal: principal_id("twenty"), except: None };
    let ending = bill.expect(1, "end of a principal's twenty", end(store, &principal, at(6))).await.unwrap();
    assert_eq!(ending.ended.len(), twenty.len());
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
