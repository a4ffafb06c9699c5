//! Every hot statement goes by an index, with a hundred thousand sessions, whether or not the server knows it yet.

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::Postgres;
use cloakroom_store::{
    InsertRequest, ListFilter, ListQuery, RekeyRequest, Selector, StateFilter, Store, SweepRequest, Touch,
    Version,
};

use crate::support::{change, end, file, open, runtime};

/// A hundred thousand live sessions of twenty thousand principals, ten thousand tombstones, ten thousand retired tokens;
/// nothing of it due.
const CROWD: &str = "
    INSERT INTO cloakroom.session (
        created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, due_at, version, generation, id, digest,
        principal, body, ended_at, end_reason
    )
    SELECT
        1700000000000 + n, 1800000000000, 1800000, 1900000000000, 86400000, 1850000000000 + n, 1, 0,
        substr(sha256(('id' || n)::bytea), 1, 16), sha256(n::text::bytea) || '\\x0000', 'p' || n % 20000,
        CASE WHEN n > 10000 THEN sha256(n::text::bytea) END, CASE WHEN n <= 10000 THEN 1800000000000 END,
        CASE WHEN n <= 10000 THEN 'signed_out' END
    FROM generate_series(1, 110000) AS n;
    INSERT INTO cloakroom.retired (rotated_at, keep_until, id, digest)
    SELECT 1800000000000, 1850000000000 + n, substr(sha256(n::text::bytea), 1, 16), sha256(('old' || n)::bytea) || '\\x0000'
    FROM generate_series(1, 10000) AS n;";

#[test]
fn no_hot_statement_reads_a_whole_table() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let explain = "
        ALTER ROLE cloakroom SET session_preload_libraries = 'auto_explain';
        ALTER ROLE cloakroom SET auto_explain.log_min_duration = 0;
        ALTER ROLE cloakroom SET auto_explain.log_nested_statements = on;";
    runtime().block_on(async {
        // The schema first: migrating reads whole catalogues, and nobody minds.
        drop(open(&server.url()).await);
        server.sql("postgres", explain).unwrap();
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        // Often enough for the server to settle on plans, while there is next to nothing to be read and it knows that.
        for knowledge in ["SELECT 1;", "ANALYZE;"] {
            server.sql("cloakroom", knowledge).unwrap();
            for _ in 0..8 {
                for verb in VERBS {
                    ask(&store, &mut fixtures, verb).await;
                }
            }
        }
        server.sql("cloakroom", CROWD).unwrap();
        for knowledge in ["SELECT 1;", "ANALYZE;"] {
            server.sql("cloakroom", knowledge).unwrap();
            for verb in VERBS {
                check(&server, &store, &mut fixtures, verb).await;
            }
        }
    });
}

/// Asks for `verb` and looks at the plans that the server wrote down for it.
async fn check(server: &Postgres, store: &PostgresStore, fixtures: &mut Fixtures, verb: &str) {
    let before = server.log().len();
    for _ in 0..7 {
        ask(store, fixtures, verb).await;
    }
    let log = server.log();
    let plans = log.get(before..).unwrap_or_default();
    assert!(plans.contains("Query Text:"), "{verb} has a plan");
    let lines: Vec<&str> = plans.lines().collect();
    for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
        let whole = ["Seq Scan on session", "Seq Scan on retired"].iter().any(|scan| line.contains(scan));
        assert!(!whole, "{verb}: {line}\n{plans}");
        // An index read from end to end is a table read from end to end; a page of a list stops by itself.
        let by_index = line.contains("Scan using session_") || line.contains("Scan using retired_");
        let narrow = next.contains("Index Cond:") || (verb.starts_with("list") && line.contains("Backward"));
        assert!(!by_index || narrow, "{verb}: {line}\n{next}\n{plans}");
    }
    let index = match verb {
        "get" | "touch" | "replace" | "rekey" => "session_digest_key",
        "insert" => "session_live_principal",
        "end one" | "end principal" => "session_pkey",
        "list" => "session_live",
        "list principal" => "session_live_principal",
        "list ended" => "session_ended",
        "sweep" => "session_due",
        other => panic!("{other} has an index"),
    };
    assert!(plans.contains(index), "{verb} goes by {index}: {plans}");
}

const VERBS: [&str; 11] = [
    "get",
    "touch",
    "replace",
    "rekey",
    "insert",
    "end one",
    "end principal",
    "list",
    "list principal",
    "list ended",
    "sweep",
];

async fn ask(store: &PostgresStore, fixtures: &mut Fixtures, verb: &str) {
    let filing = fixtures.signed_in("alice");
    let list = |conditions: fn(&mut ListFilter)| {
        let mut filter = ListFilter::default();
        conditions(&mut filter);
        ListQuery::new(filter)
    };
    match verb {
        "insert" => insert(store, &filing).await,
        "list" => drop(store.list(&list(|_| ()), T0).await.unwrap()),
        "list principal" => {
            let query = list(|filter| filter.principal = Some(principal_id("p77")));
            drop(store.list(&query, T0).await.unwrap());
        }
        "list ended" => {
            let query = list(|filter| filter.state = StateFilter::Ended);
            drop(store.list(&query, T0).await.unwrap());
        }
        "sweep" => {
            let request = SweepRequest { now: T0, limit: 100, lease: std::time::Duration::ZERO };
            store.sweep(request).await.unwrap();
        }
        _ => {
            file(store, &filing).await;
            one(store, fixtures, &filing, verb).await;
        }
    }
}

async fn one(store: &PostgresStore, fixtures: &mut Fixtures, filing: &Filing, verb: &str) {
    match verb {
        "get" => drop(store.get(filing.digest, T0).await.unwrap()),
        "touch" => {
            let touches = [Touch { digest: filing.digest, seen_at: at(1) }];
            assert_eq!(store.touch(&touches, at(1)).await.unwrap().touched, 1);
        }
        "replace" => drop(change(store, filing, Version::FIRST).await.unwrap()),
        "rekey" => {
            let next = filing.rotated(fixtures.next_digest(filing), T0);
            let (old, new, record) = (filing.digest, next.digest, &next.record);
            let request = RekeyRequest { old, new, version: Version::FIRST, record, now: T0 };
            store.rekey(request).await.unwrap();
        }
        "end one" => drop(end(store, &Selector::One(filing.id()), T0).await.unwrap()),
        "end principal" => {
            let selector = Selector::Principal { principal: principal_id("alice"), except: None };
            assert!(!end(store, &selector, T0).await.unwrap().ended.is_empty());
        }
        other => panic!("{other} is a verb"),
    }
}

async fn insert(store: &PostgresStore, filing: &Filing) {
    let limit = Some(SessionLimit { max: 2.try_into().unwrap(), on_limit: OnLimit::EndIdlest });
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit, replaces: None, now: T0 };
    store.insert(request).await.unwrap();
}
