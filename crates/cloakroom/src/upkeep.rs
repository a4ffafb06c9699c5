//! What goes on beside the requests.

use std::future::Future;
use std::time::Duration;

use cloakroom_store::{StoreError, SweepRequest, Verb};
use tokio::time::{MissedTickBehavior, interval};

use crate::sealed::Seals;
use crate::{Actor, Sessions};

/// What a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepSummary {
    /// Sessions found to be over.
    pub ended: usize,
    /// Tombstones and retired tokens removed after their retention.
    pub removed: usize,
    /// Whether there is more to do now.
    pub more: bool,
}

impl Sessions {
    /// Writes activity down in batches, clears up, counts sessions and compares the store's clock with ours, until `shutdown` resolves; then writes down
    /// what waits, and returns. Spawn it once, beside the server:
    ///
    /// ```no_run
    /// # async fn example(sessions: cloakroom::Sessions, shutdown: impl Future<Output = ()> + Send + 'static) {
    /// let upkeep = tokio::spawn(async move { sessions.upkeep(shutdown).await });
    /// // … serve …
    /// upkeep.await.unwrap();
    /// # }
    /// ```
    ///
    /// A store that fails stops nothing: it is asked again at the next turn. Where several nodes share a store, one
    /// of them sweeps at a time.
    ///
    /// It also watches the store, where the store tells of changes, and proves the watch: without that nothing in the near
    /// cache is believed, and every validation asks the store.
    pub async fn upkeep(&self, shutdown: impl Future<Output = ()>) {
        // Side by side: a sweep that takes its time must not cost the lease.
        tokio::select! {
            () = self.clear_up(shutdown) => {}
            never = self.keep_watch() => match never {},
        }
        if let Some(mirror) = self.seals().and_then(Seals::mirror) {
            mirror.leave().await;
        }
    }

    async fn clear_up(&self, shutdown: impl Future<Output = ()>) {
        let served = self.touches().serve();
        let mut flushes = interval(FLUSH_INTERVAL);
        let mut sweeps = interval(SWEEP_INTERVAL);
        let mut clocks = interval(CLOCK_INTERVAL);
        for timer in [&mut flushes, &mut sweeps, &mut clocks] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = flushes.tick() => {
                    // The failure is counted and logged where the store was asked; the touches wait.
                    let _ = self.flush().await;
                }
                _ = sweeps.tick() => self.sweep_and_count().await,
                _ = clocks.tick() => {
                    // Compares the clocks, for the metric.
                    let _ = self.ping().await;
                }
            }
        }
        drop(served);
        for _ in 0..LAST_FLUSHES {
            match self.flush().await {
                Ok(_) => return,
                Err(_) => tokio::time::sleep(FLUSH_INTERVAL).await,
            }
        }
        tracing::warn!("activity of the last moments could not be written down; some sessions may end early");
    }

    /// One bounded round of clearing up, whether or not another node has just done it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot answer; the next sweep goes on from there.
    ///
    /// # Cost
    /// One round trip.
    #[tracing::instrument(name = "engine.sweep", level = "debug", skip_all)]
    pub async fn sweep(&self) -> Result<SweepSummary, StoreError> {
        self.sweep_round(Duration::ZERO).await
    }

    async fn sweep_round(&self, lease: Duration) -> Result<SweepSummary, StoreError> {
        let request = SweepRequest { now: self.now(), limit: SWEEP_LIMIT, lease };
        let swept = self.ask(Verb::Sweep, self.asked().sweep(request)).await?;
        for ended in &swept.ended {
            self.report_end(ended, &Actor::System);
        }
        Ok(SweepSummary {
            ended: swept.ended.len(),
            removed: swept.removed,
            more: swept.more && !swept.elsewhere,
        })
    }

    async fn sweep_and_count(&self) {
        // The first round takes the lease, the following ones belong to it.
        let mut lease = SWEEP_INTERVAL / 2;
        for _ in 0..MAX_ROUNDS {
            match self.sweep_round(lease).await {
                Ok(summary) if summary.more => lease = Duration::ZERO,
                Ok(_) => break,
                Err(_) => return,
            }
            tokio::task::yield_now().await;
        }
        if !self.store().capabilities().listing {
            return;
        }
        // Counted for the gauge; a failure is counted and logged where the store was asked.
        let _ = self.count().await;
    }
}

/// Time between batches of touches: the most activity a crash forgets.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Time between sweeps. Sessions end at their instant without any sweep; this only makes room and tells of it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Time between comparisons of clocks: they drift slowly, and are set rarely.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// Sessions looked at in one call of the store: a few milliseconds of an embedded one.
const SWEEP_LIMIT: usize = 500;
/// Calls in one turn, so that a large backlog does not keep touches waiting.
const MAX_ROUNDS: usize = 40;
/// How often the last touches are tried at shutdown.
const LAST_FLUSHES: usize = 6;
