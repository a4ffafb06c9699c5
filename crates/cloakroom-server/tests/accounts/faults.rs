//! A database that is killed, stopped, or not there: an outage is an outage, never an answer about a password.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::OsRandom;
use cloakroom_mysql::{MysqlOptions, MysqlPlan, MysqlPool};
use cloakroom_postgres::{PostgresOptions, PostgresPlan, PostgresPool};
use cloakroom_server::accounts::{
    self, AccountError, AccountErrorKind, AccountStore, Accounts, Guard, HashingLimits, NewAccount,
    NewPassword, PasswordSet, Remaining, Verdict,
};
use cloakroom_servers::{Look, Mariadb, Postgres, until};

use crate::cases::{GOOD, T0, changed, created, hash, key, new, secret};
use crate::places::{Kind, Place};
use crate::runtime;

type Test = fn(Kind);

pub(crate) const ALL: &[(&str, Test)] = &[
    (
        "an_outage_says_nothing_about_a_password_and_passes",
        an_outage_says_nothing_about_a_password_and_passes,
    ),
    (
        "a_database_that_says_nothing_is_waited_for_within_the_deadline",
        a_silent_one_is_waited_for_within_the_deadline,
    ),
    ("what_was_acknowledged_survives_the_end_of_the_database", what_was_acknowledged_survives),
    ("a_node_that_stops_in_the_middle_of_a_change_holds_nobody_up_for_long", a_stopped_node_holds_nobody_up),
    ("tables_of_a_later_version_are_left_alone", tables_of_a_later_version_are_left_alone),
    ("a_database_that_is_not_there_yet_is_worth_waiting_for", a_missing_one_is_worth_waiting_for),
];

/// A server of the test's own.
pub(crate) enum Server {
    Postgres(Postgres),
    Mysql(Mariadb),
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(Postgres::start().unwrap()),
            Kind::Mysql => Self::Mysql(Mariadb::start().unwrap()),
            Kind::Sqlite => unreachable!("a file is on no server"),
        }
    }

    pub(crate) fn url(&self, deadline: &str) -> String {
        let url = match self {
            Self::Postgres(server) => server.url(),
            Self::Mysql(server) => server.url(),
        };
        format!("{url}?deadline={deadline}")
    }

    fn place(&self, deadline: &str) -> Place {
        Place::at(&self.url(deadline))
    }

    /// How many rows of the log were looked at since the server began.
    pub(crate) fn rows_read(&self) -> u64 {
        let answer = match self {
            Self::Postgres(server) => server.sql("cloakroom", ROWS_READ_POSTGRES).unwrap(),
            Self::Mysql(server) => server.sql("cloakroom", ROWS_READ_MYSQL).unwrap(),
        };
        answer.trim().parse().unwrap()
    }

    /// The same since then, when the server has written down at least so many.
    pub(crate) fn rows_read_since(&self, before: u64, at_least: u64) -> u64 {
        let look = || match self.rows_read().saturating_sub(before) {
            read if read >= at_least => Look::Done(read),
            read => Look::NotYet(read.to_string()),
        };
        until("the server counts", Duration::from_secs(30), look).unwrap()
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::Mysql(server) => server.kill(),
        }
    }

    pub(crate) fn restart(&self) {
        match self {
            Self::Postgres(server) => server.restart().unwrap(),
            Self::Mysql(server) => server.restart().unwrap(),
        }
    }

    fn pause(&self) {
        match self {
            Self::Postgres(server) => server.pause(),
            Self::Mysql(server) => server.pause(),
        }
    }

    fn resume(&self) {
        match self {
            Self::Postgres(server) => server.resume(),
            Self::Mysql(server) => server.resume(),
        }
    }

    fn sql(&self, postgres: &str, mysql: &str) {
        match self {
            Self::Postgres(server) => server.sql("cloakroom", postgres).map(drop).unwrap(),
            Self::Mysql(server) => server.sql("cloakroom", mysql).map(drop).unwrap(),
        }
    }
}

fn accounts_in(store: Arc<dyn AccountStore>) -> Accounts {
    let limits = HashingLimits { parallel: 2, queued: 8 };
    Accounts::new(store, Arc::new(OsRandom), limits).unwrap()
}

async fn with_alice(store: Arc<dyn AccountStore>) -> Accounts {
    let accounts = accounts_in(store);
    let NewPassword::Accepted { hash, .. } = accounts.hash_new("alice", secret(GOOD)).await.unwrap() else {
        panic!("a good password is taken")
    };
    created(accounts.add(NewAccount { hash, ..new("alice") }, T0).await.unwrap());
    accounts
}

#[track_caller]
fn is_outage<T: std::fmt::Debug>(answer: Result<T, AccountError>) {
    let error = answer.expect_err("an outage is an error");
    assert_eq!(error.kind(), AccountErrorKind::Unavailable, "{error:?}");
    assert!(error.may_pass(), "{error:?}");
}

/// Every question and every change, right and wrong.
async fn all_are_outages(accounts: &Accounts) {
    for password in [GOOD, "a wrong one"] {
        for name in ["alice", "nobody"] {
            is_outage(accounts.verify(name, secret(password)).await);
        }
    }
    is_outage(accounts.get("alice").await);
    is_outage(accounts.count().await);
    is_outage(accounts.disable("alice", Remaining::Anybody, T0).await);
    is_outage(accounts.set_password("alice", hash(3), Guard::Epoch(1), T0).await);
    is_outage(accounts.begin_setup(T0).await);
    is_outage(accounts.add(new("bob"), T0).await);
}

fn an_outage_says_nothing_about_a_password_and_passes(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    // Who is killed refuses at once; who has just begun again takes its time.
    let accounts = runtime.block_on(async { with_alice(server.place(PATIENT).node().await).await });
    server.kill();
    runtime.block_on(all_are_outages(&accounts));
    server.restart();
    runtime.block_on(async {
        // At the first attempt: what had ended meanwhile is noticed before anything is asked on it.
        assert_eq!(accounts.verify("alice", secret("a wrong one")).await.unwrap(), Verdict::Refused);
        assert!(matches!(accounts.verify("alice", secret(GOOD)).await.unwrap(), Verdict::Verified(_)));
        changed(accounts.disable("alice", Remaining::Anybody, T0).await.unwrap());
        assert_eq!(accounts.count().await.unwrap(), 1, "nothing was done meanwhile");
    });
}

fn a_silent_one_is_waited_for_within_the_deadline(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let patient = runtime.block_on(async { with_alice(server.place(PATIENT).node().await).await });
    let accounts = runtime.block_on(async { accounts_in(server.place("1s").node().await) });
    server.pause();
    runtime.block_on(async {
        // Each has a deadline of a second; all of them together fit many times.
        tokio::time::timeout(Duration::from_secs(60), all_are_outages(&accounts)).await.unwrap();
    });
    server.resume();
    runtime.block_on(async {
        let deadline = Duration::from_secs(60);
        let verified = async {
            loop {
                match accounts.verify("alice", secret(GOOD)).await {
                    Ok(verdict) => break verdict,
                    Err(error) => assert_eq!(error.kind(), AccountErrorKind::Unavailable, "{error:?}"),
                }
            }
        };
        let verdict = tokio::time::timeout(deadline, verified).await.unwrap();
        // What was asked of the silent one may have been done after all, whole: then alice is disabled.
        let account = patient.get("alice").await.unwrap().unwrap();
        assert_eq!(
            matches!(verdict, Verdict::Verified(_)),
            account.is_enabled() && account.credential_epoch == 1
        );
    });
}

fn what_was_acknowledged_survives(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let store = runtime.block_on(async { server.place("20s").node().await });
    runtime.block_on(async { created(store.add(&new("alice"), T0).await.unwrap()) });
    let changing = runtime.spawn({
        let store = Arc::clone(&store);
        async move {
            let mut epoch = 1;
            loop {
                match store.set_password(&key("alice"), &hash(9), Guard::Epoch(epoch), T0).await {
                    Ok(PasswordSet::Changed(account)) => epoch = account.credential_epoch,
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => break (epoch, error.is_in_doubt()),
                }
            }
        }
    });
    runtime.block_on(async {
        let enough = async {
            while store.get(&key("alice")).await.unwrap().unwrap().account.credential_epoch < 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), enough).await.unwrap();
    });
    server.kill();
    server.restart();
    runtime.block_on(async {
        let (epoch, in_doubt) = changing.await.unwrap();
        let found = store.get(&key("alice")).await.unwrap().unwrap().account.credential_epoch;
        // The one that had no answer may be there.
        assert!(
            found == epoch || (in_doubt && found == epoch + 1),
            "{found} of {epoch}, in doubt: {in_doubt}"
        );
    });
}

/// Holds the lock that changes of administrators begin with, as a node does that stops at this moment.
fn a_stopped_node_holds_nobody_up(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let store = runtime.block_on(async {
        created(server.place(PATIENT).node().await.add(&new("alice"), T0).await.unwrap());
        server.place("1s").node().await
    });
    let disabled = || runtime.block_on(store.disable(&key("alice"), Remaining::Anybody, T0));
    let freed = || match disabled() {
        Ok(change) => {
            changed(change);
            Look::Done(())
        }
        Err(error) => {
            assert_eq!(error.kind(), AccountErrorKind::Unavailable, "{error:?}");
            Look::NotYet(error.to_string())
        }
    };
    match &server {
        Server::Postgres(server) => {
            let options = PostgresOptions::from_url(&format!("{}?deadline=1s", server.url())).unwrap();
            let _held = runtime.block_on(async {
                let pool = PostgresPool::connect(&options, &POSTGRES_PLAN).await.unwrap();
                let mut transaction = pool.begin().await.unwrap();
                transaction.ask("SELECT FROM cloakroom.account_setup FOR UPDATE", &[]).await.unwrap();
                transaction
            });
            until("the lock is free", Duration::from_secs(30), freed).unwrap();
        }
        Server::Mysql(server) => {
            let options = MysqlOptions::from_url(&format!("{}?deadline=1s", server.url())).unwrap();
            let _held = runtime.block_on(async {
                let pool = MysqlPool::connect(&options, &MYSQL_PLAN).await.unwrap();
                let mut transaction = pool.begin().await.unwrap();
                transaction.ask("SELECT 1 FROM account_setup FOR UPDATE", vec![]).await.unwrap();
                transaction
            });
            until("the lock is free", Duration::from_secs(30), freed).unwrap();
        }
    }
}

fn tables_of_a_later_version_are_left_alone(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let place = server.place(PATIENT);
    runtime.block_on(place.node());
    server.sql(
        "INSERT INTO cloakroom.account_version (version) VALUES (99)",
        "UPDATE account_version SET version = 99",
    );
    let error = runtime.block_on(accounts::open(place.config())).unwrap_err();
    assert_eq!(error.kind(), AccountErrorKind::Newer, "{error:?}");
    assert!(!error.may_pass());
}

fn a_missing_one_is_worth_waiting_for(kind: Kind) {
    let (server, runtime) = (Server::start(kind), runtime());
    let place = server.place("1s");
    server.kill();
    let error = runtime.block_on(accounts::open(place.config())).unwrap_err();
    assert_eq!(error.kind(), AccountErrorKind::Unavailable, "{error:?}");
    assert!(error.may_pass());
    server.restart();
    assert_eq!(runtime.block_on(async { server.place(PATIENT).node().await.count().await.unwrap() }), 0);
}

/// A deadline for what is not about deadlines.
const PATIENT: &str = "30s";

/// The tables are there already; these plans have none of their own.
const POSTGRES_PLAN: PostgresPlan = PostgresPlan { versions: "no_such_table", migrations: &[] };
static MYSQL_PLAN: MysqlPlan =
    MysqlPlan { stamp: "no_such_table", create_stamp: "", names: &[], migrations: &[] };
/// Through indexes and without.
const ROWS_READ_POSTGRES: &str = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables \
    WHERE relname = 'audit_event';";
/// Of every table, by every connection: nobody else asks meanwhile.
const ROWS_READ_MYSQL: &str = "SELECT CAST(SUM(variable_value) AS UNSIGNED) FROM information_schema.global_status \
    WHERE variable_name IN ('HANDLER_READ_KEY', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV', 'HANDLER_READ_FIRST', \
    'HANDLER_READ_LAST', 'HANDLER_READ_RND');";
