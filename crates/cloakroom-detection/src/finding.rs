//! What a detector says.

use std::time::Duration;

use cloakroom_core::EndReason;

use crate::{Grade, Place, Signal};

/// A signal that was given, and has not been told of lately.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Which.
    pub signal: Signal,
    /// What is done about it.
    pub grade: Grade,
    /// What gave it.
    pub what: What,
    /// The signal, and the session or account: the same for a repetition.
    pub(crate) key: u64,
    /// The value: the same for a repetition.
    pub(crate) value: u64,
}

/// What gave a signal, without addresses and other people's data.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum What {
    /// Another program.
    Program,
    /// Another network.
    Network {
        /// Where identity was proved.
        from: Place,
        /// Where the session is used.
        to: Place,
    },
    /// So far in so short a time.
    Travel {
        /// Where the session was used before.
        from: Place,
        /// Where it is used.
        to: Place,
        /// Kilometres, at least.
        km: u32,
        /// In this time.
        within: Duration,
    },
    /// Came back to places it had left.
    Returns {
        /// How often.
        count: u32,
        /// Within this time.
        within: Duration,
    },
    /// Used after the end.
    AfterEnd {
        /// Why the session ended.
        reason: EndReason,
        /// How long after.
        later: Duration,
    },
    /// An exchanged token used again.
    Replay {
        /// How long after the exchange.
        later: Duration,
    },
    /// More than so many in a window.
    Burst {
        /// So many would be none.
        count: u32,
        /// The window.
        window: Duration,
    },
}

/// What a detector says about a request.
#[derive(Clone, PartialEq, Debug)]
#[must_use]
pub struct Seen {
    /// What is done about the request: the severest of what its signals ask for.
    pub grade: Grade,
    /// The signals that were not told of lately.
    pub findings: Vec<Finding>,
}

impl Default for Seen {
    /// Nothing.
    fn default() -> Self {
        Self { grade: Grade::Ignore, findings: Vec::new() }
    }
}

/// What a detector says about an exchanged token that is used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Replay {
    /// A request that was on its way while another exchanged the token.
    Ordinary,
    /// It comes soon enough after the exchange, of which nobody here knows from which device it was made: ordinary if it is
    /// the program that identity was proved with ([`Kinship`](crate::Kinship)), else an attack.
    Unclear,
    /// Somebody has a token that was taken before it was exchanged.
    Attack,
}
