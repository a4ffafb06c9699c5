//! An exchange of a token that is stopped half-way: what happens meanwhile counts, and what it then does does not undo
//! it.

use std::pin::Pin;
use std::task::Poll;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_memcached::MemcachedOptions;
use cloakroom_servers::{Look, until};
use cloakroom_store::{Lookup, RekeyRequest, Rekeyed, Replaced, Store as _, StoreFuture, Version};

use crate::fleet::{DEADLINE, Fleet, Node, PATIENCE, hexadecimal};

/// A session, and an exchange of its token that has filed the new record and not listed it.
struct Halfway {
    fleet: Fleet,
    slow: Node,
    other: Node,
    filing: Filing,
    next: Filing,
}

impl Halfway {
    /// Once by a node that has just looked at the session, once by one that has not.
    fn twice(check: fn(Self)) {
        for has_looked in [false, true] {
            let story = Self::begin();
            if has_looked {
                assert!(matches!(story.slow.get(story.filing.digest, T0).unwrap(), Lookup::Live(_)));
            }
            check(story);
        }
    }

    fn begin() -> Self {
        let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
        let other = fleet.node_beside();
        let options = MemcachedOptions::new([fleet.servers[0].address()]).with_deadline(DEADLINE);
        let slow = Node::connect_alone(options);
        let filing = fixtures.signed_in("alice");
        other.file(&filing).unwrap();
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        Self { fleet, slow, other, filing, next }
    }

    fn exchange(&self) -> RekeyRequest<'_> {
        RekeyRequest {
            old: self.filing.digest,
            new: self.next.digest,
            version: Version::FIRST,
            record: &self.next.record,
            now: at(1),
        }
    }

    /// Goes on with an exchange until the new record is filed, and no further.
    fn go_halfway(&self, exchange: &mut Pin<Box<StoreFuture<'_, Rekeyed>>>) {
        let key = format!("mg cloakroom:r{}", hexadecimal(&self.next.digest.to_bytes()));
        let look = || {
            if self.fleet.servers[0].command(&key).unwrap().starts_with("HD") {
                return Look::Done(());
            }
            self.slow.run(async {
                let answer =
                    std::future::poll_fn(|context| Poll::Ready(exchange.as_mut().poll(context))).await;
                assert!(answer.is_pending(), "stopped before it was listed");
                tokio::task::yield_now().await;
            });
            Look::NotYet("the new record is not filed".to_owned())
        };
        until("the exchange to be half-way", PATIENCE, look).unwrap();
    }

    fn found(&self) -> (Lookup, Lookup) {
        (self.other.get(self.filing.digest, at(1)).unwrap(), self.other.get(self.next.digest, at(1)).unwrap())
    }
}

#[test]
fn half_way_through_an_exchange_the_old_token_lives_and_the_new_one_does_not() {
    Halfway::twice(|story| {
        let mut exchange = Box::pin(story.slow.store().rekey(story.exchange()));
        story.go_halfway(&mut exchange);
        assert_eq!(story.found(), (Lookup::Live(story.filing.live()), Lookup::Unknown));
        // Its node dies here: nothing is lost, and somebody else can exchange the token.
        drop(exchange);
        let again = story.filing.rotated(Fixtures::new(7).next_digest(&story.filing), at(2));
        let answer = story.other.exchange(story.filing.digest, Version::FIRST, &again, at(2)).unwrap();
        assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
        assert!(matches!(story.found(), (Lookup::Retired(_), Lookup::Unknown)));
        assert!(matches!(story.other.get(again.digest, at(2)).unwrap(), Lookup::Live(_)));
    });
}

#[test]
fn a_change_acknowledged_half_way_through_an_exchange_is_not_lost() {
    Halfway::twice(|story| {
        let mut exchange = Box::pin(story.slow.store().rekey(story.exchange()));
        story.go_halfway(&mut exchange);
        let changed = story.filing.clone().with_attribute("cart", *b"a hat");
        let answer = story.other.change(&changed, Version::FIRST, at(1)).unwrap();
        assert_eq!(answer, Replaced::Done(Version::from_u64(2)));
        let Rekeyed::Conflict(current) = story.slow.run(exchange).unwrap() else {
            panic!("the exchange was of the version before")
        };
        assert_eq!((*current.record).clone(), changed.record);
        assert!(matches!(story.found(), (Lookup::Live(live), Lookup::Unknown) if live == current));
    });
}

#[test]
fn a_sign_out_half_way_through_an_exchange_is_final() {
    Halfway::twice(|story| {
        let mut exchange = Box::pin(story.slow.store().rekey(story.exchange()));
        story.go_halfway(&mut exchange);
        assert_eq!(story.other.end_one(&story.filing, at(1)).unwrap().ended.len(), 1);
        assert!(matches!(story.slow.run(exchange).unwrap(), Rekeyed::Ended(_)));
        assert!(matches!(story.found(), (Lookup::Ended(_), Lookup::Unknown)));
    });
}

#[test]
fn of_two_exchanges_that_are_both_half_way_one_is_done() {
    Halfway::twice(|story| {
        let mut exchange = Box::pin(story.slow.store().rekey(story.exchange()));
        story.go_halfway(&mut exchange);
        let rival = story.filing.rotated(Fixtures::new(7).next_digest(&story.filing), at(1));
        let answer = story.other.exchange(story.filing.digest, Version::FIRST, &rival, at(1)).unwrap();
        assert_eq!(answer, Rekeyed::Done(Version::from_u64(2)));
        assert!(matches!(story.slow.run(exchange).unwrap(), Rekeyed::Retired(_)));
        assert!(matches!(story.found(), (Lookup::Retired(_), Lookup::Unknown)));
        assert!(matches!(story.other.get(rival.digest, T0).unwrap(), Lookup::Live(_)));
    });
}
