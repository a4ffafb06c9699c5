//! A node that looked at a session, and acts on it after another node did: the look saves a round trip, and decides
//! nothing.

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_store::{Lookup, Rekeyed, Replaced, Selector, Version};

use crate::fleet::{Fleet, Node, all_of, hexadecimal};

/// Two nodes, and a session that the first has looked at.
struct Pair {
    fleet: Fleet,
    one: Node,
    other: Node,
    filing: Filing,
    next: Filing,
}

impl Pair {
    fn begin() -> Self {
        let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
        let (one, other) = (fleet.node_beside(), fleet.node_beside());
        let filing = fixtures.signed_in("alice");
        other.file(&filing).unwrap();
        let next = filing.rotated(fixtures.next_digest(&filing), at(1));
        let pair = Self { fleet, one, other, filing, next };
        pair.look();
        pair
    }

    fn look(&self) {
        let found = self.one.get(self.filing.digest, T0).unwrap();
        assert_eq!(found, Lookup::Live(self.filing.live()));
    }

    fn change(&self) -> Replaced {
        let changed = self.filing.clone().with_attribute("cart", *b"a hat");
        self.one.change(&changed, Version::FIRST, at(1)).unwrap()
    }

    fn exchange(&self) -> Rekeyed {
        self.one.exchange(self.filing.digest, Version::FIRST, &self.next, at(1)).unwrap()
    }

    fn is_over(&self) {
        for digest in [self.filing.digest, self.next.digest] {
            for node in [&self.one, &self.other] {
                assert!(!matches!(node.get(digest, at(1)).unwrap(), Lookup::Live(_)), "ended, but alive");
            }
        }
    }
}

#[test]
fn whoever_ended_since_the_look_is_neither_changed_nor_given_another_token() {
    for number in 0..4 {
        for exchanges in [false, true] {
            let pair = Pair::begin();
            let selectors = [
                Selector::One(pair.filing.id()),
                all_of("alice"),
                Selector::IssuedBefore(at(1)),
                Selector::All,
            ];
            pair.other.end(&selectors[number], at(1)).unwrap();
            let is_refused = match exchanges {
                true => matches!(pair.exchange(), Rekeyed::Ended(_)),
                false => matches!(pair.change(), Replaced::Ended(_)),
            };
            assert!(is_refused, "after {:?}", selectors[number]);
            pair.is_over();
        }
    }
}

#[test]
fn whoever_was_forgotten_since_the_look_does_not_come_back() {
    for key in ["l", "e", "r"] {
        for exchanges in [false, true] {
            let pair = Pair::begin();
            let about = match key {
                "l" => hexadecimal(pair.filing.digest.route().as_bytes()),
                "r" => hexadecimal(&pair.filing.digest.to_bytes()),
                _ => String::new(),
            };
            assert_eq!(pair.fleet.servers[0].command(&format!("md cloakroom:{key}{about}")).unwrap(), "HD");
            let is_unknown = match exchanges {
                true => pair.exchange() == Rekeyed::Unknown,
                false => pair.change() == Replaced::Unknown,
            };
            assert!(is_unknown, "without {key}");
            pair.is_over();
        }
    }
}

#[test]
fn a_change_since_the_look_is_a_conflict_and_activity_since_then_is_none() {
    let pair = Pair::begin();
    pair.other.note(pair.filing.digest, at(1)).unwrap();
    assert_eq!(pair.change(), Replaced::Done(Version::from_u64(2)));
    let Lookup::Live(live) = pair.one.get(pair.filing.digest, at(1)).unwrap() else { panic!("it lives") };
    assert_eq!(live.last_seen_at, at(1), "the other's activity is not undone");
    for exchanges in [false, true] {
        let pair = Pair::begin();
        let changed = pair.filing.clone().with_attribute("cart", *b"a scarf");
        pair.other.change(&changed, Version::FIRST, at(1)).unwrap();
        let current = match exchanges {
            true => match pair.exchange() {
                Rekeyed::Conflict(current) => current,
                other => panic!("{other:?}"),
            },
            false => match pair.change() {
                Replaced::Conflict(current) => current,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(*current.record, changed.record);
        assert_eq!(pair.other.get(pair.next.digest, at(1)).unwrap(), Lookup::Unknown);
    }
}

#[test]
fn a_token_exchanged_since_the_look_is_retired() {
    for exchanges in [false, true] {
        let pair = Pair::begin();
        let rival = pair.filing.rotated(Fixtures::new(7).next_digest(&pair.filing), at(1));
        pair.other.exchange(pair.filing.digest, Version::FIRST, &rival, at(1)).unwrap();
        let is_retired = match exchanges {
            true => matches!(pair.exchange(), Rekeyed::Retired(_)),
            false => matches!(pair.change(), Replaced::Retired(_)),
        };
        assert!(is_retired);
        let Lookup::Live(live) = pair.one.get(rival.digest, at(1)).unwrap() else { panic!("it lives") };
        assert_eq!((live.version, &*live.record), (Version::from_u64(2), &rival.record));
    }
}

/// A server that restarted counts versions from the beginning, and comes to the same numbers.
#[test]
fn a_look_before_the_server_restarted_is_worth_nothing() {
    let pair = Pair::begin();
    let Pair { fleet, one, other, filing, next } = &pair;
    let second = Version::from_u64(2);
    let with = |text: &str| filing.clone().with_attribute("cart", text.as_bytes());
    other.note(filing.digest, at(1)).unwrap();
    other.change(&with("before"), Version::FIRST, at(1)).unwrap();
    assert!(matches!(one.get(filing.digest, at(1)).unwrap(), Lookup::Live(live) if live.version == second));
    let server = &fleet.servers[0];
    let version =
        || server.command(&format!("mg cloakroom:r{} c", hexadecimal(&filing.digest.to_bytes()))).unwrap();
    let before = version();
    server.kill();
    server.restart().unwrap();
    other.answers_for(filing.digest, T0);
    other.file(filing).unwrap();
    other.change(&with("after"), Version::FIRST, at(1)).unwrap();
    other.change(&with("later"), second, at(1)).unwrap();
    assert_eq!(version(), before, "the same version of another record");
    one.answers_for(next.digest, T0);
    let answer = one.change(&with("slow"), second, at(1)).unwrap();
    assert!(
        matches!(&answer, Replaced::Conflict(live) if *live.record == with("later").record),
        "{answer:?}"
    );
}
