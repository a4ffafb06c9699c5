//! The suite that every list of ends passes, on this one.

use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_conformance::ListHarness;
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::RevocationList;

struct Memory;

impl ListHarness for Memory {
    type Place = ();

    fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn RevocationList> {
        Arc::new(MemoryRevocations::default())
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run_lists("memory", Memory)
}
