//! What each verb costs: commands counted by the server itself, round trips by what is between.

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_memcached::MemcachedOptions;
use cloakroom_servers::{Look, Memcached, until};
use cloakroom_store::{Lookup, Selector, Version};

use crate::fleet::{DEADLINE, Node, PATIENCE, all_of};
use crate::meter::Meter;

struct Bench {
    server: Memcached,
    meter: Meter,
    node: Node,
}

/// Reads and writes, as the server counts them, and round trips.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    reads: usize,
    writes: usize,
    round_trips: usize,
}

impl Bench {
    fn new() -> Self {
        let server = Memcached::start().unwrap();
        let meter = Meter::to(server.port());
        let options = MemcachedOptions::new([meter.address.clone()]).with_deadline(DEADLINE);
        let node = Node::connect_alone(options.with_connections(std::num::NonZeroUsize::MIN));
        Self { server, meter, node }
    }

    fn stat(&self, field: &str) -> usize {
        self.server.stat(field).unwrap().parse().unwrap()
    }

    fn seen(&self) -> Cost {
        let writes = self.stat("cmd_set") + self.stat("delete_hits") + self.stat("delete_misses");
        Cost { reads: self.stat("cmd_get"), writes, round_trips: self.meter.round_trips() }
    }

    /// Waits until nothing goes on in the background: the same counts in several looks.
    fn quiet(&self) -> Cost {
        let mut last = self.seen();
        let mut same = 0;
        let look = || {
            self.node.run(async {
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
            });
            let seen = self.seen();
            same = if seen == last { same + 1 } else { 0 };
            last = seen;
            if same >= 20 { Look::Done(seen) } else { Look::NotYet("something goes on".to_owned()) }
        };
        until("silence", PATIENCE, look).unwrap()
    }

    /// What `call` costs its caller: until it answers.
    fn cost<T>(&self, call: impl FnOnce() -> T) -> Cost {
        let before = self.quiet();
        call();
        let after = self.seen();
        Cost {
            reads: after.reads - before.reads,
            writes: after.writes - before.writes,
            round_trips: after.round_trips - before.round_trips,
        }
    }

    fn filed(&self, fixtures: &mut Fixtures) -> Filing {
        let filing = fixtures.signed_in("alice");
        self.node.file(&filing).unwrap();
        filing
    }
}

fn check(cost: Cost, reads: usize, writes: usize, round_trips: usize) {
    assert_eq!(cost, Cost { reads, writes, round_trips });
}

#[test]
fn a_cold_look_up_is_one_round_trip_whatever_it_finds() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let [alive, ended, rotated] = std::array::from_fn(|_| bench.filed(&mut fixtures));
    bench.node.end_one(&ended, at(1)).unwrap();
    let next = rotated.rotated(fixtures.next_digest(&rotated), at(1));
    bench.node.exchange(rotated.digest, Version::FIRST, &next, at(1)).unwrap();
    for digest in [alive.digest, ended.digest, rotated.digest, next.digest, fixtures.anonymous().digest] {
        check(bench.cost(|| bench.node.get(digest, at(1)).unwrap()), 3, 0, 1);
    }
}

#[test]
fn a_change_of_what_was_just_read_is_one_round_trip_and_two_otherwise() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let filing = bench.filed(&mut fixtures).with_attribute("cart", *b"a hat");
    check(bench.cost(|| bench.node.change(&filing, Version::FIRST, at(1)).unwrap()), 3, 1, 2);
    bench.node.get(filing.digest, at(1)).unwrap();
    let changed = filing.with_attribute("cart", *b"a scarf");
    let second = Version::from_u64(2);
    check(bench.cost(|| bench.node.change(&changed, second, at(1)).unwrap()), 2, 1, 1);
    let Lookup::Live(live) = bench.node.get(changed.digest, at(1)).unwrap() else { panic!("it lives") };
    assert_eq!((live.version, &*live.record), (second.next(), &changed.record));
}

#[test]
fn activity_is_a_read_and_a_swap() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let filing = bench.filed(&mut fixtures);
    check(bench.cost(|| bench.node.note(filing.digest, at(2)).unwrap()), 2, 1, 2);
}

#[test]
fn an_exchange_of_what_was_just_read_is_two_round_trips_and_three_otherwise() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let filing = bench.filed(&mut fixtures);
    let next = filing.rotated(fixtures.next_digest(&filing), at(1));
    check(bench.cost(|| bench.node.exchange(filing.digest, Version::FIRST, &next, at(1)).unwrap()), 3, 3, 3);
    bench.node.get(next.digest, at(1)).unwrap();
    let last = next.rotated(fixtures.next_digest(&filing), at(2));
    let second = Version::from_u64(2);
    check(bench.cost(|| bench.node.exchange(next.digest, second, &last, at(2)).unwrap()), 2, 3, 2);
    for (digest, lives) in [(filing.digest, false), (next.digest, false), (last.digest, true)] {
        let found = bench.node.get(digest, at(2)).unwrap();
        assert_eq!(matches!(found, Lookup::Live(_)), lives, "{found:?}");
    }
}

#[test]
fn a_sign_in_with_a_limit_is_two_round_trips_also_where_somebody_has_to_go() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    bench.filed(&mut fixtures);
    let limit = SessionLimit { max: std::num::NonZeroU32::new(2).unwrap(), on_limit: OnLimit::EndOldest };
    for _ in 0..3 {
        let filing = fixtures.signed_in("alice");
        check(bench.cost(|| bench.node.file_limited(&filing, Some(limit)).unwrap()), 4, 2, 2);
        assert!(matches!(bench.node.get(filing.digest, T0).unwrap(), Lookup::Live(_)));
    }
}

#[test]
fn ending_one_many_or_everything_is_a_read_and_a_swap() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let one = bench.filed(&mut fixtures);
    check(bench.cost(|| bench.node.end_one(&one, at(1)).unwrap()), 3, 1, 2);
    for many in [1, 50] {
        for _ in 0..many {
            bench.filed(&mut fixtures);
        }
        let mut ended = 0;
        let cost = bench.cost(|| ended = bench.node.end(&all_of("alice"), at(1)).unwrap().ended.len());
        assert_eq!(ended, many);
        check(cost, 2, 1, 2);
    }
    bench.filed(&mut fixtures);
    let before = bench.quiet();
    let ending = bench.node.end(&Selector::All, at(1)).unwrap();
    assert_eq!(ending.swept_later, 1);
    assert!(
        bench.seen().round_trips - before.round_trips <= 4,
        "the end is two, counting the ended two more"
    );
}

/// As memcached counts it: keys, values and what it keeps beside them, not what its slabs round up to.
#[test]
fn a_session_takes_230_bytes_besides_its_record_and_80_more_where_it_is_alone_on_its_route() {
    let (bench, mut fixtures) = (Bench::new(), Fixtures::new(1));
    let sessions = 500;
    let mut record = Vec::new();
    cloakroom_store::encode_record(&fixtures.signed_in("alice").record, &mut record).unwrap();
    let mut before = bench.stat("bytes");
    for (is_alone, expected) in [(false, 230), (true, 310)] {
        for number in 0..sessions {
            let name = if is_alone { format!("user{number}") } else { "alice".to_owned() };
            bench.node.file(&fixtures.signed_in(&name)).unwrap();
        }
        let bytes = bench.stat("bytes");
        let beside = ((bytes - before) / sessions).saturating_sub(record.len());
        assert!(beside.abs_diff(expected) <= 20, "{beside} bytes besides the record");
        before = bytes;
    }
}
