//! The trait every store implements.

use std::fmt::Debug;
use std::sync::Arc;

use cloakroom_core::{Timestamp, TokenDigest};

use crate::{
    Counts, EndRequest, Ending, ExportPage, ExportQuery, Feed, Filed, Imported, InsertRequest, Inserted,
    ListPage, ListQuery, Lookup, Observer, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, StoreFuture,
    SweepRequest, Swept, Touch, TouchReport,
};

/// Where sessions live.
///
/// Every verb is atomic: it happens whole or not at all, and verbs of one session happen in some order that every
/// node agrees on. No verb revives: once a session has ended, by whichever verb or by time, `get` never answers
/// [`Lookup::Live`] for it again. Time comes as an argument and is judged by [`cloakroom_core::judge`]; a store's own
/// expiry may only ever remove what is over. A session that only time has ended, and that neither `end` nor `sweep` has
/// come upon, is judged anew by each asker's clock: between nodes whose clocks differ it may be over for one and alive
/// for the other, and there is no third that could say who is right.
///
/// `cloakroom_conformance` tests all of this; a store that passes it can be used.
///
/// # Errors
/// Every verb fails with [`StoreError`](crate::StoreError) where nothing could be found out. An error before the write
/// says [`Applied::No`](crate::Applied::No); one after it, or where that is not known, says
/// [`Applied::Unknown`](crate::Applied::Unknown).
///
/// # Cost
/// One round trip each.
pub trait Store: Debug + Send + Sync + 'static {
    /// The name of this kind of store in errors, logs and metrics: `memory`, `sqlite`, ….
    fn name(&self) -> &'static str;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether it is several servers of which one may be away while the others serve their own sessions. Such a store leaves
    /// the one alone by itself; its errors say whether they are [of a part](crate::StoreError::is_of_a_part). A caller who
    /// leaves without an answer then shows nothing of the whole.
    fn has_parts(&self) -> bool {
        false
    }

    /// Files a new session. Never overwrites.
    ///
    /// The limit is decided inside, exactly: however many inserts run at once, the principal never has more than
    /// `limit.max` live sessions. The sessions that end for it are chosen by `limit.on_limit` and reported; the newcomer
    /// is never one of them.
    fn insert<'a>(&'a self, request: InsertRequest<'a>) -> StoreFuture<'a, Inserted>;

    /// The session filed under `digest` as of `now`.
    ///
    /// Never answers an expired record as live, whether or not a sweep has seen it.
    ///
    /// # Errors
    /// Also [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) where the record cannot be decoded.
    fn get(&self, digest: TokenDigest, now: Timestamp) -> StoreFuture<'_, Lookup>;

    /// Replaces a live session's record if it still has the version it was read at. Never creates.
    fn replace<'a>(&'a self, request: ReplaceRequest<'a>) -> StoreFuture<'a, Replaced>;

    /// Replaces a live session's record and moves it to a new digest in one step: at no instant are both digests
    /// live, at no instant neither. The old digest answers [`Lookup::Retired`] until the tombstone retention has passed
    /// since the exchange, whether or not the session has ended by then; after that `Retired` or [`Lookup::Unknown`].
    ///
    /// Counts as activity at `now`.
    fn rekey<'a>(&'a self, request: RekeyRequest<'a>) -> StoreFuture<'a, Rekeyed>;

    /// Moves the last activity of sessions that live at `now` forward. Never revives: a session that is over by `now`
    /// stays over, however early its `seen_at`. Never moves the last activity back, never past the absolute instant.
    ///
    /// Touches of one batch may name the same session more than once.
    ///
    /// # Errors
    /// Not atomic: a store of several servers notes what it can where one of them is away, and its error says for whom it
    /// could not ([`StoreError::noted`](crate::StoreError::noted)). Noting activity again changes nothing.
    fn touch<'a>(&'a self, touches: &'a [Touch], now: Timestamp) -> StoreFuture<'a, TouchReport>;

    /// Ends sessions by decision, leaving tombstones. Idempotent: what has ended before is not reported again and
    /// keeps its reason.
    ///
    /// When this returns, `get` answers for none of them [`Lookup::Live`], whatever clock it is asked by: a session that
    /// is over by `now` keeps its timeout as the reason, and is dead for everybody from then on.
    ///
    /// Ending everything costs no more than ending one: it is an epoch that every `get` compares with, and what it ended
    /// is swept later. Of several epochs the earliest that covers a session is its end. `IssuedBefore` also refuses
    /// sessions of an earlier instant that are filed afterwards, by a node whose clock is behind.
    ///
    /// Every selector works on every store, whatever it claims.
    fn end<'a>(&'a self, request: EndRequest<'a>) -> StoreFuture<'a, Ending>;

    /// A page of sessions as of `now`. A session that is there throughout is on exactly one page. A record that cannot be
    /// decoded is left out. Sessions that are over but not swept yet may be missing among those that ended.
    ///
    /// # Cost
    /// At most [`ListQuery::MOST_READ`] rows are looked at, whatever the filter: where that is too few to fill the page, it
    /// holds what was found, and leads on.
    fn list<'a>(&'a self, query: &'a ListQuery, now: Timestamp) -> StoreFuture<'a, ListPage>;

    /// Buries sessions that are over, and removes tombstones and retired tokens after their retention. Bounded work.
    ///
    /// `more == false` means that everything due was reported and removed. A record that cannot be decoded does not stop
    /// it. The lease keeps other nodes away, not its own holder.
    ///
    /// In a store whose entries also vanish by themselves (native expiry, eviction), what has vanished is neither reported
    /// nor counted as removed.
    fn sweep(&self, request: SweepRequest) -> StoreFuture<'_, Swept>;

    /// How many sessions there are as of `now`. May count sessions that expired since the last sweep.
    fn count(&self, now: Timestamp) -> StoreFuture<'_, Counts>;

    /// A page of everything that is filed, as of `now`: live sessions, tombstones and retired tokens, each with its digest.
    ///
    /// Whatever is filed under one digest throughout, from the first page to the last, is on at least one page: perhaps
    /// on several, perhaps with another state on each if it changed meanwhile, in no promised order. A session whose token
    /// is exchanged meanwhile may be on none: whoever exchanges tokens while sessions are being moved sees to it that it
    /// is moved. A session that is over by `now`, by time or by an end of everything, is told as
    /// [`Entry::Ended`](crate::Entry::Ended), reported or not.
    ///
    /// # Errors
    /// Also [`ErrorKind::Internal`](crate::ErrorKind::Internal) where the cursor is not one of this store's.
    ///
    /// # Cost
    /// One or two round trips, and work bounded by the limit, whatever there is.
    ///
    /// # Security
    /// Digests are no tokens, but whoever can `import` a session under the digest of a token they know is signed in: a
    /// page is to be handled like the store itself.
    fn export<'a>(&'a self, query: &'a ExportQuery, now: Timestamp) -> StoreFuture<'a, ExportPage>;

    /// Files what another store [told](Self::export) as it is: a live session with its version and its last activity, what
    /// is left of an ended one until the same instant as there. Never overwrites and never revives; no limit applies.
    ///
    /// A session keeps its version so that a compare-and-swap that began in the other store means the same content in
    /// this one. From then on it is a session like any other here, and ends at the same instants as there.
    ///
    /// What has ended everything here has ended it too: an [`IssuedBefore`](crate::Selector::IssuedBefore) ends it as it
    /// ends any session issued before that instant, whenever it is filed; an [`All`](crate::Selector::All) ends it if it
    /// was issued at or before the instant of that call, for it was then, as far as clocks can say, among everything.
    /// Such a session is filed as ended or refused by every `get`; whether a sweep reports it, once, is not promised,
    /// since it ended where it came from.
    ///
    /// # Security
    /// Between the page and this call, the session may have ended in the other store, which cannot be seen here. Whoever
    /// moves sessions looks there again *after* this returned, and ends here what has ended there, before anybody is
    /// answered from this store alone.
    fn import<'a>(&'a self, filed: &'a Filed, now: Timestamp) -> StoreFuture<'a, Imported>;

    /// Tells `observer` of what changes from now on, whoever changes it: this handle, another node, or somebody behind the
    /// product's back where the store can tell (an operator's `DELETE`, an eviction).
    ///
    /// Told of are: a `replace`, under its digest; a `rekey`, under the old one; every session that an `end`, or the
    /// limit or the replacement of an `insert`, has ended; an end of everything, as [`News::Anything`](crate::News). News
    /// may come for what has not changed, more than once, and more of it than asked. A `touch` makes no news, nor need
    /// whatever only adds: `insert` of the newcomer, `import`; nor what only time has ended.
    ///
    /// A part is covered once [`Feed::prove`] has answered it, and until [`News::Anything`] is told of it.
    ///
    /// # Errors
    /// Also [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the store does not claim it. An error where the
    /// first connection could not be made; later ones are made by the feed itself.
    fn watch(&self, observer: Arc<dyn Observer>) -> StoreFuture<'_, Box<dyn Feed>>;

    /// Whether the store can be written to; its own clock's reading, where it has one.
    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>>;
}

/// What a store can do. Tested both ways: what is claimed works; what isn't answers
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent claims")]
#[non_exhaustive]
pub struct Capabilities {
    /// What was acknowledged is there after a restart.
    pub durable: bool,
    /// Other processes may use the same sessions at the same time.
    pub shared: bool,
    /// The store knows what it has: `list`, `count` and `export` work, `sweep` finds everything that is over, and
    /// [`Ending::swept_later`](crate::Ending) counts. Without it a sweep reports what it comes upon, perhaps nothing.
    pub listing: bool,
    /// `insert` can keep a limit.
    pub limits: bool,
    /// Whoever keeps a copy can be told of changes: `watch` works.
    pub watch: bool,
}

impl Capabilities {
    /// All of them.
    pub const ALL: Self = Self { durable: true, shared: true, listing: true, limits: true, watch: true };

    /// The same without surviving a restart, and for this process alone.
    #[must_use]
    pub const fn in_process(self) -> Self {
        Self { durable: false, shared: false, ..self }
    }

    /// The same without news of changes.
    #[must_use]
    pub const fn unwatched(self) -> Self {
        Self { watch: false, ..self }
    }
}
