//! Waiting for something to become true.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{Failure, Outcome};

/// Asks until there is an answer; gives up after `patience` and says `what` never came.
///
/// # Errors
/// [`Failure`] naming `what`, or the failure of a question.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Outcome<Option<T>>,
) -> impl Future<Output = Outcome<T>> {
    let late = Failure::new(format!("waited {} s for {what}", patience.as_secs()));
    async move {
        let asking = async {
            loop {
                if let Some(answer) = ask().await? {
                    return Ok(answer);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(patience, asking).await.unwrap_or(Err(late))
    }
}

/// Longest wait for a program of ours to start or stop, on a machine that is busy with everything else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
