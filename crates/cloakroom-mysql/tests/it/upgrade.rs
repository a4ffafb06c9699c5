//! A schema that becomes that of a next version, with people in it. There has been one version so far, so the next one is
//! made up here: it has one step of each kind that a migration can have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_conformance::{Ends, Fixtures, Residents, T0, at};
use cloakroom_mysql::{MysqlPlan, MysqlPool, MysqlRevocations, MysqlStep, MysqlStore};
use cloakroom_servers::Relay;
use cloakroom_store::{ErrorKind, Place, Reading, RevocationList, Selector, Store, Version};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{change, end, file, is_live, note, open, options, runtime, shared, through, whole};

/// What a version 2 of the tables of sessions could be: a column, filled for who is there; a table, likewise; and a verb that
/// does something else from now on, under another name.
pub(crate) static NEXT: MysqlPlan = MysqlPlan {
    stamp: "cloakroom_schema",
    create_stamp: include_str!("../../schema/version.sql"),
    names: &["session"],
    // The steps to version 1 were taken by whoever made the tables.
    migrations: &[&[], STEPS],
};

const STEPS: &[MysqlStep] = &[
    MysqlStep::procedure(
        "session_widen",
        "CREATE PROCEDURE session_widen()
         MODIFIES SQL DATA SQL SECURITY INVOKER
         BEGIN
             IF NOT EXISTS (
                 SELECT 1 FROM information_schema.columns
                 WHERE table_schema = DATABASE() AND table_name = 'session' AND column_name = 'colour'
             ) THEN
                 ALTER TABLE session ADD COLUMN colour VARCHAR(16) CHARACTER SET ascii NULL, ADD KEY session_colour (colour);
             END IF;
         END",
    ),
    MysqlStep::statement("CALL session_widen()"),
    MysqlStep::statement("UPDATE session SET colour = 'grey' WHERE colour IS NULL"),
    MysqlStep::statement(
        "CREATE TABLE IF NOT EXISTS keepsake (id BINARY(16) NOT NULL, PRIMARY KEY (id)) ENGINE = InnoDB",
    ),
    MysqlStep::statement("INSERT IGNORE INTO keepsake SELECT id FROM session WHERE buried = 0"),
    MysqlStep::procedure(
        "store_ping_2",
        "CREATE PROCEDURE store_ping_2()
         MODIFIES SQL DATA SQL SECURITY INVOKER
         BEGIN
             UPDATE counter SET value = value + 2 WHERE name = 'pings';
         END",
    ),
    MysqlStep::statement("DROP PROCEDURE IF EXISTS session_widen"),
];

/// What the steps leave behind.
fn is_of_the_next_version(database: &str) {
    let sql = "SELECT version, step FROM cloakroom_schema;
               SELECT COUNT(*) FROM session WHERE colour IS NULL;
               SELECT COUNT(*) FROM keepsake LEFT JOIN session USING (id) WHERE session.id IS NULL;
               SELECT routine_name FROM information_schema.routines
               WHERE routine_schema = DATABASE() AND routine_name IN ('session_widen', 'store_ping_2')";
    let found = shared().sql(database, sql).unwrap();
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["2", "0", "0", "0", "store_ping_2"]);
}

async fn list(url: &str) -> MysqlRevocations {
    MysqlRevocations::connect(options(url)).await.unwrap()
}

/// Several servers of the next version that start at once.
async fn start_at_once(url: &str) {
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let options = options(url);
        nodes.spawn(async move { MysqlPool::connect(&options, &NEXT).await.map(drop) });
    }
    for started in nodes.join_all().await {
        started.unwrap();
    }
}

#[test]
fn who_was_filed_before_an_upgrade_lives_or_has_ended_as_before() {
    let url = shared().database("inhabited").unwrap();
    runtime().block_on(async {
        let old: Arc<dyn Store> = open(&url).await;
        let residents = Residents::move_in(&old).await;
        let ends = Ends::new(1).of_every_kind();
        list(&url).await.add(&ends).await.unwrap();
        start_at_once(&url).await;
        is_of_the_next_version("inhabited");
        // Five live sessions and one that everything's end covers were there to be kept.
        assert_eq!(shared().sql("inhabited", "SELECT COUNT(*) FROM keepsake").unwrap().trim(), "5");
        residents.are_as_they_were(&old).await;
        residents.go_on(&old).await;
        let Reading::Entries { entries, more: false } =
            list(&url).await.read(Place::START, 100).await.unwrap()
        else {
            panic!("a short list is one page")
        };
        assert_eq!(entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), ends);
    });
}

/// What the book promises of servers that are replaced one after the other.
#[test]
fn a_server_of_the_version_before_goes_on_while_others_migrate_and_cannot_start_afterwards() {
    let url = shared().database("rolling").unwrap();
    runtime().block_on(async {
        let old = open(&url).await;
        let stopped = Arc::new(AtomicBool::new(false));
        let (rounds, mut counted) = watch::channel(0);
        let work = tokio::spawn(works_on(Arc::clone(&old), rounds, Arc::clone(&stopped)));
        counted.wait_for(|rounds| *rounds >= 5).await.unwrap();
        start_at_once(&url).await;
        let by_now = *counted.borrow();
        counted.wait_for(|rounds| *rounds >= by_now + 5).await.unwrap();
        stopped.store(true, Ordering::SeqCst);
        work.await.expect("the old server was never refused");
        let error = MysqlStore::connect(options(&url)).await.unwrap_err();
        assert!(
            whole(&error).contains("schema 2") && whole(&error).contains("schema 1"),
            "{}",
            whole(&error)
        );
    });
}

/// Signs people in and out until it is told to stop; none of its calls may fail.
async fn works_on(store: Arc<MysqlStore>, rounds: watch::Sender<u32>, stopped: Arc<AtomicBool>) {
    let mut fixtures = Fixtures::new(7);
    while !stopped.load(Ordering::SeqCst) {
        let filing = fixtures.signed_in("alice");
        file(&store, &filing).await;
        assert!(is_live(&store, &filing).await);
        change(&store, &filing, Version::FIRST).await.unwrap();
        assert_eq!(note(&store, std::slice::from_ref(&filing), at(1)).await.unwrap().touched, 1);
        let ending = end(&store, &Selector::One(filing.id()), T0).await.unwrap();
        assert_eq!(ending.ended.len(), 1);
        rounds.send_modify(|rounds| *rounds += 1);
    }
}

/// The link is cut after ever more of the server's answers: between any two steps, and between a step and the note of it.
#[test]
fn an_upgrade_that_was_interrupted_anywhere_goes_on_where_it_stopped_and_loses_nobody() {
    let server = shared();
    let relay = Relay::to(server.port()).unwrap();
    runtime().block_on(async {
        let mut interruptions = 0;
        for stride in [5, 23] {
            let name = format!("inhabited_pieces_{stride}");
            let direct = server.database(&name).unwrap();
            let old: Arc<dyn Store> = open(&direct).await;
            let residents = Residents::move_in(&old).await;
            let options = options(&through(&direct, server.port(), relay.port()));
            let mut bytes = 0;
            // Each attempt gets a little further than the one before.
            let pool = loop {
                relay.cut_replies_after(bytes);
                match MysqlPool::connect(&options, &NEXT).await {
                    Ok(pool) => break pool,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                }
                residents.are_as_they_were(&old).await;
                interruptions += 1;
                bytes += stride;
            };
            is_of_the_next_version(&name);
            residents.go_on(&old).await;
            // The order to cut, if it is still out, is used up.
            while relay.will_cut() {
                let _ = pool.read("SELECT 1", Vec::new()).await;
            }
        }
        assert!(interruptions > 30, "{interruptions}");
    });
}
