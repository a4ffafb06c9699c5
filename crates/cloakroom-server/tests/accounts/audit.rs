//! The audit log in the databases on servers: the suite of every backend, several nodes at once, and violence.

use std::num::NonZeroU16;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cloakroom::Timestamp;
use cloakroom_audit::{
    Along, AuditStore, Batch, Draft, Order, Span, TrustedKeys, Verdict, Verified, Walk, WriterId, suite,
    verify,
};
use cloakroom_mysql::MysqlOptions;
use cloakroom_postgres::PostgresOptions;
use cloakroom_server::audit::{MysqlAudit, PostgresAudit};
use cloakroom_servers::{Look, until};

use crate::faults::Server;
use crate::places::{self, Kind};
use crate::runtime;

/// Runs a case of the audit log's own suite.
pub(crate) fn passes(kind: Kind, case: &suite::Case) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("audit_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let url = places::url(kind, &name);
    runtime().block_on(async {
        let store = open(kind, &url).await;
        (case.run)(store).await.unwrap();
    });
}

pub(crate) type Test = fn(Kind);

pub(crate) const ALL: &[(&str, Test)] = &[
    ("nodes_under_load_and_a_killed_database_leave_one_whole_chain", a_killed_database_leaves_a_whole_chain),
    ("a_node_killed_under_load_leaves_a_whole_chain", a_killed_node_leaves_a_whole_chain),
    ("every_walk_reads_a_stretch_of_one_index", every_walk_reads_a_stretch_of_one_index),
];

async fn open(kind: Kind, url: &str) -> Arc<dyn AuditStore> {
    match kind {
        Kind::Postgres => {
            Arc::new(PostgresAudit::connect(&PostgresOptions::from_url(url).unwrap()).await.unwrap())
        }
        Kind::Mysql => Arc::new(MysqlAudit::connect(&MysqlOptions::from_url(url).unwrap()).await.unwrap()),
        Kind::Sqlite => unreachable!("a file is on no server"),
    }
}

/// Appends batches until told to stop, each until it is acknowledged; how many events that were.
async fn keeps_appending(store: Arc<dyn AuditStore>, writer: u8, stop: Arc<AtomicBool>) -> u64 {
    let mut events = 0;
    for number in 1.. {
        let batch = Arc::new(batch(writer, number));
        while store.append(Arc::clone(&batch)).await.is_err() {
            // The database is away: the same batch again, which is appended once whatever became of the first one.
            tokio::task::yield_now().await;
        }
        events += u64::try_from(batch.drafts.len()).unwrap();
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    events
}

fn batch(writer: u8, number: u64) -> Batch {
    let at = Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(number));
    let drafts = (0..number % 7 + 1).map(|event| {
        Draft::new("session_created", at).with("writer", writer).with("batch", number).with("event", event)
    });
    Batch { writer: WriterId::from_random([writer; WriterId::LENGTH]), number, at, drafts: drafts.collect() }
}

fn a_killed_database_leaves_a_whole_chain(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let url = server.url("5s");
    let (stop, reader) = (Arc::new(AtomicBool::new(false)), runtime.block_on(open(kind, &url)));
    let nodes: Vec<_> = (1..=3)
        .map(|writer| {
            let store = runtime.block_on(open(kind, &url));
            runtime.spawn(keeps_appending(store, writer, Arc::clone(&stop)))
        })
        .collect();
    let mut more = 0;
    for _ in 0..2 {
        more += 30;
        grows_beyond(&runtime, &*reader, more);
        server.kill();
        server.restart();
        more = runtime.block_on(reader.head()).unwrap().seq;
    }
    grows_beyond(&runtime, &*reader, more + 30);
    stop.store(true, Ordering::SeqCst);
    let appended: u64 = nodes.into_iter().map(|node| runtime.block_on(node).unwrap()).sum();
    let verified = runtime.block_on(intact(&*reader));
    assert_eq!(verified.events, appended, "each batch is there once");
    let counts = runtime.block_on(reader.counts(Timestamp::EPOCH)).unwrap();
    assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), appended, "counts equal the log");
}

fn grows_beyond(runtime: &tokio::runtime::Runtime, store: &dyn AuditStore, seq: u64) {
    let look = || match runtime.block_on(store.head()) {
        Ok(head) if head.seq > seq => Look::Done(()),
        Ok(head) => Look::NotYet(format!("{head:?}")),
        Err(error) => Look::NotYet(error.to_string()),
    };
    until("the log grows", Duration::from_secs(60), look).unwrap();
}

async fn intact(store: &dyn AuditStore) -> Verified {
    match verify(store, &TrustedKeys::default(), None, |_| {}).await.unwrap() {
        Verdict::Intact(verified) => *verified,
        Verdict::Broken(broken) => panic!("{broken:?}"),
    }
}

/// Says to this very program that it is a node, to be killed.
pub(crate) const CHILD: &str = "a-node-to-be-killed";

/// Being that node: appends for as long as it lives.
pub(crate) fn child(mut words: impl Iterator<Item = String>) -> ExitCode {
    let (kind, url) = (words.next().unwrap(), words.next().unwrap());
    let kind = Kind::ON_SERVERS.into_iter().find(|known| known.name() == kind).unwrap();
    runtime().block_on(async {
        let store = open(kind, &url).await;
        keeps_appending(store, 9, Arc::new(AtomicBool::new(false))).await;
    });
    ExitCode::SUCCESS
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn a_killed_node_leaves_a_whole_chain(kind: Kind) {
    let url = places::url(kind, "audit_killed");
    let runtime = runtime();
    let (stop, other) = (Arc::new(AtomicBool::new(false)), runtime.block_on(open(kind, &url)));
    let appending = runtime.spawn(keeps_appending(Arc::clone(&other), 1, Arc::clone(&stop)));
    for _ in 0..3 {
        let before = runtime.block_on(other.head()).unwrap().seq;
        let mut node = Command::new(std::env::current_exe().unwrap());
        node.args([CHILD, kind.name(), &url]).stdin(Stdio::null());
        let node = Killed(node.spawn().unwrap());
        grows_beyond(&runtime, &*other, before + 60);
        drop(node);
    }
    // The other one goes on: whatever the dead one had begun is undone.
    let dead = runtime.block_on(other.head()).unwrap().seq;
    grows_beyond(&runtime, &*other, dead + 30);
    stop.store(true, Ordering::SeqCst);
    runtime.block_on(appending).unwrap();
    let verified = runtime.block_on(intact(&*other));
    let counts = runtime.block_on(other.counts(Timestamp::EPOCH)).unwrap();
    assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), verified.events, "counts equal the log");
}

/// A thousand events by one, and a few by another before them: a page of theirs looks at no row in vain, whatever the
/// server believes of a table that was never analysed. Counted by the server.
fn every_walk_reads_a_stretch_of_one_index(kind: Kind) {
    let server = Server::start(kind);
    let runtime = runtime();
    let url = server.url("30s");
    let store = runtime.block_on(open(kind, &url));
    let principal = |name: &str| Some(cloakroom::PrincipalId::new(name).unwrap());
    let at = Timestamp::from_millis(1_800_000_000_000);
    runtime.block_on(async {
        for (number, (name, times)) in (1..).zip([("rare", 5), ("frequent", 2_000)]) {
            let drafts =
                (0..times).map(|_| Draft::new("session_created", at).about(principal(name))).collect();
            let writer = WriterId::from_random([3; WriterId::LENGTH]);
            let batch = Batch { writer, number, at, drafts };
            store.append(Arc::new(batch)).await.unwrap();
        }
    });
    for (along, order, expected) in [
        (Along::Principal("rare".to_owned()), Order::LatestFirst, 5),
        (Along::Principal("rare".to_owned()), Order::OldestFirst, 5),
        (Along::Principal("frequent".to_owned()), Order::LatestFirst, 10),
        (Along::Event("session_created".to_owned()), Order::OldestFirst, 10),
        (Along::Log, Order::LatestFirst, 10),
    ] {
        let limit = NonZeroU16::new(10).unwrap();
        let walk = Walk { along: along.clone(), span: Span::ALL, order, limit };
        let before = server.rows_read();
        let rows = runtime.block_on(store.walk(walk)).unwrap();
        assert_eq!(u64::try_from(rows.len()), Ok(expected));
        // The row at which it stops may be looked at, too.
        let read = server.rows_read_since(before, expected);
        assert!(read <= expected + 2, "{along:?} {order:?}: {read} rows for {expected}");
    }
}
