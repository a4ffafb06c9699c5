//! A store that fails for a while is asked again.

use std::io::Write;
use std::time::Duration;

use cloakroom::Clock;
use cloakroom_store::StoreError;

use crate::cli::{CliError, with_sources};
use crate::stores;

/// What `ask` answers; asked again for half a minute while the store cannot be reached or does not answer in time.
pub(super) async fn patiently<T>(
    clock: &dyn Clock,
    stderr: &mut dyn Write,
    ask: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, CliError> {
    let mut failing_since = None;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let now = clock.monotonic();
        let since = *failing_since.get_or_insert(now);
        if !stores::may_come_up(&error) || now.saturating_sub(since) >= PATIENCE {
            return Err(error.into());
        }
        writeln!(stderr, "note: {}; trying again", with_sources(&error))?;
        tokio::time::sleep(PAUSE).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use cloakroom::{ErrorKind, ManualClock, Timestamp};
    use cloakroom_store::Verb;

    use super::*;

    /// Asks a store of which each call takes `each` and fails with `kind` until call number `heals`; how often it was
    /// asked, and whether it answered.
    async fn asked(each: Duration, kind: ErrorKind, heals: u32) -> (u32, bool) {
        let clock = ManualClock::at(Timestamp::EPOCH);
        let calls = Cell::new(0);
        let ask = async || {
            calls.set(calls.get() + 1);
            clock.advance(each);
            if calls.get() >= heals { Ok(()) } else { Err(StoreError::new(kind, "test", Verb::Count)) }
        };
        let answer = patiently(&clock, &mut Vec::new(), ask).await;
        (calls.get(), answer.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_asked_again_for_half_a_minute_however_long_each_answer_takes() {
        let never = u32::MAX;
        assert_eq!(asked(Duration::from_secs(2), ErrorKind::Timeout, never).await, (16, false));
        assert_eq!(asked(Duration::from_secs(12), ErrorKind::Unavailable, never).await, (4, false));
        assert_eq!(asked(Duration::from_secs(2), ErrorKind::Unavailable, 4).await, (4, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_cannot_mend_is_told_at_once() {
        assert_eq!(asked(Duration::from_secs(1), ErrorKind::Corrupt, 9).await, (1, false));
    }
}
