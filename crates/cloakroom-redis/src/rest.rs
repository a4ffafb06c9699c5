//! A node of a Cluster that does not answer is left alone for a moment, so that nobody waits for it but whoever tries it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether a node may be asked.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// All that is looked at while the node answers.
    rests: AtomicBool,
    /// Counts pauses and ends: what a call of an earlier one came to says nothing about this one.
    epoch: AtomicU64,
    course: Mutex<Option<Course>>,
}

#[derive(Clone, Copy, Debug)]
struct Course {
    pause: Duration,
    until: Instant,
}

impl Rest {
    /// Whether to ask it now. While it rests, one caller is told so for each pause: that one tries.
    pub(crate) fn admits(&self) -> bool {
        if !self.is_under_way() {
            return true;
        }
        let now = timer_now();
        match &mut *self.course() {
            None => true,
            Some(course) if now < course.until => false,
            Some(course) => {
                course.until = now + course.pause;
                true
            }
        }
    }

    /// Whether it rests, by what is known.
    pub(crate) fn is_under_way(&self) -> bool {
        self.rests.load(Ordering::Acquire)
    }

    /// Read before it is asked, and told if it does not answer.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whoever asked it in this epoch was not answered: the pause is twice the last one. Of many that were asked at the same
    /// time the first begins one pause; who was asked before it answered again shows nothing.
    pub(crate) fn begin(&self, asked_in: u64) {
        let mut course = self.course();
        if asked_in != self.epoch() {
            return;
        }
        let pause = course.map_or(SHORTEST, |course| course.pause.saturating_mul(2).min(LONGEST));
        *course = Some(Course { pause, until: timer_now() + pause });
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.rests.store(true, Ordering::Release);
    }

    /// It answered.
    pub(crate) fn end(&self) {
        if !self.is_under_way() {
            return;
        }
        let mut course = self.course();
        if course.take().is_some() {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.rests.store(false, Ordering::Release);
        }
    }

    // Nothing in here panics while it holds the lock.
    fn course(&self) -> MutexGuard<'_, Option<Course>> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a pause has lasted is no instant of a session's life: it is the runtime's time, not a clock's.
#[expect(clippy::disallowed_methods, reason = "pauses are measured on the runtime's timer")]
pub(crate) fn timer_now() -> Instant {
    Instant::now()
}

const SHORTEST: Duration = Duration::from_millis(50);
/// A fail-over is found out by whoever tries: this much later at most.
const LONGEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn begin(rest: &Rest) {
        rest.begin(rest.epoch());
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_is_tried_once_for_each_pause_and_asked_by_all_when_it_does() {
        let rest = Rest::default();
        assert!(rest.admits() && rest.admits());
        for pause in [50, 100, 200, 400, 500, 500].map(Duration::from_millis) {
            begin(&rest);
            assert!(!rest.admits());
            advance(pause - Duration::from_millis(1)).await;
            assert!(!rest.admits(), "{pause:?} are not over");
            advance(Duration::from_millis(1)).await;
            assert!(rest.admits(), "somebody has to try");
            assert!(!rest.admits(), "and nobody else");
        }
        rest.end();
        assert!(rest.admits() && rest.admits());
        begin(&rest);
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits(), "pauses begin anew");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_tries_and_leaves_without_an_answer_is_followed_by_another() {
        let rest = Rest::default();
        begin(&rest);
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits());
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits());
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_that_fail_together_begin_one_pause() {
        let rest = Rest::default();
        let asked_in = rest.epoch();
        (0..16).for_each(|_| rest.begin(asked_in));
        advance(SHORTEST).await;
        assert!(rest.admits(), "the shortest");
        begin(&rest);
        rest.begin(asked_in);
        advance(SHORTEST * 2).await;
        assert!(rest.admits(), "twice as long, for the one that tried");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_answers_again_is_not_left_alone_for_whoever_was_asked_before() {
        let rest = Rest::default();
        let early = rest.epoch();
        begin(&rest);
        let resting = rest.epoch();
        advance(SHORTEST).await;
        assert!(rest.admits());
        rest.end();
        rest.begin(early);
        rest.begin(resting);
        assert!(rest.admits(), "it answered after that");
        begin(&rest);
        assert!(!rest.admits(), "and not any more");
    }
}
