//! Schemas of earlier versions with people in them: each becomes today's, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_conformance::{Ends, Fixtures, Residents, T0, at};
use cloakroom_postgres::{PostgresRevocations, PostgresStore};
use cloakroom_servers::Postgres;
use cloakroom_store::{Place, Reading, RevocationEntry, RevocationList, Selector, Store, Touch, Version};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::locks::operator;
use crate::support::{change, end, file, is_live, open, options, runtime, shared};

/// The files of all versions.
const FILES: [&str; 4] = [
    include_str!("../../schema/001_tables.sql"),
    include_str!("../../schema/002_verbs.sql"),
    include_str!("../../schema/003_changes.sql"),
    include_str!("../../schema/004_lists.sql"),
];
const LIST: &str = include_str!("../../schema/revocations_001.sql");

/// A database with the schema of this version, and with the list of ends beside it; its URL.
fn database_of(version: usize, name: &str) -> String {
    let url = shared().database(name).unwrap();
    let files: String = FILES.iter().take(version).copied().collect();
    let sql = format!("SET ROLE cloakroom; BEGIN; CREATE SCHEMA cloakroom; {files} {LIST} COMMIT;");
    shared().sql(name, &sql).unwrap();
    url
}

/// A server of the version of that database: today's, which is told that the tables are its own. What it asks there is what
/// was asked then, but for sweeps, which forget news since version 3.
async fn server_of(version: usize, name: &str, url: &str) -> Arc<PostgresStore> {
    let later = version + 1;
    let claim = format!(
        "SET ROLE cloakroom; INSERT INTO cloakroom.schema_version (version) SELECT generate_series({later}, {});",
        FILES.len()
    );
    shared().sql(name, &claim).unwrap();
    let store = open(url).await;
    let truth = format!("DELETE FROM cloakroom.schema_version WHERE version > {version};");
    shared().sql(name, &truth).unwrap();
    store
}

/// Statements that file in another database what is in this one.
fn rows_of(server: &Postgres, database: &str) -> String {
    let mut all = String::from("DELETE FROM cloakroom.generation;\n");
    for table in ["session", "retired", "epoch", "generation"] {
        let columns = format!(
            "SELECT string_agg(column_name, ', ') FROM information_schema.columns
             WHERE table_schema = 'cloakroom' AND table_name = '{table}' AND is_generated = 'NEVER';"
        );
        let columns = server.sql(database, &columns).unwrap();
        let columns = columns.trim();
        let rows = format!(
            "SELECT format('INSERT INTO cloakroom.{table} ({columns})
                SELECT {columns} FROM json_populate_record(NULL::cloakroom.{table}, %L);', row_to_json(one))
             FROM cloakroom.{table} AS one;"
        );
        all += &server.sql(database, &rows).unwrap();
    }
    all
}

async fn list(url: &str) -> PostgresRevocations {
    PostgresRevocations::connect(options(url)).await.unwrap()
}

async fn entries(list: &PostgresRevocations) -> Vec<RevocationEntry> {
    let Reading::Entries { entries, more: false } = list.read(Place::START, 100).await.unwrap() else {
        panic!("a short list is one page")
    };
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Several servers that start at once.
async fn start_at_once(url: &str) -> Vec<Arc<PostgresStore>> {
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let url = url.to_owned();
        nodes.spawn(async move { open(&url).await });
    }
    nodes.join_all().await
}

fn is_of_today(name: &str) {
    let versions = "SELECT string_agg(version::text, ',' ORDER BY version) FROM cloakroom.schema_version;";
    assert_eq!(shared().sql(name, versions).unwrap().trim(), "1,2,3,4", "{name}");
}

/// No server ever ran on the tables of version 1 alone: what was filed elsewhere is put there by hand.
#[test]
fn who_was_filed_before_an_upgrade_lives_or_has_ended_as_before_from_every_version() {
    runtime().block_on(async {
        for version in 1..FILES.len() {
            let name = format!("inhabited_{version}");
            let url = database_of(version, &name);
            let residents = if version == 1 {
                let elsewhere = shared().database("inhabited_elsewhere").unwrap();
                let store: Arc<dyn Store> = open(&elsewhere).await;
                let residents = Residents::move_in(&store).await;
                shared().sql(&name, &rows_of(shared(), "inhabited_elsewhere")).unwrap();
                residents
            } else {
                let old: Arc<dyn Store> = server_of(version, &name, &url).await;
                Residents::move_in(&old).await
            };
            let ends = Ends::new(1).of_every_kind();
            list(&url).await.add(&ends).await.unwrap();
            for node in start_at_once(&url).await {
                let node: Arc<dyn Store> = node;
                residents.are_as_they_were(&node).await;
            }
            is_of_today(&name);
            let node: Arc<dyn Store> = open(&url).await;
            residents.go_on(&node).await;
            assert_eq!(entries(&list(&url).await).await, ends, "from version {version}");
        }
    });
}

/// What the book promises of servers that are replaced one after the other.
#[test]
fn a_server_of_the_version_before_goes_on_while_others_migrate_and_afterwards() {
    runtime().block_on(async {
        for version in 2..FILES.len() {
            let name = format!("rolling_{version}");
            let url = database_of(version, &name);
            let old = server_of(version, &name, &url).await;
            let stopped = Arc::new(AtomicBool::new(false));
            let (rounds, mut counted) = watch::channel(0);
            let work = tokio::spawn(works_on(Arc::clone(&old), rounds, Arc::clone(&stopped)));
            counted.wait_for(|rounds| *rounds >= 5).await.unwrap();
            let nodes = start_at_once(&url).await;
            is_of_today(&name);
            let by_now = *counted.borrow();
            counted.wait_for(|rounds| *rounds >= by_now + 5).await.unwrap();
            stopped.store(true, Ordering::SeqCst);
            work.await.expect("the old server was never refused");
            // Each sees what the other one does.
            let mut fixtures = Fixtures::new(99);
            let node = nodes.first().unwrap();
            let [one, other] = std::array::from_fn(|_| fixtures.signed_in("both"));
            file(&old, &one).await;
            file(node, &other).await;
            assert!(is_live(node, &one).await && is_live(&old, &other).await);
            end(node, &Selector::One(one.id()), at(1)).await.unwrap();
            end(&old, &Selector::One(other.id()), at(1)).await.unwrap();
            assert!(!is_live(&old, &one).await && !is_live(node, &other).await);
        }
    });
}

/// Somebody has a transaction open, so that the index takes as long as that: nobody else waits for either.
#[test]
fn people_sign_in_and_out_for_as_long_as_an_index_takes_and_a_node_that_dies_over_it_is_no_harm() {
    runtime().block_on(async {
        let url = database_of(3, "indexed");
        let old = server_of(3, "indexed", &url).await;
        let mut fixtures = Fixtures::new(8);
        let held = fixtures.signed_in("bob");
        file(&old, &held).await;
        let (operator, watcher) = (operator(&url).await, operator(&url).await);
        let hold = "BEGIN; UPDATE cloakroom.session SET device = 'held' WHERE principal = 'bob'";
        operator.batch_execute(hold).await.unwrap();
        // The first one dies while it builds; what it began goes on in the server, or is given up there.
        let dies = tokio::spawn({
            let url = url.clone();
            async move { open(&url).await }
        });
        builds(&watcher).await;
        dies.abort();
        let nodes = tokio::spawn({
            let url = url.clone();
            async move { start_at_once(&url).await }
        });
        let stopped = Arc::new(AtomicBool::new(false));
        let (rounds, mut counted) = watch::channel(0);
        let work = tokio::spawn(works_on(Arc::clone(&old), rounds, Arc::clone(&stopped)));
        counted.wait_for(|rounds| *rounds >= 5).await.expect("nobody waits for an index");
        assert!(!nodes.is_finished());
        operator.batch_execute("ROLLBACK").await.unwrap();
        for node in nodes.await.unwrap() {
            assert!(is_live(&node, &held).await);
        }
        stopped.store(true, Ordering::SeqCst);
        work.await.expect("the old server was never refused");
        is_of_today("indexed");
        assert!(is_index_complete(&watcher).await);
    });
}

#[test]
fn what_is_left_of_an_index_whose_build_was_broken_off_is_built_anew() {
    runtime().block_on(async {
        let url = database_of(3, "halfway");
        let operator = operator(&url).await;
        let half = "CREATE INDEX session_ip ON cloakroom.session (ip);
            UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cloakroom.session_ip'::regclass";
        operator.batch_execute(half).await.unwrap();
        start_at_once(&url).await;
        is_of_today("halfway");
        assert!(is_index_complete(&operator).await);
        let columns =
            "SELECT indnatts::integer FROM pg_index WHERE indexrelid = 'cloakroom.session_ip'::regclass";
        assert_eq!(operator.query_one(columns, &[]).await.unwrap().get::<_, i32>(0), 3, "it is the new one");
    });
}

/// Waits until somebody builds the index.
async fn builds(watcher: &tokio_postgres::Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%CREATE INDEX%session_ip%'";
    let begun = async {
        while watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), begun).await.expect("an index is built");
}

async fn is_index_complete(watcher: &tokio_postgres::Client) -> bool {
    let sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'cloakroom.session_ip'::regclass";
    watcher.query_one(sql, &[]).await.unwrap().get(0)
}

/// Signs people in and out until it is told to stop; none of its calls may fail.
async fn works_on(store: Arc<PostgresStore>, rounds: watch::Sender<u32>, stopped: Arc<AtomicBool>) {
    let mut fixtures = Fixtures::new(7);
    while !stopped.load(Ordering::SeqCst) {
        let filing = fixtures.signed_in("alice");
        file(&store, &filing).await;
        assert!(is_live(&store, &filing).await);
        change(&store, &filing, Version::FIRST).await.unwrap();
        let touch = Touch { digest: filing.digest, seen_at: at(1) };
        assert_eq!(store.touch(&[touch], at(1)).await.unwrap().touched, 1);
        let ending = end(&store, &Selector::One(filing.id()), T0).await.unwrap();
        assert_eq!(ending.ended.len(), 1);
        rounds.send_modify(|rounds| *rounds += 1);
    }
}
