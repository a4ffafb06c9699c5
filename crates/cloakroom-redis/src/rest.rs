//! A node of a Cluster that does not answer is left alone for a moment, so that nobody waits for it but whoever tries it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether a node may be asked.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// All that is looked at while the node answers.
    rests: AtomicBool,
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
        if !self.rests.load(Ordering::Acquire) {
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

    /// It did not answer: the pause is twice the last one.
    pub(crate) fn begin(&self) {
        let mut course = self.course();
        let pause = course.map_or(SHORTEST, |course| course.pause.saturating_mul(2).min(LONGEST));
        *course = Some(Course { pause, until: timer_now() + pause });
        self.rests.store(true, Ordering::Release);
    }

    /// It answered.
    pub(crate) fn end(&self) {
        if self.rests.load(Ordering::Acquire) {
            *self.course() = None;
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

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_is_tried_once_for_each_pause_and_asked_by_all_when_it_does() {
        let rest = Rest::default();
        assert!(rest.admits() && rest.admits());
        for pause in [50, 100, 200, 400, 500, 500].map(Duration::from_millis) {
            rest.begin();
            assert!(!rest.admits());
            advance(pause - Duration::from_millis(1)).await;
            assert!(!rest.admits(), "{pause:?} are not over");
            advance(Duration::from_millis(1)).await;
            assert!(rest.admits(), "somebody has to try");
            assert!(!rest.admits(), "and nobody else");
        }
        rest.end();
        assert!(rest.admits() && rest.admits());
        rest.begin();
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits(), "pauses begin anew");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_tries_and_leaves_without_an_answer_is_followed_by_another() {
        let rest = Rest::default();
        rest.begin();
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits());
        advance(Duration::from_millis(50)).await;
        assert!(rest.admits());
    }
}
