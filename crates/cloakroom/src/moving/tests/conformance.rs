//! Two stores as one are a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloakroom_conformance::{Effort, Harness, Suite};
use cloakroom_memory::MemoryStore;
use cloakroom_store::Store;

use super::super::MovingStore;

struct Both {
    begun: bool,
}

impl Harness for Both {
    type Place = ();

    fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn Store> {
        let memory = || Arc::new(MemoryStore::default());
        let store = MovingStore::new(memory(), memory());
        // Without the mark itself, which would be one tombstone more than the suite counts.
        store.stage.begun.store(self.begun, Ordering::Release);
        Arc::new(store)
    }

    fn effort(&self) -> Effort {
        Effort { races: 2_000, sequences: 48 }
    }
}

#[test]
fn two_stores_as_one_pass_the_suite_before_moving_begins_and_after() {
    for begun in [false, true] {
        let suite = Suite::new("moving", Both { begun });
        let mut failed = Vec::new();
        for case in suite.cases() {
            // One move at a time: what is under way is not moved itself.
            if case.contains("export")
                || case.contains("import")
                || case.contains("what_came")
                || case.contains("what_comes_after")
            {
                continue;
            }
            if let Err(failure) = suite.check(case) {
                failed.push(format!("{case}: {failure}"));
            }
        }
        assert!(failed.is_empty(), "begun: {begun}\n{}", failed.join("\n"));
    }
}
