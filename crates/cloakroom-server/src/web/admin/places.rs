//! Places for what goes on long after an answer began.

use std::collections::HashMap;
use std::sync::Arc;

use cloakroom::PrincipalId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Streams of one kind that are open, so that they stay few.
#[derive(Clone, Debug)]
pub(in crate::web) struct OpenStreams {
    open: Arc<Mutex<HashMap<PrincipalId, usize>>>,
    /// Whether the server stops.
    closing: Arc<watch::Sender<bool>>,
    max_of_one: usize,
    max: usize,
}

/// A place among the open streams, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    streams: OpenStreams,
    closing: watch::Receiver<bool>,
    who: PrincipalId,
}

impl OpenStreams {
    /// Of the live view. Most at once that one person has: so many consoles have they open; and most of all: each reads the
    /// log for itself.
    pub(in crate::web) fn of_live_views() -> Self {
        Self::at_most(8, 64)
    }

    /// Of the log that is taken away: each reads all of it, as fast as it is taken.
    pub(in crate::web) fn of_exports() -> Self {
        Self::at_most(2, 8)
    }

    fn at_most(max_of_one: usize, max: usize) -> Self {
        Self { open: Arc::default(), closing: Arc::default(), max_of_one, max }
    }

    /// Ends them all: the server stops, and would wait for them in vain.
    pub(in crate::web) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn enter(&self, who: &PrincipalId) -> Option<Place> {
        let mut open = self.open.lock();
        let theirs = open.get(who).copied().unwrap_or_default();
        if theirs >= self.max_of_one || open.values().sum::<usize>() >= self.max {
            return None;
        }
        open.insert(who.clone(), theirs + 1);
        Some(Place { closing: self.closing.subscribe(), streams: self.clone(), who: who.clone() })
    }
}

impl Place {
    /// Waits until the server stops.
    pub(super) async fn closed(&mut self) {
        // An error means that the server is gone: as good a reason.
        let _ = self.closing.wait_for(|closing| *closing).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(theirs) = open.get_mut(&self.who) {
            *theirs -= 1;
            if *theirs == 0 {
                open.remove(&self.who);
            }
        }
    }
}
