//! Who listens, and what they have heard.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::TokenDigest;
use cloakroom_store::{Feed, News, Observer, Parts};
use tokio::sync::Notify;

use crate::subject::Subject;

/// An instant in what was heard: later than everything heard before, earlier than everything after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Moment(u64);

/// An observer that remembers what it was told last of each digest and of each part.
#[derive(Debug)]
pub(super) struct Ear {
    heard: Mutex<Heard>,
    news: Notify,
    /// The parts it is being told of.
    busy: Vec<AtomicBool>,
    /// How often it pauses while it is being told something.
    pauses: u32,
    was_told_two_things_at_once: AtomicBool,
}

#[derive(Debug, Default)]
struct Heard {
    count: u64,
    digests: BTreeMap<TokenDigest, Moment>,
    parts: BTreeMap<u8, Moment>,
}

impl Ear {
    fn new(pauses: u32) -> Self {
        Self {
            pauses,
            heard: Mutex::default(),
            news: Notify::new(),
            busy: (0..Parts::COUNT).map(|_| AtomicBool::new(false)).collect(),
            was_told_two_things_at_once: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment(self.heard().count)
    }

    /// Whether it was told since then that this may have changed.
    pub(super) fn knows(&self, digest: TokenDigest, since: Moment) -> bool {
        let part = Parts::number_of(digest.route());
        let heard = self.heard();
        let moments = [heard.digests.get(&digest), heard.parts.get(&part)];
        moments.into_iter().flatten().any(|moment| *moment > since)
    }

    /// Returns once it has been told since then that this may have changed.
    pub(super) async fn hears(&self, digest: TokenDigest, since: Moment) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.knows(digest, since) {
                return;
            }
            news.await;
        }
    }

    /// News of one part come one at a time.
    #[track_caller]
    pub(super) fn had_one_thing_at_a_time(&self) {
        let both = self.was_told_two_things_at_once.load(Ordering::SeqCst);
        assert!(!both, "an observer is told one thing at a time of each part");
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each_busy(&self, parts: Parts, mut work: impl FnMut(&AtomicBool)) {
        parts.numbers().filter_map(|number| self.busy.get(usize::from(number))).for_each(&mut work);
    }
}

impl Observer for Ear {
    fn told(&self, news: News<'_>) {
        let (digests, whole) = match news {
            News::Changed(digests) => (digests, Parts::NONE),
            News::Anything(parts) => (&[][..], parts),
            other => panic!("news of a kind that nobody knows: {other:?}"),
        };
        let parts: Parts = digests.iter().map(|digest| Parts::number_of(digest.route())).collect();
        self.each_busy(parts.union(whole), |busy| {
            self.was_told_two_things_at_once.fetch_or(busy.swap(true, Ordering::SeqCst), Ordering::SeqCst);
        });
        // For whoever would come in between.
        (0..self.pauses).for_each(|_| std::thread::yield_now());
        {
            let heard = &mut *self.heard();
            heard.count += 1;
            let now = Moment(heard.count);
            heard.digests.extend(digests.iter().map(|digest| (*digest, now)));
            heard.parts.extend(whole.numbers().map(|number| (number, now)));
        }
        self.each_busy(parts.union(whole), |busy| busy.store(false, Ordering::SeqCst));
        self.news.notify_waiters();
    }
}

/// A feed and who listens to it.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) ear: Arc<Ear>,
    pub(super) feed: Box<dyn Feed>,
}

impl Watch {
    /// Watches `store`, which covers every part from now on.
    pub(super) async fn on(store: &Subject) -> Self {
        Self::listen(store, Ear::new(1)).await
    }

    /// The same with an observer that takes its time.
    pub(super) async fn slow_on(store: &Subject) -> Self {
        Self::listen(store, Ear::new(64)).await
    }

    async fn listen(store: &Subject, ear: Ear) -> Self {
        let ear = Arc::new(ear);
        let feed = store.watch(ear.clone()).await.expect("a store that claims it can be watched");
        let watch = Self { ear, feed };
        watch.prove().await;
        watch
    }

    /// Returns when every part was proven since this was called, be it in several proofs.
    pub(super) async fn prove(&self) {
        let mut proven = Parts::NONE;
        let proving = async {
            while proven != Parts::ALL {
                proven = proven.union(self.feed.prove().await.expect("the feed of a healthy store proves"));
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, proving).await;
        assert!(in_time.is_ok(), "the feed of a healthy store proves every part, not {proven:?}");
    }

    /// Whatever `change` does, a proof that is asked for after it is answered after news of all of `digests`.
    pub(super) async fn is_told<T>(&self, digests: &[TokenDigest], change: impl Future<Output = T>) -> T {
        let since = self.ear.now();
        let answer = change.await;
        self.prove().await;
        let silent: Vec<_> = digests.iter().filter(|digest| !self.ear.knows(**digest, since)).collect();
        assert!(silent.is_empty(), "changed, proven, and not told: {silent:?}");
        answer
    }

    /// Whatever `change` does, nothing is told that includes one of `digests`.
    pub(super) async fn is_not_told<T>(&self, digests: &[TokenDigest], change: impl Future<Output = T>) -> T {
        let since = self.ear.now();
        let answer = change.await;
        self.prove().await;
        let told: Vec<_> = digests.iter().filter(|digest| self.ear.knows(**digest, since)).collect();
        assert!(told.is_empty(), "nothing has happened to these: {told:?}");
        answer
    }
}

/// Longer than a healthy store takes for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
