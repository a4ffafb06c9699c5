//! The store under test, asked in the words of a case.

use std::num::NonZeroU16;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionLimit, SessionRecord, Timestamp, TokenDigest,
};
use cloakroom_store::{
    Capabilities, Counts, EndRequest, Ended, Ending, ExportQuery, Filed, Imported, InsertRequest, Inserted,
    ListItem, ListPage, ListQuery, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Selector, Store,
    SweepRequest, Swept, Touch, TouchReport, Version,
};

use crate::case::{Case, Tested};
use crate::cases;
use crate::fixtures::Filing;

/// The store under test. Its own methods panic where the store could not answer; a case that expects an error asks
/// the store itself, which this dereferences to.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    store: Arc<dyn Store>,
    removes_by_itself: bool,
}

impl Deref for Subject {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl Tested for Subject {
    type Claims = Capabilities;
    type Key = TokenDigest;

    const CASES: &'static [&'static [Case]] = cases::FILES;

    fn claims(&self) -> Capabilities {
        self.capabilities()
    }

    fn close(self) {
        assert_eq!(Arc::strong_count(&self.store), 1, "a store is closed by dropping the only handle to it");
    }
}

impl Subject {
    pub(crate) fn new(store: Arc<dyn Store>, removes_by_itself: bool) -> Self {
        Self { store, removes_by_itself }
    }

    pub(crate) async fn file(&self, filing: &Filing) {
        self.file_at(filing, filing.record.created_at).await;
    }

    pub(crate) async fn file_at(&self, filing: &Filing, now: Timestamp) {
        let inserted = self.try_file(filing, None, None, now).await;
        assert_eq!(inserted, Inserted::Done { ended: Vec::new() }, "a new session is filed");
    }

    pub(crate) async fn try_file(
        &self,
        filing: &Filing,
        limit: Option<SessionLimit>,
        replaces: Option<SessionId>,
        now: Timestamp,
    ) -> Inserted {
        let request = InsertRequest { record: &filing.record, digest: filing.digest, limit, replaces, now };
        self.store.insert(request).await.expect("insert answers")
    }

    pub(crate) async fn look_up(&self, digest: TokenDigest, now: Timestamp) -> Lookup {
        self.store.get(digest, now).await.expect("get answers")
    }

    pub(crate) async fn change(
        &self,
        digest: TokenDigest,
        version: Version,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Replaced {
        self.store.replace(ReplaceRequest { digest, version, record, now }).await.expect("replace answers")
    }

    /// Exchanges the token `old` for the one of `next`, which is the session as it shall be.
    pub(crate) async fn exchange(
        &self,
        old: TokenDigest,
        version: Version,
        next: &Filing,
        now: Timestamp,
    ) -> Rekeyed {
        let request = RekeyRequest { old, new: next.digest, version, record: &next.record, now };
        self.store.rekey(request).await.expect("rekey answers")
    }

    pub(crate) async fn note(&self, touches: &[(TokenDigest, Timestamp)], now: Timestamp) -> TouchReport {
        let touches: Vec<Touch> =
            touches.iter().map(|&(digest, seen_at)| Touch { digest, seen_at }).collect();
        self.store.touch(&touches, now).await.expect("touch answers")
    }

    pub(crate) async fn finish(&self, selector: &Selector, reason: EndReason, now: Timestamp) -> Ending {
        self.store.end(EndRequest { selector, reason, now }).await.expect("end answers")
    }

    pub(crate) async fn finish_one(&self, session: SessionId, reason: EndReason, now: Timestamp) -> Ending {
        self.finish(&Selector::One(session), reason, now).await
    }

    pub(crate) async fn finish_all_of(
        &self,
        principal: PrincipalId,
        reason: EndReason,
        now: Timestamp,
    ) -> Ending {
        self.finish(&Selector::Principal { principal, except: None }, reason, now).await
    }

    pub(crate) async fn page(&self, query: &ListQuery, now: Timestamp) -> ListPage {
        self.store.list(query, now).await.expect("list answers")
    }

    /// Everything that is filed, page by page.
    pub(crate) async fn told(&self, limit: u16, now: Timestamp) -> Vec<Filed> {
        let limit = NonZeroU16::new(limit).expect("a page has room");
        let (mut after, mut items) = (None, Vec::new());
        for _ in 0..MOST_ROUNDS {
            let query = ExportQuery::new(after, limit);
            let page = self.store.export(&query, now).await.expect("export answers");
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return items;
            }
        }
        panic!("an export ends after {MOST_ROUNDS} pages of {limit}")
    }

    pub(crate) async fn take_in(&self, filed: &Filed, now: Timestamp) -> Imported {
        self.store.import(filed, now).await.expect("import answers")
    }

    /// All pages of `query`, one after the other.
    pub(crate) async fn pages(&self, query: &ListQuery, now: Timestamp) -> Vec<ListItem> {
        let mut query = query.clone();
        let mut items = Vec::new();
        loop {
            let page = self.page(&query, now).await;
            assert!(page.items.len() <= usize::from(query.limit.get()), "a page keeps its limit");
            items.extend(page.items);
            let Some(next) = page.next else { return items };
            assert!(query.is_behind(next), "every page leads further: {next:?}");
            query.after = Some(next);
        }
    }

    pub(crate) async fn total(&self, now: Timestamp) -> Counts {
        self.store.count(now).await.expect("count answers")
    }

    /// One round of clearing up that happens in any case.
    pub(crate) async fn sweep_round(&self, now: Timestamp, limit: usize) -> Swept {
        let request = SweepRequest { now, limit, lease: Duration::ZERO };
        let swept = self.store.sweep(request).await.expect("sweep answers");
        assert!(!swept.elsewhere, "without a lease a round happens in any case");
        swept
    }

    /// Clears up until nothing is left to do; what it found to be over, sorted by session.
    pub(crate) async fn sweep_up(&self, now: Timestamp) -> Vec<Ended> {
        let mut ended = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let swept = self.sweep_round(now, SWEEP_LIMIT).await;
            ended.extend(swept.ended);
            if !swept.more {
                return sorted(ended);
            }
        }
        panic!("a sweep has nothing more to do after {MOST_ROUNDS} rounds of {SWEEP_LIMIT}")
    }

    /// Whether the store knows what it has: one that does not list cannot find what is over either.
    pub(crate) fn finds_what_is_over(&self) -> bool {
        self.store.capabilities().listing
    }

    /// Whether what is left of a session goes by itself.
    pub(crate) fn removes_by_itself(&self) -> bool {
        self.removes_by_itself
    }

    /// Clears up; it tells of exactly those `expected`, or of some of them in a store that cannot find them all.
    pub(crate) async fn sweeps(&self, now: Timestamp, expected: impl IntoIterator<Item = Ended>) {
        let reports = self.sweep_up(now).await;
        self.reported(reports, expected);
    }

    /// `reports` are exactly those `expected`, each once; or some of them, each once, from a store that cannot find
    /// what is over.
    #[track_caller]
    pub(crate) fn reported(&self, reports: Vec<Ended>, expected: impl IntoIterator<Item = Ended>) {
        let (reports, expected) = (sorted(reports), sorted(expected.into_iter().collect()));
        if self.finds_what_is_over() {
            assert_eq!(reports, expected, "each is reported exactly once");
            return;
        }
        assert!(reports.iter().all(|report| expected.contains(report)), "{reports:?} of {expected:?}");
        assert!(
            reports.is_sorted_by(|one, next| one.session < next.session),
            "no more than once: {reports:?}"
        );
    }

    /// Nothing is left under `digest` at `now`, at which its retention is over and a sweep has been; but what goes by
    /// itself may take its time.
    pub(crate) async fn is_gone(&self, digest: TokenDigest, now: Timestamp) {
        let found = self.look_up(digest, now).await;
        let lingers = self.removes_by_itself && matches!(found, Lookup::Ended(_) | Lookup::Retired(_));
        assert!(lingers || found == Lookup::Unknown, "nothing is left at {now}: {found:?}");
    }
}

/// The same, sorted by session: no verb promises an order of what it ended.
pub(crate) fn sorted(mut ended: Vec<Ended>) -> Vec<Ended> {
    ended.sort_by_key(|ended| ended.session);
    ended
}

const SWEEP_LIMIT: usize = 512;
const MOST_ROUNDS: usize = 2_000;
