//! Sessions that come from another store, filed by somebody who does not finish.

use std::sync::Arc;
use std::task::Poll;

use cloakroom_conformance::{Filing, Fixtures, at};
use cloakroom_memcached::MemcachedOptions;
use cloakroom_servers::{Look, until};
use cloakroom_store::{Entry, Filed, Imported, Live, Lookup, Store as _, Version};

use crate::fleet::{DEADLINE, Fleet, Node, PATIENCE, hexadecimal};

fn arrival(filing: &Filing) -> Filed {
    let live =
        Live { record: Arc::new(filing.record.clone()), version: Version::from_u64(5), last_seen_at: at(3) };
    Filed { digest: filing.digest, entry: Entry::Live(live) }
}

fn lives(node: &Node, filing: &Filing) {
    let found = node.get(filing.digest, at(4)).unwrap();
    assert!(matches!(&found, Lookup::Live(live) if live.version == Version::from_u64(5)), "{found:?}");
}

/// Runs `check` with an import that has filed its record and not listed it: to be gone on with, or not.
fn halfway(goes_on: bool) {
    let (fleet, filing) = (Fleet::start(1), Fixtures::new(1).signed_in("alice"));
    let options = MemcachedOptions::new([fleet.servers[0].address()]).with_deadline(DEADLINE);
    let (slow, other) = (Node::connect_alone(options), fleet.node_beside());
    let filed = arrival(&filing);
    let mut import = Box::pin(slow.store().import(&filed, at(4)));
    let key = format!("mg cloakroom:r{}", hexadecimal(&filing.digest.to_bytes()));
    let look = || {
        if fleet.servers[0].command(&key).unwrap().starts_with("HD") {
            return Look::Done(());
        }
        slow.run(async {
            let answer = std::future::poll_fn(|context| Poll::Ready(import.as_mut().poll(context))).await;
            assert!(answer.is_pending(), "stopped before it was listed");
            tokio::task::yield_now().await;
        });
        Look::NotYet("the record is not filed".to_owned())
    };
    until("the import to be half-way", PATIENCE, look).unwrap();
    assert_eq!(other.get(filing.digest, at(4)).unwrap(), Lookup::Unknown, "not listed");
    assert_eq!(other.run(other.store().import(&filed, at(4))).unwrap(), Imported::Done, "not to be lost");
    lives(&other, &filing);
    if goes_on {
        assert_eq!(slow.run(import).unwrap(), Imported::AlreadyExists);
    } else {
        drop(import);
    }
    lives(&other, &filing);
    assert_eq!(other.run(other.store().import(&filed, at(4))).unwrap(), Imported::AlreadyExists);
    lives(&other, &filing);
    assert_eq!(other.end_one(&filing, at(5)).unwrap().ended.len(), 1);
    assert_eq!(
        other.run(other.store().import(&filed, at(6))).unwrap(),
        Imported::AlreadyExists,
        "it has ended here"
    );
    assert!(matches!(other.get(filing.digest, at(6)).unwrap(), Lookup::Ended(_)));
}

#[test]
fn a_session_whose_import_nobody_finished_can_be_imported() {
    halfway(false);
}

#[test]
fn of_two_imports_of_one_session_one_is_done_and_the_other_undoes_nothing() {
    halfway(true);
}
