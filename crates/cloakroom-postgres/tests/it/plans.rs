//! Every hot statement goes by an index, with a hundred thousand sessions, whether or not the server knows it yet.

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_postgres::PostgresStore;
use cloakroom_servers::Postgres;
use cloakroom_store::{
    InsertRequest, ListFilter, ListOrder, ListQuery, RekeyRequest, Selector, StateFilter, Store,
    SweepRequest, Touch, Version,
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
            let query = list(|filter| filter.principal = Some(principal_id("p7")));
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

/// As many sessions as wanted, twenty of each principal: one in ten has ended, and nothing is due.
const POPULATION: &str = "
    INSERT INTO cloakroom.session (
        created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, due_at, version, generation, id, digest,
        principal, ip, body, ended_at, end_reason
    )
    SELECT
        1700000000000 + n, 1800000000000, 1800000, 1900000000000, 86400000, 1850000000000 + n, 1, 0,
        substr(sha256(('id' || n)::bytea), 1, 16), sha256(n::text::bytea) || '\\x0000', 'p' || n / 20,
        CASE WHEN n % 10 > 0 THEN '10.0.0.0'::inet + n / 20 END, CASE WHEN n % 10 > 0 THEN pattern.body END,
        CASE WHEN n % 10 = 0 THEN 1800000000000 END, CASE WHEN n % 10 = 0 THEN 'signed_out' END
    FROM generate_series(1, {size}) AS n, cloakroom.session AS pattern;
    DELETE FROM cloakroom.session WHERE principal = 'pattern';
    INSERT INTO cloakroom.retired (rotated_at, keep_until, id, digest)
    SELECT 1800000000000, 1850000000000 + n, substr(sha256(n::text::bytea), 1, 16), sha256(('old' || n)::bytea) || '\\x0000'
    FROM generate_series(1, {size}) AS n;
    ANALYZE;";

/// What a verb costs does not grow with the number of sessions: not the time, which depends on what is in memory, but the
/// rows that are fetched for it.
#[test]
fn every_verb_fetches_as_many_rows_among_a_hundred_thousand_as_among_a_thousand() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    runtime().block_on(async {
        let few = rows_of_each_verb(&server, "few", 1_000).await;
        let many = rows_of_each_verb(&server, "many", 100_000).await;
        assert_eq!(few, many);
        let page = many.iter().find(|(verb, _)| *verb == "list").map(|(_, rows)| *rows);
        assert!(page > Some(50) && many.iter().all(|(_, rows)| *rows <= 60), "{many:?}");
    });
}

async fn rows_of_each_verb(server: &Postgres, database: &str, size: u32) -> Vec<(&'static str, u64)> {
    let url = server.database(database).unwrap();
    file(&*open(&url).await, &Fixtures::new(77).signed_in("pattern")).await;
    server.sql(database, &POPULATION.replace("{size}", &size.to_string())).unwrap();
    let explain = format!(
        "ALTER ROLE cloakroom IN DATABASE {database} SET session_preload_libraries = 'auto_explain';
         ALTER ROLE cloakroom IN DATABASE {database} SET auto_explain.log_min_duration = 0;
         ALTER ROLE cloakroom IN DATABASE {database} SET auto_explain.log_analyze = on;
         ALTER ROLE cloakroom IN DATABASE {database} SET auto_explain.log_timing = off;
         ALTER ROLE cloakroom IN DATABASE {database} SET auto_explain.log_nested_statements = on;"
    );
    server.sql("postgres", &explain).unwrap();
    let (store, mut fixtures) = (open(&url).await, Fixtures::new(1));
    let mut all = Vec::new();
    for verb in VERBS {
        let before = server.log().len();
        ask(&store, &mut fixtures, verb).await;
        let log = server.log();
        all.push((verb, rows_touched(log.get(before..).unwrap_or_default())));
    }
    for _ in 0..3 {
        file(&store, &fixtures.signed_in("bob")).await;
    }
    let before = server.log().len();
    let round = SweepRequest { now: at(10_000), limit: 100, lease: std::time::Duration::ZERO };
    assert_eq!(store.sweep(round).await.unwrap().ended.len(), 3);
    all.push(("sweep of three", rows_touched(server.log().get(before..).unwrap_or_default())));
    all
}

/// Rows that the plans in a piece of the log fetched of tables, by the server's own count.
fn rows_touched(log: &str) -> u64 {
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
    let after = |text: &str, what: &str| text.split_once(what).and_then(|(_, rest)| number(rest));
    let (mut touched, mut loops, mut is_of_table) = (0, 1, false);
    for line in log.lines() {
        if let Some((node, actual)) = line.split_once("(actual ") {
            loops = after(actual, "loops=").unwrap_or(1);
            is_of_table = node.contains("Scan") && node.contains(" on session");
            // What a bitmap finds is fetched by the scan above it.
            if is_of_table && !node.contains("Bitmap Index Scan") {
                touched += after(actual, "rows=").unwrap_or(0) * loops;
            }
        }
        let removed = after(line, "Rows Removed by Filter: ")
            .or_else(|| after(line, "Rows Removed by Index Recheck: "));
        if is_of_table {
            touched += removed.unwrap_or(0) * loops;
        }
    }
    touched
}

#[test]
fn no_page_of_a_list_makes_the_server_read_more_rows_than_its_bound() {
    let server = Postgres::start_with(&["-c", "autovacuum=off"]).unwrap();
    let explain = "
        ALTER ROLE cloakroom SET session_preload_libraries = 'auto_explain';
        ALTER ROLE cloakroom SET auto_explain.log_min_duration = 0;
        ALTER ROLE cloakroom SET auto_explain.log_analyze = on;
        ALTER ROLE cloakroom SET auto_explain.log_timing = off;";
    runtime().block_on(async {
        drop(open(&server.url()).await);
        server.sql("cloakroom", CROWD).unwrap();
        server.sql("cloakroom", "UPDATE cloakroom.session SET ip = '192.0.2.1' WHERE due_at % 5 = 0 AND body IS NOT NULL; ANALYZE;").unwrap();
        server.sql("postgres", explain).unwrap();
        let store = open(&server.url()).await;
        let list = |conditions: fn(&mut ListFilter)| {
            let mut filter = ListFilter::default();
            conditions(&mut filter);
            filter
        };
        let filters = [
            list(|_| ()),
            list(|filter| filter.state = StateFilter::Any),
            list(|filter| filter.state = StateFilter::Ended),
            list(|filter| filter.principal = Some(principal_id("p77"))),
            list(|filter| filter.ip = Some([192, 0, 2, 1].into())),
            list(|filter| filter.ip = Some([192, 0, 2, 99].into())),
            // Few have such a name, many have, nobody has.
            list(|filter| filter.principal_prefix = Some(principal_id("p777"))),
            list(|filter| filter.principal_prefix = Some(principal_id("p"))),
            list(|filter| (filter.principal_prefix, filter.ip) = (Some(principal_id("q")), Some([192, 0, 2, 1].into()))),
            list(|filter| (filter.principal_prefix, filter.state) = (Some(principal_id("p1")), StateFilter::Ended)),
        ];
        for (filter, order) in filters.into_iter().flat_map(|filter| {
            [ListOrder::NewestFirst, ListOrder::OldestFirst].map(|order| (filter.clone(), order))
        }) {
            let before = server.log().len();
            // What is planned the first time is remembered the next time.
            let query = ListQuery::new(filter).ordered(order);
            let page = store.list(&query, T0).await.unwrap();
            let log = server.log();
            let plans = log.get(before..).unwrap_or_default();
            assert!(plans.contains("(actual "), "a page has a plan: {plans}");
            let touched = rows_touched(plans);
            assert!(touched <= u64::from(ListQuery::MOST_READ), "{touched} rows: {query:?}\n{plans}");
            assert!(touched <= page.read + 4, "{touched} rows, {} told of: {query:?}\n{plans}", page.read);
            assert!(page.items.is_empty() || touched > 0, "the plans are read rightly:\n{plans}");
        }
    });
}
