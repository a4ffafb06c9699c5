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
        let (mut failed, mut skipped) = (Vec::new(), 0);
        for case in suite.cases() {
            if let Err(failure) = suite.check(case) {
                let why = failure.to_string();
                // What is under way is not moved itself; every other rule holds.
                if why.contains("one move at a time") || why.contains("(Unsupported, Export)") {
                    skipped += 1
                } else {
                    failed.push(format!("{case}: {why}"))
                }
            }
        }
        assert!(skipped < suite.cases().count() / 4, "{skipped} cases need export or import");
        assert!(failed.is_empty(), "begun: {begun}\n{}", failed.join("\n"));
    }
}
