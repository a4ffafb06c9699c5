//! The suite that every store passes, on one server and on three.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_conformance::{Corruption, Effort, Harness, Suite};
use cloakroom_core::TokenDigest;
use cloakroom_memcached::{MemcachedOptions, MemcachedStore};
use cloakroom_servers::Memcached;
use cloakroom_store::Store;

struct Servers {
    addresses: Vec<String>,
    places: AtomicU64,
}

impl Servers {
    fn of(servers: &[Memcached]) -> Self {
        Self { addresses: servers.iter().map(Memcached::address).collect(), places: AtomicU64::new(0) }
    }
}

impl Harness for Servers {
    /// A prefix of its own.
    type Place = String;

    fn place(&self) -> String {
        format!("p{}:", self.places.fetch_add(1, Ordering::Relaxed))
    }

    async fn open(&self, place: &String) -> Arc<dyn Store> {
        let options = MemcachedOptions::new(self.addresses.clone()).with_prefix(place);
        Arc::new(MemcachedStore::connect(options).await.expect("servers that were started answer"))
    }

    async fn corrupt(&self, place: &String, digest: TokenDigest) -> Corruption {
        let hexadecimal: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("{place}r{hexadecimal}");
        let damaged = self.addresses.iter().filter(|address| damage(address, &key)).count();
        assert_eq!(damaged, 1, "a session is on one server");
        Corruption::Done
    }

    fn removes_by_itself(&self) -> bool {
        true
    }

    /// Every call is two or three round trips to another process.
    fn effort(&self) -> Effort {
        Effort { races: 3_000, sequences: 40 }
    }
}

/// Overwrites an item behind everybody's back, where it is; whether it was.
fn damage(address: &str, key: &str) -> bool {
    let mut stream = BufReader::new(TcpStream::connect(address).expect("a server that was started answers"));
    let mut line = String::new();
    let command = [format!("ms {key} 4 MR\r\n").as_bytes(), b"\x01\x00\x01\xC1\r\n"].concat();
    stream.get_mut().write_all(&command).expect("it listens");
    stream.read_line(&mut line).expect("it answers");
    line.starts_with("HD")
}

fn main() -> ExitCode {
    let servers: Vec<Memcached> =
        (0..4).map(|_| Memcached::start_with(&["-m", "128"]).expect("memcached can be started")).collect();
    let (one, three) = servers.split_at(1);
    let suites =
        vec![Suite::new("memcached", Servers::of(one)), Suite::new("memcached-3", Servers::of(three))];
    cloakroom_conformance::run_suites(suites)
}
