//! The trait: each verb as a piece of work for a connection.

use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ending, ErrorKind, ExportPage, ExportQuery, Feed, Filed, Imported,
    InsertRequest, Inserted, ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest,
    Replaced, Store, StoreError, StoreFuture, SweepRequest, Swept, Touch, TouchReport, Verb,
};

use crate::NAME;
use crate::connect;
use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::facts::{Facts, MysqlFacts};
use crate::map::Filing;
use crate::options::{MysqlOptions, TlsMode};
use crate::schema;
use crate::verb::{
    Change, Count, End, Export, Get, Import, Insert, List, Number, Ping, Rekey, Replace, Sweep, TouchAll,
};

/// Sessions in a database of MySQL or MariaDB.
///
/// Share it behind an [`Arc`](std::sync::Arc); several of them on one database, in this process or in others, see the same
/// sessions. It belongs to the runtime it was connected in. Dropping it closes its connections.
#[derive(Debug)]
pub struct MysqlStore {
    database: Database,
    /// The number of this handle among all on the database: who holds the sweeping lease.
    handle: i64,
}

impl MysqlStore {
    /// Connects, and brings the schema up to date unless that is switched off.
    ///
    /// Several nodes may start at once: one migrates, the others wait for it, up to a minute. A migration that was
    /// interrupted goes on at the next start.
    ///
    /// # Errors
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) where the server cannot be reached, refuses the user, or has
    /// a schema of a later version or of another program; [`Timeout`](cloakroom_store::ErrorKind::Timeout) where it does not
    /// answer; [`ReadOnly`](cloakroom_store::ErrorKind::ReadOnly) where the schema is not up to date and the server is a
    /// replica. The source says what happened and what to do about it.
    ///
    /// # Cost
    /// Two statements where the schema is up to date.
    pub async fn connect(options: MysqlOptions) -> Result<Self, StoreError> {
        let unusable = |problem: Problem| problem.into_error(Verb::Open, Sent::Nothing);
        let opts = connect::for_verbs(&options).map_err(unusable)?;
        let patient = connect::for_migrations(&options).map_err(unusable)?;
        if options.tls() == TlsMode::Require {
            tracing::warn!("the database's certificate is not verified: set sslmode=verify-full");
        }
        let database = Database::new(opts, &options);
        let prepared = schema::bring_up_to_date(&database, &options, patient, &schema::SESSIONS).await;
        prepared.map_err(|(problem, sent)| problem.into_error(Verb::Open, sent))?;
        let handle = database.perform(Number).await?;
        Ok(Self { database, handle })
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// As for a look-up.
    ///
    /// # Cost
    /// One statement.
    pub async fn facts(&self) -> Result<MysqlFacts, StoreError> {
        self.database.perform(Facts::OF_SESSIONS).await
    }
}

impl Store for MysqlStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL.unwatched()
    }

    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted> {
        let InsertRequest { record, digest, limit, replaces, now } = request;
        StoreFuture::waiting(async move {
            let filing = filed(record, digest, Verb::Insert)?;
            self.database.perform(Insert { filing, limit, replaces, now }).await
        })
    }

    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup> {
        StoreFuture::waiting(self.database.perform(Get { digest, now }))
    }

    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced> {
        let ReplaceRequest { digest, version, record, now } = request;
        StoreFuture::waiting(async move {
            let filing = filed(record, digest, Verb::Replace)?;
            self.database.perform(Replace(Change { filing, version, now })).await
        })
    }

    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed> {
        let RekeyRequest { old, new, version, record, now } = request;
        StoreFuture::waiting(async move {
            let filing = filed(record, new, Verb::Rekey)?;
            self.database.perform(Rekey { old, change: Change { filing, version, now } }).await
        })
    }

    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport> {
        if touches.is_empty() {
            return StoreFuture::ready(Ok(TouchReport::default()));
        }
        StoreFuture::waiting(self.database.perform(TouchAll::new(touches, now)))
    }

    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending> {
        let EndRequest { selector, reason, now } = request;
        StoreFuture::waiting(self.database.perform(End { selector: selector.clone(), reason, now }))
    }

    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage> {
        StoreFuture::waiting(self.database.perform(List { query: query.clone(), now }))
    }

    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept> {
        StoreFuture::waiting(self.database.perform(Sweep { request, handle: self.handle }))
    }

    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts> {
        StoreFuture::waiting(self.database.perform(Count { now }))
    }

    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage> {
        StoreFuture::waiting(self.database.perform(Export { query: query.clone(), now }))
    }

    fn import<'a>(&'a self, filed: &'a Filed, _: Timestamp) -> StoreFuture<'a, Imported> {
        StoreFuture::waiting(async move {
            let import =
                Import::new(filed).map_err(|problem| problem.into_error(Verb::Import, Sent::Nothing))?;
            self.database.perform(import).await
        })
    }

    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>> {
        let _ = observer;
        StoreFuture::ready(Err(StoreError::new(ErrorKind::Unsupported, NAME, Verb::Watch)))
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(self.database.perform(Ping))
    }
}

fn filed(
    record: &cloakroom_core::SessionRecord,
    digest: TokenDigest,
    verb: Verb,
) -> Result<Filing, StoreError> {
    Filing::new(record, digest).map_err(|problem| problem.into_error(verb, Sent::Nothing))
}
