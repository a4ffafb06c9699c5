//! The store under test, asked in the words of a case.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, PrincipalId, SessionId, SessionLimit, SessionRecord, Timestamp, TokenDigest,
};
use cloakroom_store::{
    Counts, EndRequest, Ended, Ending, InsertRequest, Inserted, ListItem, ListPage, ListQuery, Lookup,
    RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Selector, Store, SweepRequest, Swept, Touch,
    TouchReport, Version,
};

use crate::fixtures::Filing;

/// The store under test. Its own methods panic where the store could not answer; a case that expects an error asks
/// the store itself, which this dereferences to.
#[derive(Clone, Debug)]
pub(crate) struct Subject(Arc<dyn Store>);

impl Deref for Subject {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Subject {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Closes the store, which nothing else may hold any more.
    pub(crate) fn close(self) {
        assert_eq!(Arc::strong_count(&self.0), 1, "a store is closed by dropping the only handle to it");
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
        self.0.insert(request).await.expect("insert answers")
    }

    pub(crate) async fn look_up(&self, digest: TokenDigest, now: Timestamp) -> Lookup {
        self.0.get(digest, now).await.expect("get answers")
    }

    pub(crate) async fn change(
        &self,
        digest: TokenDigest,
        version: Version,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Replaced {
        self.0.replace(ReplaceRequest { digest, version, record, now }).await.expect("replace answers")
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
        self.0.rekey(request).await.expect("rekey answers")
    }

    pub(crate) async fn note(&self, touches: &[(TokenDigest, Timestamp)], now: Timestamp) -> TouchReport {
        let touches: Vec<Touch> =
            touches.iter().map(|&(digest, seen_at)| Touch { digest, seen_at }).collect();
        self.0.touch(&touches, now).await.expect("touch answers")
    }

    pub(crate) async fn finish(&self, selector: &Selector, reason: EndReason, now: Timestamp) -> Ending {
        self.0.end(EndRequest { selector, reason, now }).await.expect("end answers")
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
        self.0.list(query, now).await.expect("list answers")
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
            assert!(query.after.is_none_or(|after| next < after), "every page leads further down: {next:?}");
            query.after = Some(next);
        }
    }

    pub(crate) async fn total(&self, now: Timestamp) -> Counts {
        self.0.count(now).await.expect("count answers")
    }

    /// One round of clearing up that happens in any case.
    pub(crate) async fn sweep_round(&self, now: Timestamp, limit: usize) -> Swept {
        let request = SweepRequest { now, limit, lease: Duration::ZERO };
        let swept = self.0.sweep(request).await.expect("sweep answers");
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
}

/// The same, sorted by session: no verb promises an order of what it ended.
pub(crate) fn sorted(mut ended: Vec<Ended>) -> Vec<Ended> {
    ended.sort_by_key(|ended| ended.session);
    ended
}

const SWEEP_LIMIT: usize = 512;
const MOST_ROUNDS: usize = 2_000;
