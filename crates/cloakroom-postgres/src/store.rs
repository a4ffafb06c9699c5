//! The trait, and how a store is opened.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ExportPage, ExportQuery, Feed, Filed, Imported, InsertRequest,
    Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Store,
    StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use crate::NAME;
use crate::connect::{Connection, Connector};
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::facts::{self, PostgresFacts, Way};
use crate::feed::{Hints, PostgresFeed, Source};
use crate::options::{PostgresOptions, TlsMode};
use crate::patience;
use crate::schema;
use crate::verb::{self, Change, Changed, Statements};

/// Sessions in a PostgreSQL database.
///
/// Share it behind an [`Arc`](std::sync::Arc); several of them on one schema, in this process or in others, see the same
/// sessions. Dropping it closes its connections. Has to be used inside a Tokio runtime with time and I/O.
#[derive(Debug)]
pub struct PostgresStore {
    database: Arc<Database>,
    statements: Statements,
    way: Way,
    source: Source,
    hints: Hints,
    /// The name of this handle among all on the schema: who holds the sweeping lease.
    handle: String,
}

impl PostgresStore {
    /// Connects once, and brings the schema up to date: creates it where there is none, upgrades an older one in one
    /// transaction. Several nodes may do this at the same time: one does it, the others wait for that one.
    ///
    /// # Errors
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) where the server cannot be reached or refuses, or the
    /// schema belongs to another program or to a later version of this one; its source says which, and what to do.
    /// [`Timeout`](cloakroom_store::ErrorKind::Timeout) where the server does not answer, and
    /// [`ReadOnly`](cloakroom_store::ErrorKind::ReadOnly) where a schema would have to be created on a standby. Nothing
    /// has changed then. What fails now may work later: nothing is remembered.
    ///
    /// # Cost
    /// One connection and three statements where the schema is up to date.
    pub async fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open(options).await.map_err(|problem| problem.into_error(Verb::Open, Sent::Nothing))
    }

    /// What the server says of itself and of these connections, for whoever has to judge whether sessions are safe there.
    ///
    /// # Errors
    /// As every verb; nothing has changed.
    ///
    /// # Cost
    /// One statement.
    pub async fn facts(&self) -> Result<PostgresFacts, StoreError> {
        facts::facts(&self.database, &self.statements.facts, self.way).await
    }

    /// Also where it failed: it may have been applied.
    async fn change(&self, change: Change<'_>) -> Result<Changed, StoreError> {
        let changed = verb::change(&self.database, &self.statements, change).await;
        self.hints.changed();
        changed
    }

    async fn open(options: PostgresOptions) -> Result<Self, Problem> {
        if matches!(options.tls(), TlsMode::Prefer | TlsMode::Require) && options.authorities().is_none() {
            tracing::warn!(
                hosts = options.place(),
                "the database's certificate is not verified: set sslmode=verify-full"
            );
        }
        let connector = Connector::new(&options)?;
        let mut patience = patience::of(options.deadline());
        let overdue = || Problem::Overdue(options.deadline());
        let connection = patience.within(connector.open()).await.ok_or_else(overdue)??;
        schema::prepare(&connection.client, &options, &schema::SESSIONS).await?;
        let handle = schema::within(options.deadline(), name_of_a_handle(&connection)).await?;
        let look_up = Statements::look_up(options.schema());
        let source = Source::new(&options, connector.clone());
        let database = Arc::new(Database::new(&options, connector, look_up)?);
        Ok(Self {
            statements: Statements::new(options.schema()),
            hints: Hints::new(&source, Arc::clone(&database)),
            source,
            database,
            way: Way::of(&options),
            handle,
        })
    }
}

/// A name that no other handle has.
async fn name_of_a_handle(connection: &Connection) -> Result<String, Problem> {
    Ok(connection.client.query_one("SELECT gen_random_uuid()::text", &[]).await?.get(0))
}

impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        StoreFuture::waiting(async move {
            let inserted = verb::insert(&self.database, &self.statements, request).await;
            match &inserted {
                Ok(Inserted::Done { ended }) if ended.is_empty() => {}
                Ok(Inserted::Done { .. }) | Err(_) => self.hints.ended(),
                Ok(_) => {}
            }
            inserted
        })
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(verb::look_up(&self.database, digest, now))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        let ReplaceRequest { digest, version, record, now } = request;
        let change = Change { verb: Verb::Replace, digest, new: None, version, record, now };
        StoreFuture::waiting(async move {
            match self.change(change).await? {
                Changed::Done(version) => Ok(Replaced::Done(version)),
                Changed::Conflict(live) => Ok(Replaced::Conflict(live)),
                Changed::Ended(tombstone) => Ok(Replaced::Ended(tombstone)),
                Changed::Retired(retired) => Ok(Replaced::Retired(retired)),
                Changed::Unknown => Ok(Replaced::Unknown),
                Changed::Taken => {
                    let problem = Problem::Misuse("a digest that was not to change");
                    Err(problem.into_error(Verb::Replace, Sent::Nothing))
                }
            }
        })
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        let RekeyRequest { old, new, version, record, now } = request;
        let change = Change { verb: Verb::Rekey, digest: old, new: Some(new), version, record, now };
        StoreFuture::waiting(async move {
            Ok(match self.change(change).await? {
                Changed::Done(version) => Rekeyed::Done(version),
                Changed::Conflict(live) => Rekeyed::Conflict(live),
                Changed::Taken => Rekeyed::AlreadyExists,
                Changed::Ended(tombstone) => Rekeyed::Ended(tombstone),
                Changed::Retired(retired) => Rekeyed::Retired(retired),
                Changed::Unknown => Rekeyed::Unknown,
            })
        })
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        if touches.is_empty() {
            return StoreFuture::ready(Ok(TouchReport::default()));
        }
        StoreFuture::waiting(verb::touch(&self.database, &self.statements, touches, now))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        StoreFuture::waiting(async move {
            let ending = verb::end(&self.database, &self.statements, request).await;
            self.hints.ended();
            ending
        })
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::waiting(verb::list(&self.database, &self.statements, query, now))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(verb::sweep(&self.database, &self.statements, request, &self.handle))
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::waiting(verb::count(&self.database, &self.statements, now))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::waiting(verb::export(&self.database, &self.statements, query, now))
    }

    fn import<'a>(&'a self, filed: &'a Filed, _now: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::waiting(verb::import(&self.database, &self.statements, filed))
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        StoreFuture::waiting(async {
            self.database.watched();
            let feed: Box<dyn Feed> = Box::new(PostgresFeed::open(self.source.clone(), observer).await?);
            Ok(feed)
        })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(async { verb::ping(&self.database, &self.statements).await.map(Some) })
    }
}
