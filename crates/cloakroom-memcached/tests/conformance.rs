//! The suite that every store passes, on one server and on three.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_conformance::{Corruption, Effort, Harness, Suite};
use cloakroom_core::TokenDigest;
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_servers::Memcached;
use cloakroom_store::Store;

struct Servers(Arc<Vec<Memcached>>, AtomicU64);

impl Harness for Servers {
    /// A prefix of its own.
    type Place = String;

    fn place(&self) -> String {
        format!("p{}:", self.1.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn Store> {
        let options = MemcachedOptions::new(self.0.iter().map(Memcached::address)).with_prefix(place);
        // Nothing here is about waiting, and machines that run tests are slow at times.
        let options = options.with_deadline(Duration::from_secs(30));
        Arc::new(MemcachedStore::connect(options).await.expect("servers that were started answer"))
    }

    async fn corrupt(&self, place: &String, digest: TokenDigest) -> Corruption {
        let key: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let overwrite = format!("ms {place}r{key} 4 MR\r\n\u{1}\u{0}\u{1}\u{1}");
        let answers = self.0.iter().map(|server| server.command(&overwrite).expect("it answers"));
        assert_eq!(
            answers.filter(|answer| answer.starts_with("HD")).count(),
            1,
            "a session is on one server"
        );
        Corruption::Done
    }

    fn removes_by_itself(&self) -> bool {
        true
    }

    /// Every call is two or three round trips to another process.
    fn effort(&self) -> Effort {
        Effort { races: 1_500, sequences: 32 }
    }
}

fn main() -> ExitCode {
    let start = |_| Memcached::start_with(&["-m", "128"]).expect("memcached can be started");
    let [one, three] = [1, 3].map(|count| Arc::new((0..count).map(start).collect()));
    let suite = |name, servers: &Arc<_>| Suite::new(name, Servers(Arc::clone(servers), AtomicU64::new(0)));
    cloakroom_conformance::run_suites(vec![suite("memcached", &one), suite("memcached-3", &three)])
}
