//! What was just looked at, so that the change that follows need not look again.
//!
//! Nothing is decided by it. It knows by which version a record can be swapped; whether its session lives is asked in the
//! same breath.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cloakroom_core::TokenDigest;
use parking_lot::Mutex;

use crate::client::{Cas, Link};
use crate::layout::filed::Record;
use crate::layout::ledger::Entry;

/// Sessions that were found alive a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Shelf>);

/// A session as it was found alive.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    /// The server that has it.
    pub(crate) position: usize,
    /// The connection through which, and only through which, the version is worth something.
    pub(crate) link: Arc<Link>,
    pub(crate) entry: Entry,
    pub(crate) record: Record,
    pub(crate) cas: Cas,
}

#[derive(Debug, Default)]
struct Shelf {
    glances: HashMap<TokenDigest, Glance>,
    /// The order in which they came; some of them were taken away since.
    order: VecDeque<TokenDigest>,
    bytes: usize,
}

impl Recent {
    /// Remembers a session, for as long as there is room.
    pub(crate) fn note(&self, digest: TokenDigest, glance: Glance) {
        let bytes = size(&glance);
        if bytes > MOST_BYTES {
            return;
        }
        let mut shelf = self.0.lock();
        shelf.take(digest);
        shelf.bytes = shelf.bytes.saturating_add(bytes);
        shelf.glances.insert(digest, glance);
        shelf.order.push_back(digest);
        while shelf.order.len() > MOST || shelf.bytes > MOST_BYTES {
            let Some(oldest) = shelf.order.pop_front() else { break };
            shelf.take(oldest);
        }
    }

    /// The session, if it was looked at; it is good for one change.
    pub(crate) fn take(&self, digest: TokenDigest) -> Option<Glance> {
        self.0.lock().take(digest)
    }
}

impl Shelf {
    fn take(&mut self, digest: TokenDigest) -> Option<Glance> {
        let glance = self.glances.remove(&digest)?;
        self.bytes = self.bytes.saturating_sub(size(&glance));
        Some(glance)
    }
}

fn size(glance: &Glance) -> usize {
    size_of::<Glance>().saturating_add(glance.record.record.memory_size())
}

/// Most looks remembered: a change follows within its request, so this many requests may be on their way.
const MOST: usize = 4_096;
/// Most memory for them.
const MOST_BYTES: usize = 8 * 1_024 * 1_024;
