//! The list of ends, in tables beside those of sessions or alone.

use cloakroom_core::Timestamp;
use cloakroom_store::{
    ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, StoreError, StoreFuture,
    Verb,
};

use crate::NAME;
use crate::connect;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::facts::{Facts, MysqlFacts};
use crate::options::MysqlOptions;
use crate::schema;
use crate::verb::{ForgetRevoked, PingList, Revoke, Revoked};

/// A [`RevocationList`] in a database of MySQL or MariaDB: alone, or beside the sessions of the same database, whose tables
/// it does not need.
///
/// # What it keeps
/// - What was acknowledged is committed; with `innodb_flush_log_at_trx_commit = 1` it is on the disk. A fail-over to a replica
///   that had not received it loses it; nodes then find their place [lost](Reading::Lost), or their own entry missing, and
///   offer it again.
/// - Whoever adds has the one row of `revocation_head` locked until the commit: entries become visible in the order of their
///   numbers. Adds of all nodes take turns, one commit each; a deadlock is tried again.
/// - Reads go where writes go: a server that accepts no changes, and so may be a replica, answers
///   [`ReadOnly`](cloakroom_store::ErrorKind::ReadOnly), and its connection is closed. Members of a cluster that all accept
///   changes (Galera, group replication) each answer what has arrived there: set `wsrep_sync_wait = 1`, or
///   `group_replication_consistency = AFTER`.
/// - Everything answers within the deadline of the options, and connections heal by themselves.
///
/// It does not tell: the server has no way to. Nodes learn of each other's ends when they read in turn.
///
/// # Cost
/// One statement each.
///
/// # Seen from outside
/// ```text
/// mysql> SELECT kind, subject, `at`, `until`, reason FROM revoked;
/// | principal | alice | 2026-03-01 09:30:00.000 | 2026-03-31 09:30:00.000 | password_changed |
/// ```
///
/// Share it behind an [`Arc`](std::sync::Arc). It belongs to the runtime it was connected in.
#[derive(Debug)]
pub struct MysqlRevocations {
    database: Database,
}

impl MysqlRevocations {
    /// Connects, and brings the tables of the list up to date unless that is switched off: of several nodes that start at
    /// once one does it, and the others wait for it. A migration that was interrupted goes on at the next start.
    ///
    /// # Errors
    /// As [`MysqlStore::connect`](crate::MysqlStore::connect).
    ///
    /// # Cost
    /// One statement where the tables are up to date.
    pub async fn connect(options: MysqlOptions) -> Result<Self, StoreError> {
        let unusable = |problem: Problem| problem.into_error(Verb::Open, Sent::Nothing);
        let opts = connect::for_verbs(&options).map_err(unusable)?;
        let patient = connect::for_migrations(&options).map_err(unusable)?;
        let database = Database::new(opts, &options);
        let prepared = schema::bring_up_to_date(&database, &options, patient, &schema::REVOCATIONS).await;
        prepared.map_err(|(problem, sent)| problem.into_error(Verb::Open, sent))?;
        Ok(Self { database })
    }

    /// What the server says of itself, for whoever has to judge whether ends are safe there:
    /// [`warnings_of_list`](MysqlFacts::warnings_of_list).
    ///
    /// # Errors
    /// As every verb; nothing has changed.
    ///
    /// # Cost
    /// One statement.
    pub async fn facts(&self) -> Result<MysqlFacts, StoreError> {
        self.database.perform(Facts::OF_LIST).await
    }
}

impl RevocationList for MysqlRevocations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: true, shared: true, tells: false }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if entries.is_empty() {
            return StoreFuture::ready(Ok(()));
        }
        StoreFuture::waiting(async {
            let work = if entries.len() > MOST_ENTRIES {
                Err(Problem::Misuse("more entries than may be added at once"))
            } else {
                Revoke::new(entries)
            };
            let work = work.map_err(|problem| problem.into_error(Verb::End, Sent::Nothing))?;
            self.database.perform(work).await
        })
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let limit = limit.clamp(1, MOST_ENTRIES);
        StoreFuture::waiting(self.database.perform(Revoked { place, limit }))
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        let limit = limit.clamp(1, MOST_ENTRIES);
        StoreFuture::waiting(self.database.perform(ForgetRevoked { now, limit }))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        StoreFuture::waiting(std::future::pending())
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(self.database.perform(PingList))
    }
}
