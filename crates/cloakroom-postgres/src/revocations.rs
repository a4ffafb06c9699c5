//! The list of ends, in tables beside those of sessions or alone.

use cloakroom_core::Timestamp;
use cloakroom_store::{
    Applied, ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, StoreError,
    StoreFuture, Verb, decode_entry, encode_entry,
};
use tokio_postgres::Row;

use crate::NAME;
use crate::beside::{PostgresError, PostgresPool};
use crate::connect::Connector;
use crate::database::Parameters;
use crate::ears::Ears;
use crate::error::{Problem, Sent};
use crate::facts::{self, PostgresFacts, Way};
use crate::map::{column, instant};
use crate::options::PostgresOptions;
use crate::schema::PostgresPlan;

/// A [`RevocationList`] in a PostgreSQL database: alone, or beside the sessions of the same schema, whose tables it does not
/// need.
///
/// # What it keeps
/// - What was acknowledged is committed with `synchronous_commit=on`. A fail-over to an asynchronous standby can lose the last
///   moment; nodes then find their place [lost](Reading::Lost), or their own entry missing, and offer it again.
/// - Whoever adds has the one row of `revocation_head` locked until the commit: entries become visible in the order of their
///   numbers. Adds of all nodes take turns, one commit each.
/// - Reads go where writes go: a server that takes no changes, as a standby, which may be behind, is
///   [`ReadOnly`](cloakroom_store::ErrorKind::ReadOnly), and its connection is given up for one to the next host.
/// - Everything answers within the deadline of the options, and connections heal by themselves.
///
/// Nodes tell each other by `NOTIFY` after the commit, on a connection of its own for whoever waits; not behind a pooler in
/// transaction mode, where nobody can listen.
///
/// # Cost
/// One statement each. An add has one more behind it, which nobody waits for: the hint, one for all adds of 5 ms.
///
/// # Seen from outside
/// ```text
/// cloakroom=> SELECT kind, subject, at, until, reason FROM cloakroom.revoked;
///  principal | alice | 2026-03-01 09:30:00+00 | 2026-03-31 09:30:00+00 | password_changed
/// ```
///
/// Share it behind an [`Arc`](std::sync::Arc). Has to be used inside a Tokio runtime with time and I/O.
#[derive(Debug)]
pub struct PostgresRevocations {
    pool: PostgresPool,
    ears: Ears,
    way: Way,
}

impl PostgresRevocations {
    /// Connects once, and brings the tables of the list up to date: of several nodes that start at once one does it, and the
    /// others wait for it.
    ///
    /// # Errors
    /// As [`PostgresStore::connect`](crate::PostgresStore::connect); nothing has changed then.
    ///
    /// # Cost
    /// One connection and three statements where the tables are up to date.
    pub async fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let pool = PostgresPool::connect(&options, &PLAN).await.map_err(|error| failed(error, Verb::Open))?;
        let connector =
            Connector::new(&options).map_err(|problem| problem.into_error(Verb::Open, Sent::Nothing))?;
        Ok(Self { ears: Ears::new(&options, connector, pool.clone()), way: Way::of(&options), pool })
    }

    /// What the server says of itself and of these connections, for whoever has to judge whether ends are safe there:
    /// [`warnings_of_list`](PostgresFacts::warnings_of_list).
    ///
    /// # Errors
    /// As every verb; nothing has changed.
    ///
    /// # Cost
    /// One statement.
    pub async fn facts(&self) -> Result<PostgresFacts, StoreError> {
        let rows =
            self.pool.read(facts::ASK_OF_LIST, &[]).await.map_err(|error| failed(error, Verb::Ping))?;
        let facts = rows.first().ok_or(Problem::Column("fact")).and_then(|row| facts::answer(row, self.way));
        facts.map_err(|problem| problem.into_error(Verb::Ping, Sent::Reading))
    }

    async fn write<T>(
        &self,
        verb: Verb,
        sql: &str,
        parameters: Parameters<'_>,
        answer: impl FnOnce(&Row) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        let rows = self.pool.write(sql, parameters).await.map_err(|error| failed(error, verb))?;
        let answer = rows.first().ok_or(Problem::Headless).and_then(answer);
        answer.map_err(|problem| problem.into_error(verb, Sent::Nothing))
    }

    async fn write_entries(&self, entries: &[RevocationEntry]) -> Result<(), StoreError> {
        let misuse = |problem: Problem| problem.into_error(Verb::End, Sent::Nothing);
        if entries.len() > MOST_ENTRIES {
            return Err(misuse(Problem::Misuse("more entries than may be added at once")));
        }
        let rows = EntryRows::new(entries).map_err(misuse)?;
        // Also where it fails, or where nobody waits for it any more: it may have been added.
        let _hint = self.ears.hint_in_the_end();
        let number = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        self.write(Verb::End, ADD, &rows.parameters(&number), |row| {
            let filed: i64 = column(row, 0, "count")?;
            // The whole statement is one: where the head is gone nothing was filed.
            if filed == number { Ok(()) } else { Err(Problem::Headless) }
        })
        .await
    }
}

impl RevocationList for PostgresRevocations {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: true, shared: true, tells: self.ears.can_hear() }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        if entries.is_empty() {
            return StoreFuture::ready(Ok(()));
        }
        StoreFuture::waiting(self.write_entries(entries))
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let Ok(number) = i64::try_from(place.number) else { return StoreFuture::ready(Ok(Reading::Lost)) };
        let limit = limit.clamp(1, MOST_ENTRIES);
        StoreFuture::waiting(async move {
            // One more, to see whether there is more.
            let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let nonce = place.nonce.cast_signed();
            let rows = self.pool.read_where(READ, &[&number, &nonce, &most], is_primary).await;
            let rows = rows.map_err(|error| failed(error, Verb::Watch))?;
            reading(&rows, limit).map_err(|problem| problem.into_error(Verb::Watch, Sent::Reading))
        })
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        StoreFuture::waiting(async move {
            let limit = i64::try_from(limit.clamp(1, MOST_ENTRIES)).unwrap_or(i64::MAX);
            self.write(Verb::Sweep, PRUNE, &[&now.as_millis(), &limit], |row| {
                usize::try_from(column::<i64>(row, 0, "count")?).map_err(|_| Problem::Column("count"))
            })
            .await
        })
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        let told = self.ears.told();
        StoreFuture::waiting(async {
            told.await;
            Ok(())
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(self.write(Verb::Ping, PING, &[], |row| instant(row, 0).map(Some)))
    }
}

/// Entries as columns.
#[derive(Debug, Default)]
struct EntryRows {
    nonces: Vec<i64>,
    kinds: Vec<&'static str>,
    subjects: Vec<Option<String>>,
    decided: Vec<i64>,
    until: Vec<i64>,
    reasons: Vec<&'static str>,
    entries: Vec<Vec<u8>>,
}

impl EntryRows {
    fn new(entries: &[RevocationEntry]) -> Result<Self, Problem> {
        let mut rows = Self::default();
        for entry in entries {
            let mut bytes = Vec::new();
            encode_entry(entry, &mut bytes)?;
            rows.nonces.push(entry.nonce.cast_signed());
            rows.kinds.push(entry.scope.kind());
            rows.subjects.push(entry.scope.subject());
            rows.decided.push(entry.at.as_millis());
            rows.until.push(entry.until.as_millis());
            rows.reasons.push(entry.reason.as_str());
            rows.entries.push(bytes);
        }
        Ok(rows)
    }

    fn parameters<'a>(&'a self, number: &'a i64) -> [&'a (dyn tokio_postgres::types::ToSql + Sync); 8] {
        let Self { nonces, kinds, subjects, decided, until, reasons, entries } = self;
        [number, nonces, kinds, subjects, decided, until, reasons, entries]
    }
}

/// Whether who answered takes changes: a standby never does, and so does not a primary that is being put out of service.
fn is_primary(rows: &[Row]) -> Result<(), Problem> {
    let row = rows.first().ok_or(Problem::Column("place"))?;
    if column(row, 0, "mode")? { Err(Problem::MayLag) } else { Ok(()) }
}

fn reading(rows: &[Row], limit: usize) -> Result<Reading, Problem> {
    let first = rows.first().ok_or(Problem::Column("place"))?;
    if !column::<bool>(first, 1, "place")? {
        return Ok(Reading::Lost);
    }
    let mut found: Vec<(u64, &[u8])> = Vec::with_capacity(rows.len());
    for row in rows {
        // One row without an entry where there are none.
        let Some(number) = column::<Option<i64>>(row, 2, "number")? else { break };
        let number = u64::try_from(number).map_err(|_| Problem::Column("number"))?;
        found.push((number, column(row, 3, "entry")?));
    }
    // A join promises no order. They almost certainly are in theirs.
    found.sort_unstable_by_key(|(number, _)| *number);
    let more = found.len() > limit;
    let entries = found.into_iter().take(limit).map(|(number, entry)| Ok((number, decode_entry(entry)?)));
    Ok(Reading::Entries { entries: entries.collect::<Result<_, Problem>>()?, more })
}

fn failed(error: PostgresError, verb: Verb) -> StoreError {
    let failure = StoreError::new(error.kind(), NAME, verb);
    match error.applied() {
        Applied::No => failure.caused_by(error),
        Applied::Unknown => failure.maybe_applied().caused_by(error),
    }
}

/// The tables of the list.
const PLAN: PostgresPlan = PostgresPlan {
    versions: "revocation_version",
    migrations: &[include_str!("../schema/revocations_001.sql")],
};
/// Whoever waited for the head sees it as it was left, and reads the clock then (READ COMMITTED).
const ADD: &str = "
    WITH head AS (
        UPDATE cloakroom.revocation_head
        SET last = greatest(last, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1) + $1::bigint
        WHERE singleton = 1
        RETURNING last
    ), filed AS (
        INSERT INTO cloakroom.revocation (number, nonce, kind, subject, decided_at, keep_until, reason, entry)
        SELECT
            head.last - $1 + added.position, added.nonce, added.kind, added.subject, added.decided_at, added.keep_until,
            added.reason, added.entry
        FROM head, unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[])
            WITH ORDINALITY AS added (nonce, kind, subject, decided_at, keep_until, reason, entry, position)
        RETURNING number
    )
    SELECT count(*) FROM filed";
/// One snapshot: whether the place is there, and what follows it.
const READ: &str = "
    SELECT current_setting('transaction_read_only')::boolean, place.known, next.number, next.entry
    FROM (
        SELECT ($1::bigint = 0 AND $2::bigint = 0) OR EXISTS (
            SELECT FROM cloakroom.revocation WHERE number = $1 AND nonce = $2
        ) AS known
    ) AS place
    LEFT JOIN LATERAL (
        SELECT revocation.number, revocation.entry FROM cloakroom.revocation
        WHERE place.known AND revocation.number > $1 ORDER BY revocation.number LIMIT $3::bigint
    ) AS next ON TRUE";
/// By both clocks. What another node is removing at this moment is left to it.
const PRUNE: &str = "
    WITH gone AS (
        DELETE FROM cloakroom.revocation WHERE number = ANY (ARRAY(
            SELECT number FROM cloakroom.revocation
            WHERE keep_until <= least($1::bigint, (extract(epoch FROM now()) * 1000)::bigint)
                AND number < (SELECT max(number) FROM cloakroom.revocation)
            ORDER BY keep_until, number LIMIT $2::bigint FOR UPDATE SKIP LOCKED
        ))
        RETURNING number
    )
    SELECT count(*) FROM gone";
const PING: &str = "
    UPDATE cloakroom.revocation_head SET pings = pings + 1 WHERE singleton = 1
    RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
