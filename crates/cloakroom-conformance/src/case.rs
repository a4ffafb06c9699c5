//! One rule, as a function that panics where it is broken.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::harness::{AnyHarness, AnyPlace, Corruption, Effort};
use crate::subject::Subject;

/// What cases ask: a store, or a list of ends.
pub(crate) trait Tested: Sized + 'static {
    /// What one says of itself: which cases hold for it.
    type Claims: Copy;
    /// What names the bytes that can be damaged.
    type Key;

    /// Every rule there is, by file.
    const CASES: &'static [&'static [Case<Self>]];

    fn claims(&self) -> Self::Claims;

    /// Closes it; nothing else may hold it any more.
    fn close(self);
}

/// One rule, for stores where nothing else is said.
pub(crate) struct Case<S: Tested = Subject> {
    /// `verb::sentence_that_states_the_rule`.
    pub(crate) name: &'static str,
    /// Whether it holds for what claims this.
    pub(crate) applies: fn(S::Claims) -> bool,
    pub(crate) check: fn(&Context<S>),
}

/// What a case gets: a place of its own, and how to open a store or a list there.
pub(crate) struct Context<S = Subject> {
    harness: Arc<dyn AnyHarness<S>>,
    place: Box<AnyPlace>,
    runtime: Handle,
}

impl<S: Tested> Context<S> {
    pub(crate) fn new(harness: Arc<dyn AnyHarness<S>>, runtime: Handle) -> Self {
        let place = harness.place();
        Self { harness, place, runtime }
    }

    /// Opens it: the first time an empty one; again, whatever is at this place by then.
    pub(crate) async fn open(&self) -> S {
        self.harness.open(&*self.place).await
    }

    /// Closes `subject` and opens its place again, as after a restart.
    pub(crate) async fn reopen(&self, subject: S) -> S {
        subject.close();
        self.open().await
    }

    /// An empty one somewhere else, for a case that needs many; the place lives as long as the context returned.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::new(Arc::clone(&self.harness), self.runtime.clone())
    }

    pub(crate) async fn corrupt(&self, key: S::Key) -> Corruption {
        self.harness.corrupt(&*self.place, key).await
    }

    pub(crate) fn effort(&self) -> Effort {
        self.harness.effort()
    }

    /// Runs a case that awaits. Panics where it takes longer than any case may: what hangs is no pass.
    pub(crate) fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let patience = tokio::time::timeout(PATIENCE, Box::pin(case));
            patience.await.expect("an answer comes before the patience of the suite ends")
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
