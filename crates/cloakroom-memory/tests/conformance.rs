//! The suite that every store passes, on this one.

use std::process::ExitCode;
use std::sync::Arc;

use cloakroom_conformance::Harness;
use cloakroom_memory::MemoryStore;
use cloakroom_store::Store;

struct Memory;

impl Harness for Memory {
    type Place = ();

    fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn Store> {
        Arc::new(MemoryStore::default())
    }
}

fn main() -> ExitCode {
    cloakroom_conformance::run("memory", Memory)
}
