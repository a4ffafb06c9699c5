//! Keeping the watch: the store's news, and the proofs that all of it is here.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::{ErrorKind, Feed, Observer, Parts, StoreError, Verb};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Sessions;
use crate::hub::Hub;
use crate::near::NearStore;
use crate::sealed::Seals;
use crate::system::timer_now;

impl Sessions {
    /// Watches the store and proves the watch, for as long as it is polled. Ends by being dropped, after which nothing that is
    /// remembered is believed any more.
    ///
    /// At most one proof is on its way, and it is given up after a lease: then it is worth nothing. The next one begins a
    /// quarter of a lease after the last, or at once where one is wanted, unless the last one failed.
    pub(crate) async fn keep_watch(&self) -> Infallible {
        if let Some(mirror) = self.seals().and_then(Seals::mirror) {
            return mirror.keep().await;
        }
        if !self.store().capabilities().watch {
            return pending().await;
        }
        // Two watches would be sound, but each would make worthless what the other one knows.
        let _alone = self.hub().alone().await;
        let mut rest = FIRST_REST;
        loop {
            let watching = Watching::begin(self.hub());
            let observer: Arc<dyn Observer> = Arc::<Hub>::clone(self.hub());
            let opening = async {
                let opened = timeout(OPENING, self.store().watch(observer)).await;
                opened.unwrap_or_else(|_| Err(self.overdue()))
            };
            if let Ok(feed) = self.ask(Verb::Watch, opening).await {
                self.prove_again_and_again(&*feed).await;
            }
            drop(watching);
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    async fn prove_again_and_again(&self, feed: &dyn Feed) -> Infallible {
        let pace = self.near_cache_policy().lease() / PROOFS_IN_A_LEASE;
        let (mut tale, mut between) = (Tale::default(), Duration::ZERO);
        loop {
            let (begun, gaps) = (timer_now(), self.gaps());
            let proven = self.prove(feed).await;
            tale.goes_on(self, &proven);
            // A store that answers each proof by telling that anything may have changed (it evicts all the time, say) would be
            // asked again at once, for ever, and none of the answers would count.
            between = if self.gaps() == gaps { Duration::ZERO } else { (between * 2).clamp(SHORTEST, pace) };
            tokio::select! {
                () = sleep(pace) => {}
                () = self.wanted_after(begun + between), if proven.is_ok() => {}
            }
        }
    }

    /// Resolves when a proof is wanted before its time, and `earliest` has come.
    async fn wanted_after(&self, earliest: Instant) {
        self.hub().proof_wanted().await;
        sleep_until(earliest).await;
    }

    fn gaps(&self) -> u64 {
        self.near().map_or(0, NearStore::gaps)
    }

    /// One proof. What it could not prove stays trusted as long as its lease is.
    async fn prove(&self, feed: &dyn Feed) -> Result<Parts, StoreError> {
        let proof = self.hub().begin_proof();
        let answer = timeout(self.near_cache_policy().lease(), feed.prove()).await;
        let parts = answer.unwrap_or_else(|_| Err(self.overdue()));
        match &parts {
            Ok(parts) => self.hub().proven(proof, *parts),
            Err(error) => self.metrics().proof_failed(error),
        }
        if let Some(near) = self.near() {
            near.measure();
        }
        parts
    }

    fn overdue(&self) -> StoreError {
        StoreError::new(ErrorKind::Timeout, self.store().name(), Verb::Watch)
    }
}

/// While it lives the store may be watched. Before and after it nothing is known of what happens.
struct Watching<'a>(&'a Hub);

impl<'a> Watching<'a> {
    fn begin(hub: &'a Hub) -> Self {
        hub.unwatched();
        Self(hub)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.unwatched();
    }
}

/// What is logged of trust: when it is lost, and when it is back; not more often than every few seconds.
#[derive(Default)]
struct Tale {
    /// When it was lost, by the monotonic clock, and whether that was told.
    lost: Option<(Duration, bool)>,
    /// Since when proofs are answered for everything, and yet not everything is believed.
    vain_since: Option<Duration>,
    told_at: Option<Duration>,
}

impl Tale {
    fn goes_on(&mut self, sessions: &Sessions, proven: &Result<Parts, StoreError>) {
        let Some(near) = sessions.near() else { return };
        let (store, now) = (sessions.store().name(), sessions.clock().monotonic());
        let trusted = near.trusted();
        let is_answered = proven.as_ref().is_ok_and(|parts| *parts == Parts::ALL);
        // A part that is missing because something has just ended in it is no loss: the next proof is under way.
        if trusted == Parts::COUNT || (is_answered && trusted > 0) {
            if let Some((since, true)) = self.lost {
                let seconds = now.saturating_sub(since).as_secs_f64();
                tracing::info!(
                    event = "near_cache_trusted",
                    store,
                    seconds,
                    "sessions in memory are believed again"
                );
            }
            (self.lost, self.vain_since) = (None, None);
            return;
        }
        if is_answered {
            let since = *self.vain_since.get_or_insert(now);
            if now.saturating_sub(since) < sessions.near_cache_policy().lease() {
                return;
            }
        }
        let (since, told) = self.lost.unwrap_or((now, false));
        let is_due = self.told_at.is_none_or(|before| now.saturating_sub(before) >= TOLD_EVERY);
        let tell = !told && is_due;
        self.lost = Some((since, told || tell));
        if tell {
            self.told_at = Some(now);
            let cause = match proven {
                Ok(_) if is_answered => "each proof brings news that anything may have changed".to_owned(),
                Ok(parts) => format!("{} of {} parts are proven", parts.numbers().count(), Parts::COUNT),
                Err(error) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
            };
            tracing::warn!(
                event = "near_cache_distrusted",
                store,
                cause,
                "sessions in memory are not believed: the store is asked"
            );
        }
    }
}

/// Proofs begun in a lease: one may take three quarters of it before trust is lost.
const PROOFS_IN_A_LEASE: u32 = 4;
/// Shortest time from the beginning of a proof that was worth nothing to that of the next; doubles, up to the pace.
const SHORTEST: Duration = Duration::from_millis(2);
/// Longest that a store may take to begin to watch.
const OPENING: Duration = Duration::from_secs(10);
/// Rest after a watch that could not be opened; doubles each time.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Shortest time between two lines in the log about lost trust.
const TOLD_EVERY: Duration = Duration::from_secs(10);
