//! What follows from a change of the registry, carried out once its lock is released.

use std::task::Waker;

use cloakroom_core::{PrincipalId, SessionId};

use super::StreamEnd;
use crate::event::Masked;

/// Tasks to wake, ends to tell of.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) wakers: Vec<Waker>,
    /// Dropped after the lock is released: a waker may own a task, and that another stream.
    pub(super) spent: Vec<Waker>,
    pub(super) closings: Vec<Closing>,
    /// Whether there is something to do for the task that serves the registry.
    pub(super) work: bool,
}

/// Streams that end together.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) session: SessionId,
    pub(super) principal: Option<PrincipalId>,
    pub(super) end: StreamEnd,
    pub(super) streams: usize,
}

impl Effects {
    pub(super) fn wake_and_tell(self) {
        for closing in self.closings {
            closing.tell();
        }
        for waker in self.wakers {
            waker.wake();
        }
    }
}

impl Closing {
    fn tell(&self) {
        let (reason, streams) = (self.end.as_str(), self.streams);
        metrics::counter!(ENDED, "reason" => reason).increment(u64::try_from(streams).unwrap_or(u64::MAX));
        let session = Masked(Some(self.session));
        let principal = Masked(self.principal.as_ref());
        if self.end == StreamEnd::Unproven {
            tracing::warn!(
                event = "session_streams_unproven",
                %session, %principal, streams,
                "open streams were ended: nothing has shown for too long that their session lives"
            );
        } else {
            tracing::info!(
                event = "session_streams_ended",
                %session, %principal, reason, streams,
                "open streams were ended with their session"
            );
        }
    }
}

/// Describes the metrics of streams.
pub(crate) fn describe() {
    metrics::describe_gauge!(OPEN, "Open streams that wait for the end of their session");
    metrics::describe_counter!(ENDED, "Open streams that were ended, by reason");
}

pub(super) const OPEN: &str = "cloakroom_streams_open";
const ENDED: &str = "cloakroom_streams_ended_total";
