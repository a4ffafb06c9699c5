//! One rule, as a function that panics where it is broken.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::TokenDigest;
use cloakroom_store::Capabilities;
use tokio::runtime::Handle;

use crate::harness::{AnyHarness, Corruption, Effort};
use crate::subject::Subject;

/// One rule for stores.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// `verb::sentence_that_states_the_rule`.
    pub(crate) name: &'static str,
    /// For which stores it holds.
    pub(crate) applies: Applies,
    pub(crate) check: fn(&Context),
}

/// For which stores a case holds, by what they claim.
#[derive(Clone, Copy)]
pub(crate) enum Applies {
    /// For all of them.
    Always,
    /// For those that claim all of these.
    With(&'static [Claim]),
    /// For those that do not claim this: the counterpart of the cases that need it.
    Without(Claim),
}

/// A field of [`Capabilities`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    Durable,
    Shared,
    Listing,
    Limits,
    Watch,
}

impl Claim {
    fn is_made(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Durable => capabilities.durable,
            Self::Shared => capabilities.shared,
            Self::Listing => capabilities.listing,
            Self::Limits => capabilities.limits,
            Self::Watch => capabilities.watch,
        }
    }
}

impl Applies {
    pub(crate) fn to(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Always => true,
            Self::With(claims) => claims.iter().all(|claim| claim.is_made(capabilities)),
            Self::Without(claim) => !claim.is_made(capabilities),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a case gets: a place of its own, and how to open a store there.
pub(crate) struct Context {
    harness: Arc<dyn AnyHarness>,
    place: Box<dyn Any + Send + Sync>,
    runtime: Handle,
}

impl Context {
    pub(crate) fn new(harness: Arc<dyn AnyHarness>, runtime: Handle) -> Self {
        let place = harness.place();
        Self { harness, place, runtime }
    }

    /// Opens the store: the first time an empty one; again, whatever is at this place by then.
    pub(crate) async fn open(&self) -> Subject {
        let store = self.harness.open(&*self.place).await;
        Subject::new(store, self.harness.removes_by_itself())
    }

    /// Closes `subject` and opens its place again, as after a restart.
    pub(crate) async fn reopen(&self, subject: Subject) -> Subject {
        subject.close();
        self.open().await
    }

    /// An empty store somewhere else, for a case that needs many; the place lives as long as the context returned.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::new(Arc::clone(&self.harness), self.runtime.clone())
    }

    pub(crate) async fn corrupt(&self, digest: TokenDigest) -> Corruption {
        self.harness.corrupt(&*self.place, digest).await
    }

    pub(crate) fn effort(&self) -> Effort {
        self.harness.effort()
    }

    /// Runs a case that awaits. Panics where it takes longer than any case may: a store that hangs is no pass.
    pub(crate) fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let patience = tokio::time::timeout(PATIENCE, Box::pin(case));
            patience.await.expect("the store answers before the patience of the suite ends")
        })
    }
}

/// The longest a case may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The cases of one file: `cases!("verb", applies; function, …)`.
macro_rules! cases {
    ($group:literal, $applies:expr; $($($case:ident)::+),+ $(,)?) => {
        &[$($crate::case::Case {
            name: $crate::case::name!($group, $($case)::+),
            applies: $applies,
            check: |context| context.block_on($($case)::+(context)),
        }),+]
    };
}
pub(crate) use cases;

/// The name of a case, of whose path only the last word counts.
macro_rules! name {
    ($group:literal, $case:ident) => {
        concat!($group, "::", stringify!($case))
    };
    ($group:literal, $room:ident::$($rest:ident)::+) => {
        $crate::case::name!($group, $($rest)::+)
    };
}
pub(crate) use name;
