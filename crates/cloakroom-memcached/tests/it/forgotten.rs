//! Items that go: each one, at each moment, by eviction, by `flush_all`, for want of memory.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{OnLimit, SessionLimit, TokenDigest};
use cloakroom_memcached::MemcachedOptions;
use cloakroom_servers::Memcached;
use cloakroom_store::{ErrorKind, Inserted, Lookup, Selector, Version};

use crate::fleet::{DEADLINE, Node, all_of};

/// Sessions in every state, reached step by step.
struct Story {
    node: Node,
    fixtures: Fixtures,
    /// Whatever was said to be over.
    over: Vec<(TokenDigest, &'static str)>,
    filed: Vec<Filing>,
}

/// Something that happens, and its name.
type Step = (&'static str, fn(&mut Story));

/// What happens, in this order.
const STEPS: &[Step] = &[
    ("alice signs in", |story| story.sign_in("alice", None)),
    ("alice signs in again", |story| story.sign_in("alice", None)),
    ("her first session ends", |story| story.end(0)),
    ("her second gets another token", |story| story.rotate(1)),
    ("bob signs in", |story| story.sign_in("bob", None)),
    ("bob signs in where one is allowed", |story| story.sign_in("bob", Some(1))),
    ("everything of bob ends", |story| {
        let bobs: Vec<TokenDigest> = story.of("bob");
        if story.node.end(&all_of("bob"), at(5)).is_ok() {
            story.over.extend(bobs.into_iter().map(|digest| (digest, "ended with everything of bob")));
        }
    }),
    ("carol signs in", |story| story.sign_in("carol", None)),
    ("everything ends", |story| {
        if story.node.end(&Selector::All, at(6)).is_ok() {
            let all = story.filed.iter().map(|filing| (filing.digest, "ended with everything"));
            story.over.extend(all);
        }
    }),
    ("alice signs in once more", |story| story.sign_in("alice", None)),
    ("bob signs in once more", |story| story.sign_in("bob", None)),
];

impl Story {
    fn begin(server: &Memcached, number: usize) -> Self {
        let options = MemcachedOptions::new([server.address()]).with_prefix(format!("{number}:"));
        let node = Node::connect_with(options.with_deadline(DEADLINE)).unwrap();
        Self { node, fixtures: Fixtures::new(1), over: Vec::new(), filed: Vec::new() }
    }

    fn sign_in(&mut self, name: &str, max: Option<u32>) {
        let filing = self.fixtures.signed_in(name);
        let limit = max.and_then(std::num::NonZeroU32::new);
        let limit = limit.map(|max| SessionLimit { max, on_limit: OnLimit::EndOldest });
        if let Ok(Inserted::Done { ended }) = self.node.file_limited(&filing, limit) {
            for ended in ended {
                let digest = self.filed.iter().find(|filing| filing.id() == ended.session).unwrap().digest;
                self.over.push((digest, "put out by the limit"));
            }
            self.filed.push(filing);
        }
    }

    fn end(&mut self, number: usize) {
        let filing = self.filed[number].clone();
        if self.node.end_one(&filing, at(1)).is_ok() {
            self.over.push((filing.digest, "ended"));
        }
    }

    fn rotate(&mut self, number: usize) {
        let filing = self.filed[number].clone();
        let next = filing.rotated(self.fixtures.next_digest(&filing), at(2));
        if let Ok(cloakroom_store::Rekeyed::Done(_)) =
            self.node.exchange(filing.digest, Version::FIRST, &next, at(2))
        {
            self.over.push((filing.digest, "exchanged"));
            self.filed[number] = next;
        }
    }

    fn of(&self, name: &str) -> Vec<TokenDigest> {
        let is_own =
            |filing: &&Filing| filing.principal().is_some_and(|principal| principal.as_str() == name);
        self.filed.iter().filter(is_own).map(|filing| filing.digest).collect()
    }

    /// Nothing that is over is alive, whatever clock asks.
    fn check(&self, when: &str) {
        for (digest, why) in &self.over {
            for now in [T0, at(10)] {
                let found = self.node.get(*digest, now);
                assert!(!matches!(found, Ok(Lookup::Live(_))), "{why}, but alive {when}: {found:?}");
            }
        }
    }
}

/// The keys of the items with this prefix.
fn keys(server: &Memcached, prefix: &str) -> BTreeSet<String> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"lru_crawler metadump all\r\n").unwrap();
    let mut keys = BTreeSet::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if line == "END" {
            return keys;
        }
        let key = line
            .strip_prefix("key=")
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| panic!("{line}"));
        let key = key.replace("%3A", ":");
        // Pages of the directory decide about nothing, and there are 64.
        if key.starts_with(prefix) && !key[prefix.len()..].starts_with('d') {
            keys.insert(key);
        }
    }
    panic!("the list ends")
}

#[test]
fn whatever_item_is_lost_at_whatever_moment_nothing_that_ended_is_alive() {
    let server = Memcached::start().unwrap();
    let mut number = 0;
    for moment in 0..=STEPS.len() {
        // The same story tells which items there are at this moment: keys come from digests, which do not change.
        let mut story = Story::begin(&server, number);
        STEPS[..moment].iter().for_each(|(_, step)| step(&mut story));
        let items: Vec<String> = keys(&server, &format!("{number}:"))
            .iter()
            .map(|key| key.split_once(':').unwrap().1.to_owned())
            .collect();
        drop(story);
        for item in &items {
            number += 1;
            let mut story = Story::begin(&server, number);
            for (position, (name, step)) in STEPS.iter().enumerate() {
                if position == moment {
                    server.command(&format!("md {number}:{item}")).unwrap();
                    story.check(&format!("after {item} was lost before {name}"));
                }
                step(&mut story);
                if position >= moment {
                    story.check(&format!("after {name}, with {item} lost at moment {moment}"));
                }
            }
            server.command(&format!("md {number}:{item}")).unwrap();
            story.check(&format!("with {item} lost again at the end"));
        }
        number += 1;
    }
    assert!(number > 60, "many items were lost: {number}");
}

#[test]
fn whatever_two_items_are_lost_at_the_end_nothing_that_ended_is_alive() {
    let server = Memcached::start().unwrap();
    let mut story = Story::begin(&server, 0);
    STEPS[..9].iter().for_each(|(_, step)| step(&mut story));
    let items: Vec<String> = keys(&server, "0:").into_iter().collect();
    for one in &items {
        for other in &items {
            for key in [one, other] {
                server.command(&format!("md {key}")).unwrap();
            }
            story.check(&format!("without {one} and {other}"));
            // What comes afterwards makes some of them anew.
            story.sign_in("alice", None);
            story.check(&format!("without {one} and {other}, and with somebody new"));
            story.filed.clear();
        }
    }
    assert!(items.len() >= 8, "{items:?}");
}

#[test]
fn after_everything_was_flushed_nobody_is_alive_and_everybody_can_sign_in() {
    let server = Memcached::start().unwrap();
    let mut story = Story::begin(&server, 0);
    STEPS.iter().for_each(|(_, step)| step(&mut story));
    assert_eq!(server.command("flush_all").unwrap(), "OK");
    let all: Vec<TokenDigest> = story.filed.iter().map(|filing| filing.digest).collect();
    for digest in &all {
        assert_eq!(story.node.get(*digest, T0).unwrap(), Lookup::Unknown);
    }
    story.check("after flush_all");
    story.sign_in("alice", Some(1));
    let alive = story.filed.last().unwrap();
    assert_eq!(story.node.get(alive.digest, T0).unwrap(), Lookup::Live(alive.live()));
    for digest in &all {
        assert_eq!(story.node.get(*digest, T0).unwrap(), Lookup::Unknown);
    }
}

#[test]
fn what_was_evicted_is_forgotten_and_nothing_that_ended_comes_back() {
    let server = Memcached::start_with(&["-m", "2"]).unwrap();
    let node = Node::connect([server.address()]).unwrap();
    let mut fixtures = Fixtures::new(1);
    let mut filings = Vec::new();
    for number in 0..3_000 {
        let filing =
            fixtures.signed_in(&format!("user{}", number % 700)).with_attribute("data", vec![7; 2_000]);
        assert_eq!(node.file(&filing).unwrap(), Inserted::Done { ended: Vec::new() }, "there is always room");
        let is_ended = number % 3 == 0 && node.end_one(&filing, at(1)).is_ok();
        filings.push((filing, is_ended));
    }
    assert_ne!(server.stat("evictions").unwrap(), "0");
    let (mut forgotten, mut alive) = (0, 0);
    for (filing, is_ended) in &filings {
        match node.get(filing.digest, at(1)).unwrap() {
            Lookup::Live(live) => {
                assert!(!is_ended, "ended, but alive");
                assert_eq!(*live.record, filing.record);
                alive += 1;
            }
            Lookup::Unknown => forgotten += 1,
            Lookup::Ended(_) => assert!(is_ended),
            Lookup::Retired(retired) => panic!("{retired:?}"),
        }
    }
    assert!(forgotten > 500 && alive > 100, "{forgotten} forgotten, {alive} alive");
}

#[test]
fn a_server_that_evicts_nothing_says_when_it_is_full() {
    let server = Memcached::start_with(&["-m", "2", "-M"]).unwrap();
    let node = Node::connect([server.address()]).unwrap();
    let mut fixtures = Fixtures::new(1);
    let mut filed = Vec::new();
    let error = loop {
        let filing =
            fixtures.signed_in(&format!("user{}", filed.len())).with_attribute("data", vec![7; 4_000]);
        match node.file(&filing) {
            Ok(_) => filed.push(filing),
            Err(error) => break error,
        }
        assert!(filed.len() < 10_000, "two megabytes are full some time");
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    for filing in &filed {
        let is_ended = node.end_one(filing, at(1)).is_ok();
        let found = node.get(filing.digest, at(1)).unwrap();
        assert!(!(is_ended && matches!(found, Lookup::Live(_))), "ended, but alive");
    }
}

#[test]
fn whoever_was_forgotten_stands_in_nobodys_way() {
    let server = Memcached::start().unwrap();
    let node = Node::connect([server.address()]).unwrap();
    let mut fixtures = Fixtures::new(1);
    let refuse = Some(SessionLimit { max: std::num::NonZeroU32::MIN, on_limit: OnLimit::Refuse });
    let [first, second, third] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    node.file(&first).unwrap();
    assert_eq!(node.file_limited(&second, refuse).unwrap(), Inserted::LimitReached);
    let key = format!("cloakroom:r{}", crate::fleet::hexadecimal(&first.digest.to_bytes()));
    assert_eq!(server.command(&format!("md {key}")).unwrap(), "HD");
    assert_eq!(node.get(first.digest, T0).unwrap(), Lookup::Unknown);
    assert_eq!(node.file_limited(&second, refuse).unwrap(), Inserted::Done { ended: Vec::new() });
    assert_eq!(node.file_limited(&third, refuse).unwrap(), Inserted::LimitReached);
    assert_eq!(node.get(first.digest, T0).unwrap(), Lookup::Unknown);
}
