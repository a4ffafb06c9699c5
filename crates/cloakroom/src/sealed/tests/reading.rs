//! Who waits for a reading, for how long, and what the log says where there is none.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{ErrorKind, StoreError, Verb};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::sabotaged::{Site, end, visit};
use crate::{Activity, Clock as _, SessionError, Validation};

#[tokio::test]
async fn a_request_is_answered_in_time_however_long_the_list_is_and_what_was_read_stays_read() {
    let site = Site::new();
    let issued = visit(&site.node()).await;
    let writes = site.node();
    for _ in 0..PAGES {
        end(&writes, &visit(&writes).await).await;
    }
    let cold = site.node();
    *site.list.takes.lock() = A_PAGE;
    *site.list.pages.lock() = 0;
    let mut refused = 0;
    loop {
        let before = site.list.clock.monotonic();
        let said = cold.validate(&issued.token, Activity::Ignored).await;
        let took = site.list.clock.monotonic() - before;
        assert!(took <= LONGEST + A_PAGE, "a request took {took:?}");
        match said {
            Ok(said) => break assert!(matches!(said, Validation::Active(_)), "{said:?}"),
            Err(error) => assert!(error.is_unavailable() && error.retry_after().is_some(), "{error}"),
        }
        refused += 1;
        // Clients come again after a while.
        site.list.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(refused, 24, "forty pages each");
    assert_eq!(*site.list.pages.lock(), PAGES, "none of them twice");
}

#[tokio::test(start_paused = true)]
async fn the_log_says_why_the_list_cannot_be_read_and_requests_are_told_to_come_again() {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let _heard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let site = Site::new();
    let node = site.node();
    let issued = visit(&node).await;
    *site.list.fails.lock() = Some(|| {
        StoreError::new(ErrorKind::Corrupt, "memory", Verb::Watch).caused_by("entry 7 has an unknown scope")
    });
    let keeps = node.clone();
    let upkeep = tokio::spawn(async move { keeps.upkeep(std::future::pending()).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    upkeep.abort();
    let said = lines.lock().iter().find(|line| line.contains("revocation_list_unread")).cloned().unwrap();
    assert!(said.contains("corrupt") && said.contains("entry 7 has an unknown scope"), "{said}");
    let error = node.validate(&issued.token, Activity::Ignored).await.unwrap_err();
    assert!(matches!(&error, SessionError::Store(_)) && error.is_unavailable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_log_says_that_an_empty_list_takes_nothing_and_why() {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let _heard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let site = Site::new();
    *site.list.refuses.lock() =
        Some(|| StoreError::new(ErrorKind::ReadOnly, "memory", Verb::End).caused_by("the disk is full"));
    let node = site.node();
    let upkeep = tokio::spawn(async move { node.upkeep(std::future::pending()).await });
    tokio::time::sleep(Duration::from_secs(20)).await;
    upkeep.abort();
    let lines = lines.lock();
    let said: Vec<_> = lines.iter().filter(|line| line.contains("revocation_list_unwritten")).collect();
    assert_eq!(said.len(), 1, "once, not at every turn: {said:?}");
    assert!(said[0].contains("the disk is full") && said[0].contains("entries=1"), "{said:?}");
}

/// Remembers what is logged, as words.
struct Lines(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.lock().push(words.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A million entries, in pages of 1,024.
const PAGES: usize = 977;
const A_PAGE: Duration = Duration::from_millis(50);
/// What is promised: see `LONGEST_WAIT`.
const LONGEST: Duration = Duration::from_secs(2);
