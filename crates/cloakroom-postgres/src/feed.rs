//! News of what changes: a list in the database, read from one snapshot to the next.
//!
//! # Why nothing is missed
//! Whatever changes what a look-up decides by, in whatever way, adds a row to `change` in the same transaction
//! (`schema/003_changes.sql`), with that transaction's number. A reading is one statement, so it has one snapshot: the list
//! of the transactions it cannot see, which is what it returns beside the rows. It asks for the rows of exactly those
//! transactions that the snapshot of the reading before could not see: `xid >= xmax`, or `xid` in its list of transactions
//! that were under way. What that one could see was told then; what this one cannot see yet is what the next one asks for,
//! however late it commits, whatever order commits come in, and whether or not it was prepared first
//! (`PREPARE TRANSACTION`). Snapshots list transactions, not subtransactions, and rows bear the number of the transaction.
//!
//! A change that was acknowledged is visible to every snapshot taken later on that server. So a reading whose statement is
//! sent after [`Feed::prove`] was called has everything whose verb had returned by then: the reading *is* the probe. It
//! takes no lock, and none is waited for by whoever writes.
//!
//! # What could break that, and what is done about it
//! - *Rows forgotten before they were read*: `floor` is raised in the transaction that forgets, and is read in the same
//!   snapshot. A reading whose predecessor's oldest unseen transaction lies below it knows that it has a gap.
//! - *Another server, or the same one with less in it* (crash, fail-over, restored dump): the two tables are unlogged, so
//!   they are empty after each of these and unreadable on a standby; the name that the list is then given is random. The
//!   name of a list is that, the instant at which the server was started, and the table's number.
//! - *A connection lost* breaks nothing: the next one reads on from the same snapshot, if it is the same list.
//! - *Somebody with the rights of the owner* who disables the triggers or deletes from `change`: nothing.
//!
//! After a gap, and on another list, [`News::Anything`] is told before the reading counts for anything.
//!
//! # When it is read
//! At every proof; at once when another node says that it has ended or changed something (`NOTIFY`, after its commit, on a
//! connection of the pool); and four times a second anyway. A notification carries nothing and proves nothing: lost ones
//! cost time, forged ones a reading.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cloakroom_core::TokenDigest;
use cloakroom_store::{Feed, News, Observer, Parts, StoreError, StoreFuture, Verb};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;

use crate::connect::Connector;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::lanes::Prepared;
use crate::map::column;
use crate::options::{PostgresOptions, Settings};
use crate::patience;
use crate::schema::localized;

/// Where news are read, and how.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    connector: Connector,
    schema: String,
    introduce: String,
    read: String,
    name: String,
    deadline: Duration,
    /// On which channel nodes say that they have changed something; none behind a pooler, where nobody can listen.
    channel: Option<String>,
    /// How many watches there are on this handle.
    watches: Arc<AtomicUsize>,
}

/// Tells the other nodes that there is something to read: one for each handle.
#[derive(Debug)]
pub(crate) struct Hints {
    database: Arc<Database>,
    channel: Option<String>,
    wanted: Arc<Notify>,
    /// How many watches there are on this handle.
    watches: Arc<AtomicUsize>,
    sender: OnceLock<JoinHandle<()>>,
}

/// One watch: reads, and tells one observer.
#[derive(Debug)]
pub(crate) struct PostgresFeed {
    watch: Arc<Watch>,
    reading: JoinHandle<()>,
}

#[derive(Debug)]
struct Watch {
    source: Source,
    observer: Arc<dyn Observer>,
    /// Somebody has changed something.
    heard: Arc<Notify>,
    reader: tokio::sync::Mutex<Reader>,
}

/// The connection, and how far the news have been told. Whoever has it tells: so it is one at a time, and in order.
#[derive(Debug)]
struct Reader {
    connector: Connector,
    current: Option<Prepared>,
    told: Option<Told>,
}

/// Everything has been told that is visible to this snapshot of the list with this name.
#[derive(Debug)]
struct Told {
    snapshot: String,
    list: String,
}

impl Hints {
    pub(crate) fn new(source: &Source, database: Arc<Database>) -> Self {
        let (channel, watches) = (source.channel.clone(), Arc::clone(&source.watches));
        Self { database, channel, wanted: Arc::default(), watches, sender: OnceLock::new() }
    }

    /// Something has ended, perhaps: that is always worth a statement, for whoever has an open stream.
    pub(crate) fn ended(&self) {
        let Some(channel) = &self.channel else { return };
        self.sender.get_or_init(|| {
            tokio::spawn(pass_on(Arc::clone(&self.wanted), Arc::clone(&self.database), channel.clone()))
        });
        self.wanted.notify_one();
    }

    /// Something has changed, perhaps. Where nobody watches on this handle, nobody is told at once: a system without copies
    /// has many changes, and nobody to tell.
    pub(crate) fn changed(&self) {
        if self.watches.load(Ordering::Relaxed) > 0 {
            self.ended();
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.sender.get().iter().for_each(|sender| sender.abort());
    }
}

impl Source {
    pub(crate) fn new(options: &PostgresOptions, connector: Connector) -> Self {
        let schema = options.schema();
        Self {
            connector,
            schema: schema.to_owned(),
            introduce: localized(INTRODUCE, schema),
            read: localized(READ, schema),
            name: localized(NAME_LIST, schema),
            deadline: options.deadline(),
            channel: match options.settings {
                Settings::Own => Some(format!("cloakroom_news_{schema}")),
                Settings::OfTheServer => None,
            },
            watches: Arc::default(),
        }
    }
}

impl PostgresFeed {
    /// Reads once, so that everything later is told.
    pub(crate) async fn open(source: Source, observer: Arc<dyn Observer>) -> Result<Self, StoreError> {
        let heard = Arc::new(Notify::new());
        let reader =
            Reader { connector: source.connector.hearing(Arc::clone(&heard)), current: None, told: None };
        let reader = tokio::sync::Mutex::new(reader);
        let watch = Arc::new(Watch { source, observer, heard, reader });
        watch.read().await.map_err(failed)?;
        watch.source.watches.fetch_add(1, Ordering::Relaxed);
        let reading = tokio::spawn(Arc::clone(&watch).keep_reading());
        Ok(Self { watch, reading })
    }
}

impl Drop for PostgresFeed {
    fn drop(&mut self) {
        self.watch.source.watches.fetch_sub(1, Ordering::Relaxed);
        self.reading.abort();
    }
}

impl Feed for PostgresFeed {
    fn prove(&self) -> StoreFuture<'_, Parts> {
        StoreFuture::waiting(async { self.watch.read().await.map(|()| Parts::ALL).map_err(failed) })
    }
}

fn failed(problem: Problem) -> StoreError {
    problem.into_error(Verb::Watch, Sent::Reading)
}

impl Watch {
    /// Tells what has become visible since the reading before. The statement is sent after this was called.
    ///
    /// Dropped half-way, it has told nothing and forgotten nothing. A server that does not answer on this connection is asked
    /// on another one, and once more.
    async fn read(&self) -> Result<(), Problem> {
        let mut patience = patience::of(self.source.deadline);
        let overdue = || Problem::Overdue(self.source.deadline);
        let mut reader = patience.within(self.reader.lock()).await.ok_or_else(overdue)?;
        let had_connection = reader.current.is_some();
        // A connection may have ended, or its way may be blocked, without anybody's notice.
        let first =
            patience.within(timeout(ONE_CONNECTION, reader.read(&self.source, &*self.observer))).await;
        let first = match first {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(overdue()),
            None => {
                reader.current = None;
                return Err(overdue());
            }
        };
        let result = match first {
            Err(problem) if had_connection || matches!(problem, Problem::Overdue(_)) => {
                reader.current = None;
                let again = patience.within(reader.read(&self.source, &*self.observer)).await;
                again.unwrap_or_else(|| Err(overdue()))
            }
            result => result,
        };
        if result.is_err() {
            reader.current = None;
        }
        result
    }

    /// Reads when somebody says that there is something, and from time to time.
    async fn keep_reading(self: Arc<Self>) {
        let mut is_well = true;
        loop {
            // Whether that was a hint or the end of the interval, there may be news.
            let _ = timeout(INTERVAL, self.heard.notified()).await;
            let result = self.read().await;
            match &result {
                Ok(()) if !is_well => tracing::info!("news of changes are read again"),
                Err(problem) if is_well => tracing::warn!(%problem, "news of changes cannot be read"),
                _ => {}
            }
            is_well = result.is_ok();
            sleep(SPACING).await;
        }
    }
}

impl Reader {
    async fn read(&mut self, source: &Source, observer: &dyn Observer) -> Result<(), Problem> {
        let Prepared { connection, statement, .. } = match &mut self.current {
            Some(open) if !open.connection.client.is_closed() => open,
            current => current.insert(open(&self.connector, source).await?),
        };
        let since = self.told.as_ref().map(|told| told.snapshot.as_str());
        let mut rows = connection.client.query(statement, &[&since]).await?;
        if rows.is_empty() {
            connection.client.execute(&source.name, &[]).await?;
            rows = connection.client.query(statement, &[&since]).await?;
        }
        let row = rows.first().ok_or(Problem::Nameless)?;
        // From here on nothing waits: what is told and what is remembered as told are the same.
        self.told = Some(tell(row, self.told.as_ref(), observer)?);
        Ok(())
    }
}

/// Tells what a reading has found after an earlier one; the first one has nothing to tell.
fn tell(row: &Row, before: Option<&Told>, observer: &dyn Observer) -> Result<Told, Problem> {
    let told = Told { snapshot: column(row, 0, "snapshot")?, list: column(row, 1, "list")? };
    let Some(before) = before else { return Ok(told) };
    let is_whole: bool = column::<Option<bool>>(row, 2, "floor")?.unwrap_or(false);
    let changes: Vec<Option<&[u8]>> = column(row, 3, "changes")?;
    // One that is no digest means anything, and so do more of them than are worth telling one by one.
    let digests: Option<Vec<TokenDigest>> =
        changes.iter().map(|change| change.and_then(TokenDigest::from_bytes)).collect();
    match digests {
        Some(digests) if told.list == before.list && is_whole && digests.len() <= MOST_AT_ONCE => {
            if !digests.is_empty() {
                observer.told(News::Changed(&digests));
            }
        }
        _ => observer.told(News::Anything(Parts::ALL)),
    }
    Ok(told)
}

/// A connection to a server that has news, and tells when there are some.
async fn open(connector: &Connector, source: &Source) -> Result<Prepared, Problem> {
    let connection = connector.open().await?;
    let introduction = connection.client.query_one(&source.introduce, &[]).await?;
    if column(&introduction, 0, "standby")? {
        return Err(Problem::Standby);
    }
    if !column::<bool>(&introduction, 1, "triggers")? {
        return Err(Problem::Silent(source.schema.clone()));
    }
    if let Some(channel) = &source.channel {
        // A bitmap would be made of a whole flood before the first ten thousand of it are looked at.
        let begin = format!("SET enable_bitmapscan = off; LISTEN \"{channel}\"");
        connection.client.batch_execute(&begin).await?;
    }
    let statement = connection.client.prepare(&source.read).await?;
    Ok(Prepared { connection, statement, is_on_standby: false })
}

/// Tells the other nodes, one statement for all that came together. One that is not told finds out a little later.
async fn pass_on(wanted: Arc<Notify>, database: Arc<Database>, channel: String) {
    loop {
        wanted.notified().await;
        if let Err(error) = database.read(Verb::Watch, HINT, &[&channel]).await {
            tracing::debug!(%error, "the other nodes were not told at once");
        }
        sleep(SPACING).await;
    }
}

/// Whether the server is a standby, and whether what changes is written down there.
const INTRODUCE: &str = concat!("SELECT pg_is_in_recovery(), ", crate::facts::tells_changes!());
/// Its snapshot, the name of the list, whether nothing between the two snapshots was forgotten, and what changed between
/// them. In the order of the index, so that no plan reads more of it than is asked for.
const READ: &str = "
    SELECT
        pg_current_snapshot()::text,
        concat_ws(
            ' ', feed.name, 'cloakroom.session'::regclass::oid, extract(epoch FROM pg_postmaster_start_time())
        ),
        feed.floor <= pg_snapshot_xmin($1::text::pg_snapshot),
        ARRAY(
            (
                SELECT change.digest FROM cloakroom.change
                WHERE change.xid >= pg_snapshot_xmax($1::text::pg_snapshot)
                ORDER BY change.xid LIMIT 10001
            )
            UNION ALL
            (
                SELECT change.digest FROM cloakroom.change
                WHERE change.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
                LIMIT 10001
            )
        )
    FROM cloakroom.feed";
const NAME_LIST: &str = "SELECT cloakroom.name_feed()";
const HINT: &str = "SELECT pg_notify($1, '')";

/// More changes than this between two readings are told as anything: 340 kB of digests.
const MOST_AT_ONCE: usize = 10_000;
/// The longest that a change waits for its reading where no node says that there is one.
const INTERVAL: Duration = Duration::from_millis(250);
/// Between two readings or hints that nobody waits for: a busy system asks at most two hundred times a second.
const SPACING: Duration = Duration::from_millis(5);
/// How long one connection is waited for before another one is tried.
const ONE_CONNECTION: Duration = Duration::from_millis(700);
