//! One rule for lists, as a function that panics where it is broken.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_store::ListStanding;
use tokio::runtime::Handle;

use super::harness::AnyHarness;
use super::subject::List;
use crate::harness::Corruption;

/// One rule for lists.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// `verb::sentence_that_states_the_rule`.
    pub(super) name: &'static str,
    /// For which lists it holds.
    pub(super) applies: fn(ListStanding) -> bool,
    pub(super) check: fn(&Context),
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a case gets: a place of its own, and how to open a list there.
pub(super) struct Context {
    harness: Arc<dyn AnyHarness>,
    place: Box<dyn Any + Send + Sync>,
    runtime: Handle,
}

impl Context {
    pub(super) fn new(harness: Arc<dyn AnyHarness>, runtime: Handle) -> Self {
        let place = harness.place();
        Self { harness, place, runtime }
    }

    /// Opens the list: the first time an empty one; again, whatever is at this place by then.
    pub(super) async fn open(&self) -> List {
        List::new(self.harness.open(&*self.place).await)
    }

    /// Closes `list` and opens its place again, as after a restart.
    pub(super) async fn reopen(&self, list: List) -> List {
        list.close();
        self.open().await
    }

    /// Two handles: of one list where it can be shared, else the same one twice.
    pub(super) async fn two(&self) -> [List; 2] {
        let one = self.open().await;
        let other = if one.standing().shared { self.open().await } else { one.clone() };
        [one, other]
    }

    /// An empty list somewhere else; the place lives as long as the context returned.
    pub(super) fn elsewhere(&self) -> Self {
        Self::new(Arc::clone(&self.harness), self.runtime.clone())
    }

    pub(super) async fn corrupt(&self, number: u64) -> Corruption {
        self.harness.corrupt(&*self.place, number).await
    }

    /// Runs a case that awaits. Panics where it takes longer than any case may: a list that hangs is no pass.
    pub(super) fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let patience = tokio::time::timeout(PATIENCE, Box::pin(case));
            patience.await.expect("the list answers before the patience of the suite ends")
        })
    }
}

/// The longest a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The cases of one file: `list_cases!("verb", applies; function, …)`.
macro_rules! list_cases {
    ($group:literal, $applies:expr; $($case:ident),+ $(,)?) => {
        &[$($crate::lists::case::Case {
            name: concat!($group, "::", stringify!($case)),
            applies: $applies,
            check: |context| context.block_on($case(context)),
        }),+]
    };
}
pub(super) use list_cases;
