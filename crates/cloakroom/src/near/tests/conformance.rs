//! A store with a near cache before it is a store.

use std::sync::Arc;

use cloakroom_conformance::{Effort, Harness, Suite};
use cloakroom_memory::MemoryStore;
use cloakroom_store::Store;

use super::around::Eager;
use crate::near::{Harm, Sabotage};

struct Near {
    harm: Harm,
    effort: Effort,
}

impl Harness for Near {
    type Place = ();

    fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn Store> {
        Arc::new(Eager::open(Arc::new(MemoryStore::default()), self.harm).await)
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}

/// The cases that fail.
fn failures(harm: Harm, effort: Effort) -> Vec<String> {
    let suite = Suite::new("near", Near { harm, effort });
    let outcome = |case| suite.check(case).err().map(|failure| format!("{case}: {failure}"));
    suite.cases().filter_map(outcome).collect()
}

#[test]
fn a_store_with_a_near_cache_before_it_passes_the_suite() {
    let failed = failures(Harm::default(), Effort { races: 4_000, sequences: 96 });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_suite_bites_a_near_cache_that_does_not_hear() {
    let failed = failures(Harm::by(Sabotage::ForgetNews), Effort { races: 200, sequences: 8 });
    assert!(!failed.is_empty(), "news that nobody hears goes unnoticed");
}
