//! What a store does not claim it says it cannot do, and changes nothing.

use std::fmt::Debug;
use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom_core::OnLimit;
use cloakroom_store::{
    Applied, ErrorKind, ExportQuery, InsertRequest, ListFilter, ListQuery, Lookup, News, Observer,
    StoreError, Verb,
};

use super::limit::limit;
use crate::case::{Case, Context, cases};
use crate::fixtures::{Fixtures, T0};
use crate::subject::Subject;

pub(crate) const LISTING: &[Case] = cases!("unsupported", |claims| !claims.listing;
    a_list_answers_unsupported,
    a_count_answers_unsupported,
    an_export_answers_unsupported,
);

pub(crate) const LIMITS: &[Case] = cases!("unsupported", |claims| !claims.limits;
    an_insert_with_a_limit_answers_unsupported_and_files_nothing,
    an_anonymous_insert_ignores_the_limit,
);

pub(crate) const WATCH: &[Case] = cases!("unsupported", |claims| !claims.watch;
    a_watch_answers_unsupported,
);

fn check<T: Debug>(store: &Subject, verb: Verb, answer: Result<T, StoreError>) {
    let error = answer.expect_err("what is not claimed is not done");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unsupported, Applied::No));
    assert_eq!((error.verb(), error.store()), (verb, store.name()));
}

async fn a_list_answers_unsupported(context: &Context) {
    let store = context.open().await;
    check(&store, Verb::List, store.list(&ListQuery::new(ListFilter::default()), T0).await);
}

async fn a_count_answers_unsupported(context: &Context) {
    let store = context.open().await;
    check(&store, Verb::Count, store.count(T0).await);
}

async fn an_export_answers_unsupported(context: &Context) {
    let store = context.open().await;
    check(&store, Verb::Export, store.export(&ExportQuery::new(None, NonZeroU16::MAX), T0).await);
}

async fn a_watch_answers_unsupported(context: &Context) {
    let store = context.open().await;
    check(&store, Verb::Watch, store.watch(Arc::new(Nobody)).await);
}

#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn told(&self, news: News<'_>) {
        panic!("a store that cannot be watched tells nothing, not {news:?}");
    }
}

async fn an_insert_with_a_limit_answers_unsupported_and_files_nothing(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    let limit = limit(100, OnLimit::EndOldest);
    let request =
        InsertRequest { record: &filing.record, digest: filing.digest, limit, replaces: None, now: T0 };
    check(&store, Verb::Insert, store.insert(request).await);
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Unknown);
}

async fn an_anonymous_insert_ignores_the_limit(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).anonymous());
    store.try_file(&filing, limit(1, OnLimit::Refuse), None, T0).await;
    assert_eq!(store.look_up(filing.digest, T0).await, Lookup::Live(filing.live()));
}
