//! Waiting, but not for ever.

use std::time::Duration;

use tokio::time::{Sleep, sleep};

pub(crate) type Patience = cloakroom_store::Patience<Sleep>;

/// Patience of this length, from now on.
pub(crate) fn of(whole: Duration) -> Patience {
    Patience::new(whole, sleep(whole))
}
