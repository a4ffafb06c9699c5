//! How far a verb has come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom_store::{StoreError, Verb};
use tokio::time::Instant;

use crate::call::Call;
use crate::error::Problem;
use crate::link::Connection;
use crate::node::{Lane, Node};
use crate::script::Access;

/// How far a verb has come: what its caller has to be told if it fails now.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Changes that were sent and not refused.
    in_doubt: AtomicUsize,
    /// Whom it waits for.
    waiting: Mutex<Vec<Waiting>>,
}

/// An answer that was not heard yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) node: Arc<Node>,
    pub(crate) lane: Lane,
    pub(crate) connection: Connection,
    pub(crate) asked: Asked,
}

/// When a node was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Known in a Cluster alone: elsewhere nobody is left alone for being silent.
    pub(crate) at: Option<Instant>,
    /// What the node's rest had come to by then.
    pub(crate) epoch: u64,
}

impl Asked {
    /// Whether it has been silent for so long since.
    pub(crate) fn is_silent_for(&self, patience: Duration) -> bool {
        self.at.is_some_and(|at| at.elapsed() >= patience)
    }
}

impl Progress {
    pub(crate) fn sends(&self, call: &Call, node: &Arc<Node>, connection: &Connection, asked: Asked) {
        if call.script.access != Access::Reads {
            self.in_doubt.fetch_add(1, Ordering::AcqRel);
        }
        let (node, connection) = (Arc::clone(node), connection.clone());
        self.waiting().push(Waiting { node, lane: call.lane, connection, asked });
    }

    /// The other end of a connection is there: whatever else may be waited for, it is not the connection's fault.
    pub(crate) fn hears(&self, connection: &Connection) {
        self.waiting().retain(|waiting| !waiting.connection.is(connection));
    }

    pub(crate) fn was_refused(&self, call: &Call) {
        if call.script.access != Access::Reads {
            self.in_doubt.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn error(&self, problem: Problem, verb: Verb) -> StoreError {
        let error = problem.into_error(verb);
        if self.in_doubt.load(Ordering::Acquire) > 0 { error.maybe_applied() } else { error }
    }

    /// Whom it waited for: nobody waits for them any more.
    pub(crate) fn stop_waiting(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
