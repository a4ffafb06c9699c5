//! Servers that cannot be reached for a while and come back with their old memory.

use cloakroom_conformance::{Filing, Fixtures, Seeded, T0, at};
use cloakroom_core::TokenDigest;
use cloakroom_store::{ErrorKind, Inserted, Lookup, Rekeyed, Selector, Version};

use crate::fleet::{Fleet, Node, all_of};

/// The first session, of as many principals as it takes, whose home is this server.
fn at_home(fleet: &Fleet, node: &Node, fixtures: &mut Fixtures, home: usize) -> Filing {
    for number in 0..100 {
        let filing = fixtures.signed_in(&format!("user{number}"));
        node.file(&filing).unwrap();
        if fleet.server_of(filing.digest) == home {
            return filing;
        }
        node.end_one(&filing, T0).unwrap();
    }
    panic!("every server is somebody's home")
}

fn is_dead(node: &Node, filing: &Filing) {
    let found = node.get(filing.digest, at(9)).unwrap();
    assert!(!matches!(found, Lookup::Live(_)), "ended, but alive: {found:?}");
}

#[test]
fn an_end_that_cannot_reach_its_server_is_an_error_and_one_that_was_acknowledged_holds_when_it_is_back() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    let at_part = at_home(&fleet, &node, &mut fixtures, 0);
    let name = at_part.principal().unwrap();
    fleet.part(0);
    let selectors =
        [Selector::One(at_part.id()), all_of(name.as_str()), Selector::IssuedBefore(at(5)), Selector::All];
    for selector in &selectors {
        let error = node.end(selector, at(6)).expect_err("its server cannot be asked");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{selector:?}");
    }
    let error = node.get(at_part.digest, T0).expect_err("an outage is no sign-out");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Meanwhile the same person signs in elsewhere, twice, and signs out of one.
    let [one, two] = std::array::from_fn(|_| fixtures.signed_in(name.as_str()).issued_at(at(7)));
    for filing in [&one, &two] {
        node.file(filing).unwrap();
        assert_eq!(node.get(filing.digest, at(7)).unwrap(), Lookup::Live(filing.live()));
    }
    assert_eq!(node.end_one(&one, at(8)).unwrap().ended.len(), 1, "its own server can be asked");
    fleet.join(0);
    node.is_well(&mut fixtures);
    assert_eq!(
        node.get(at_part.digest, T0).unwrap(),
        Lookup::Live(at_part.live()),
        "nobody was told that it ended"
    );
    is_dead(&node, &one);
    assert_eq!(
        node.get(two.digest, at(8)).unwrap(),
        Lookup::Live(two.live()),
        "who signed in meanwhile stays"
    );
    // What failed is done again, and holds.
    let ended = node.end(&all_of(name.as_str()), at(9)).unwrap().ended;
    assert_eq!(ended.len(), 2, "wherever they are: {ended:?}");
    for server in 0..3 {
        fleet.part(server);
        for filing in [&at_part, &one, &two] {
            assert!(
                !matches!(node.get(filing.digest, at(9)), Ok(Lookup::Live(_))),
                "without server {server}"
            );
        }
        fleet.join(server);
        node.is_well(&mut fixtures);
    }
    for filing in [&at_part, &one, &two] {
        is_dead(&node, filing);
    }
}

#[test]
fn who_is_replaced_is_ended_wherever_they_are() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    let first = at_home(&fleet, &node, &mut fixtures, 0);
    let name = first.principal().unwrap();
    fleet.part(0);
    let elsewhere = fixtures.signed_in(name.as_str());
    node.file(&elsewhere).unwrap();
    fleet.join(0);
    node.is_well(&mut fixtures);
    let next = fixtures.signed_in(name.as_str());
    let request = cloakroom_store::InsertRequest {
        record: &next.record,
        digest: next.digest,
        limit: None,
        replaces: Some(elsewhere.id()),
        now: T0,
    };
    let inserted = node.run(cloakroom_store::Store::insert(node.store(), request)).unwrap();
    let Inserted::Done { ended } = inserted else { panic!("{inserted:?}") };
    assert_eq!(ended.iter().map(|ended| ended.session).collect::<Vec<_>>(), [elsewhere.id()]);
    is_dead(&node, &elsewhere);
    assert_eq!(node.get(next.digest, T0).unwrap(), Lookup::Live(next.live()));
}

/// What was acknowledged, and nothing else.
#[derive(Default)]
struct Known {
    live: Vec<Filing>,
    over: Vec<(TokenDigest, String)>,
}

impl Known {
    fn bury(&mut self, why: &str, is_meant: impl Fn(&Filing) -> bool) {
        let (over, live) = std::mem::take(&mut self.live).into_iter().partition(|filing| is_meant(filing));
        let over: Vec<Filing> = over;
        self.live = live;
        self.over.extend(over.into_iter().map(|filing| (filing.digest, why.to_owned())));
    }

    fn check(&self, nodes: &[Node], when: &str) {
        for (digest, why) in &self.over {
            for node in nodes {
                let found = node.get(*digest, at(1));
                assert!(!matches!(found, Ok(Lookup::Live(_))), "{why}, but alive {when}: {found:?}");
            }
        }
    }
}

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Two nodes, three servers, and ways to them that come and go: no end that was acknowledged is ever undone. While
/// lanes find their way back at different times, the nodes do not agree on who can be reached.
#[test]
fn no_end_that_was_acknowledged_is_undone_whoever_can_be_reached_when() {
    let plays: Vec<Tally> = (0..6).map(play).collect();
    let total = |of: fn(&Tally) -> usize| plays.iter().map(of).sum::<usize>();
    // How many calls get through depends on how fast ways are found again; that many do, and some do not.
    let (done, failed, over) =
        (total(|tally| tally.done), total(|tally| tally.failed), total(|tally| tally.over));
    assert!(done > 100 && failed > 20 && over > 50, "{done} done, {failed} failed, {over} over");
}

/// How many calls were acknowledged, how many were not, and how many tokens were said to be dead.
struct Tally {
    done: usize,
    failed: usize,
    over: usize,
}

fn play(seed: u64) -> Tally {
    let fleet = Fleet::start(3);
    let nodes = [fleet.node(), fleet.node()];
    let (mut random, mut fixtures, mut known) = (Seeded::new(seed), Fixtures::new(seed), Known::default());
    let mut parted = [false; 3];
    let mut tally = Tally { done: 0, failed: 0, over: 0 };
    for step in 0..160 {
        let server = usize::try_from(random.below(3)).unwrap();
        match random.below(20) {
            0 if !parted[server] => {
                fleet.part(server);
                parted[server] = true;
            }
            1..=5 if parted[server] => {
                fleet.join(server);
                parted[server] = false;
            }
            6 => drop(fleet.servers[server].command("flush_all").unwrap()),
            7 => {
                fleet.servers[server].kill();
                fleet.servers[server].restart().unwrap();
            }
            _ => {}
        }
        let node = &nodes[usize::try_from(random.below(2)).unwrap()];
        match act(node, &mut random, &mut fixtures, &mut known, step) {
            true => tally.done += 1,
            false => tally.failed += 1,
        }
        if step % 8 == 0 {
            known.check(&nodes, &format!("at step {step} of seed {seed}"));
        }
    }
    for (server, _) in parted.iter().enumerate().filter(|(_, is_parted)| **is_parted) {
        fleet.join(server);
    }
    for node in &nodes {
        node.is_well(&mut fixtures);
    }
    known.check(&nodes, &format!("when everybody is back, seed {seed}"));
    tally.over = known.over.len();
    tally
}

/// One call; whether it was acknowledged.
fn act(node: &Node, random: &mut Seeded, fixtures: &mut Fixtures, known: &mut Known, step: u64) -> bool {
    let name = NAMES[usize::try_from(random.below(4)).unwrap()];
    let pick = usize::try_from(random.below(64)).unwrap() % known.live.len().max(1);
    match random.below(12) {
        0..=4 => {
            let filing = fixtures.signed_in(name);
            let is_filed = node.file(&filing).is_ok();
            if is_filed {
                known.live.push(filing);
            }
            is_filed
        }
        5..=7 => {
            let Some(filing) = known.live.get(pick).cloned() else { return true };
            let is_ended = node.end_one(&filing, at(1)).is_ok();
            if is_ended {
                known.bury(&format!("ended alone at step {step}"), |other| other.id() == filing.id());
            }
            is_ended
        }
        8 => {
            let is_ended = node.end(&all_of(name), at(1)).is_ok();
            if is_ended {
                let of = |filing: &Filing| filing.principal().is_some_and(|own| own.as_str() == name);
                known.bury(&format!("ended with {name} at step {step}"), of);
            }
            is_ended
        }
        9 => {
            let is_ended = node.end(&Selector::All, at(1)).is_ok();
            if is_ended {
                known.bury(&format!("ended with everything at step {step}"), |_| true);
            }
            is_ended
        }
        10 => {
            let Some(filing) = known.live.get(pick).cloned() else { return true };
            let next = filing.rotated(fixtures.next_digest(&filing), at(1));
            let answer = node.exchange(filing.digest, Version::FIRST, &next, at(1));
            if let Ok(Rekeyed::Done(_)) = answer {
                known.over.push((filing.digest, format!("exchanged at step {step}")));
                known.live[pick] = next;
            }
            answer.is_ok()
        }
        _ => {
            let Some(filing) = known.live.get(pick) else { return true };
            node.note(filing.digest, at(1)).is_ok()
        }
    }
}
