//! Servers that die or hang: any number of them.

use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_store::{Applied, ErrorKind, Inserted, Lookup, Selector, Store as _, Touch};

use crate::fleet::{DEADLINE, Fleet, Node, PATIENCE, all_of, clock};

/// Sessions of different principals, until each of these servers has as many of them; the server of each.
fn sessions(
    fleet: &Fleet,
    node: &Node,
    fixtures: &mut Fixtures,
    (servers, each): (&[usize], usize),
) -> Vec<(Filing, usize)> {
    let mut filed: Vec<(Filing, usize)> = Vec::new();
    for number in 0..1_000 {
        let filing = fixtures.signed_in(&format!("user{number}"));
        assert_eq!(node.file(&filing).unwrap(), Inserted::Done { ended: Vec::new() });
        let server = fleet.server_of(filing.digest);
        filed.push((filing, server));
        let of = |server: &usize| filed.iter().filter(|(_, at)| at == server).count();
        if servers.iter().all(|server| of(server) >= each) {
            return filed;
        }
    }
    panic!("every server is somebody's home")
}

fn live(filing: &Filing) -> Lookup {
    Lookup::Live(filing.live())
}

#[test]
fn with_a_server_lost_its_sessions_are_unavailable_the_others_live_and_everybody_can_sign_in() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    let before = sessions(&fleet, &node, &mut fixtures, (&[0, 1, 2], 4));
    fleet.servers[0].kill();
    let mut after = Vec::new();
    for (filing, server) in &before {
        match node.get(filing.digest, T0) {
            Ok(found) => assert_eq!((found, *server != 0), (live(filing), true)),
            Err(error) => assert_eq!((error.kind(), *server), (ErrorKind::Unavailable, 0), "{error:?}"),
        }
        let name = filing.principal().unwrap();
        let again = fixtures.signed_in(name.as_str());
        assert_eq!(node.file(&again).unwrap(), Inserted::Done { ended: Vec::new() }, "{name} signs in again");
        assert_eq!(node.get(again.digest, T0).unwrap(), live(&again));
        after.push((again, *server));
    }
    let end = node.end(&all_of("user0"), at(10)).expect_err("not every server could be asked");
    assert_eq!(end.kind(), ErrorKind::Unavailable);
    for (filing, server) in before.iter().filter(|(_, server)| *server == 0) {
        let end = node.end_one(filing, at(10)).expect_err("it may live on the server that is away");
        assert_eq!((end.kind(), end.applied(), *server), (ErrorKind::Unavailable, Applied::No, 0));
    }
    fleet.servers[0].restart().unwrap();
    node.is_well(&mut fixtures);
    for (filing, server) in &before {
        let found = node.get(filing.digest, T0).unwrap();
        let is_ended = filing.principal().is_some_and(|name| name.as_str() == "user0");
        match found {
            Lookup::Unknown => assert_eq!(*server, 0, "what died with its server is forgotten"),
            Lookup::Ended(_) => assert!(is_ended),
            found => assert_eq!((found, *server != 0), (live(filing), true)),
        }
    }
    for (filing, _) in &after {
        let is_ended = filing.principal().is_some_and(|name| name.as_str() == "user0");
        let found = node.get(filing.digest, T0).unwrap();
        assert_eq!(
            matches!(found, Lookup::Live(_)),
            !is_ended,
            "who signed in meanwhile lives on: {found:?}"
        );
        assert_eq!(node.end_one(filing, at(20)).unwrap().ended.len(), usize::from(!is_ended));
        assert!(!matches!(node.get(filing.digest, at(20)).unwrap(), Lookup::Live(_)));
    }
}

#[test]
fn with_a_server_lost_the_activity_of_everybody_elsewhere_is_noted_and_it_is_said_whose_is_not() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    let people = sessions(&fleet, &node, &mut fixtures, (&[0, 1, 2], 2));
    fleet.servers[0].kill();
    let touches: Vec<Touch> =
        people.iter().map(|(filing, _)| Touch { digest: filing.digest, seen_at: at(7) }).collect();
    let error = node.run(node.store().touch(&touches, at(7))).expect_err("not all can be noted");
    assert!(error.is_of_a_part(), "{error:?}");
    let noted = error.noted().expect("some are");
    for (filing, server) in &people {
        assert_eq!(noted.missed.contains(&filing.digest), *server == 0);
        if *server != 0 {
            let Lookup::Live(found) = node.get(filing.digest, at(7)).unwrap() else { panic!("it lives") };
            assert_eq!(found.last_seen_at, at(7));
        }
    }
    assert_eq!((noted.report.touched, noted.report.ignored), (people.len() - noted.missed.len(), 0));
}

#[test]
fn with_all_servers_but_one_lost_everybody_can_sign_in_and_sign_out() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    fleet.servers[0].kill();
    fleet.servers[1].kill();
    for (filing, server) in sessions(&fleet, &node, &mut fixtures, (&[2], 12)) {
        assert_eq!(server, 2);
        assert_eq!(node.get(filing.digest, T0).unwrap(), live(&filing));
        assert_eq!(node.end_one(&filing, at(10)).unwrap().ended.len(), 1, "a sign-out needs its server only");
        assert!(matches!(node.get(filing.digest, at(10)).unwrap(), Lookup::Ended(_)));
    }
    assert!(node.run(node.store().ping()).is_ok());
}

#[test]
fn with_all_servers_lost_everything_is_unavailable_at_once_and_heals_without_a_restart() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let node = fleet.node();
    let before = sessions(&fleet, &node, &mut fixtures, (&[0, 1, 2], 1));
    fleet.servers.iter().for_each(cloakroom_servers::Memcached::kill);
    let started = clock();
    for (filing, _) in &before {
        let error = node.get(filing.digest, T0).expect_err("there is nobody to ask");
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
        assert_eq!(node.file(&fixtures.anonymous()).expect_err("nor here").applied(), Applied::No);
        assert_eq!(node.end(&Selector::All, at(5)).expect_err("nor here").kind(), ErrorKind::Unavailable);
        assert_eq!(node.note(filing.digest, at(5)).expect_err("nor here").kind(), ErrorKind::Unavailable);
        assert!(node.run(node.store().ping()).is_err());
    }
    assert!(started.elapsed() < DEADLINE, "whoever is known to be away is not waited for");
    for server in &fleet.servers {
        server.restart().unwrap();
    }
    node.is_well(&mut fixtures);
    for (filing, _) in &before {
        assert_eq!(node.get(filing.digest, T0).unwrap(), Lookup::Unknown, "memory is gone");
    }
    let fresh = fixtures.signed_in("alice");
    node.file(&fresh).unwrap();
    assert_eq!(node.get(fresh.digest, T0).unwrap(), live(&fresh));
}

#[test]
fn a_server_that_hangs_is_answered_for_within_the_deadline_and_goes_on_where_it_was() {
    let (fleet, mut fixtures) = (Fleet::start(1), Fixtures::new(1));
    let (patient, mut node) = (fleet.node(), fleet.node_that_waits(HASTE));
    let [kept, other] = [fixtures.signed_in("alice"), fixtures.signed_in("alice")];
    patient.file(&kept).unwrap();
    fleet.servers[0].pause();
    node.is_bound_to(HASTE + HASTE / 2);
    for turn in 0..5 {
        let calls: [&dyn Fn() -> Option<ErrorKind>; 4] = [
            &|| node.get(kept.digest, T0).err().map(|error| error.kind()),
            &|| node.file(&other).err().map(|error| error.kind()),
            &|| node.end_one(&kept, at(1)).err().map(|error| error.kind()),
            &|| node.note(kept.digest, at(1)).err().map(|error| error.kind()),
        ];
        for call in calls {
            let kind = call();
            let fits = matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Unavailable));
            assert!(fits, "turn {turn}: {kind:?}");
        }
    }
    fleet.servers[0].resume();
    // What was asked in time may have been done when it went on: ended or alive, never anything else.
    let found = node.answers_for(kept.digest, at(1));
    assert!(matches!(found, Lookup::Live(_) | Lookup::Ended(_)), "{found:?}");
}

#[test]
fn a_server_of_three_that_hangs_holds_nobody_up_for_long() {
    let (fleet, mut fixtures) = (Fleet::start(3), Fixtures::new(1));
    let (patient, node) = (fleet.node(), fleet.node_that_waits(3 * HASTE));
    let before = sessions(&fleet, &patient, &mut fixtures, (&[0, 1, 2], 3));
    fleet.servers[1].pause();
    for (filing, server) in &before {
        match node.get(filing.digest, T0) {
            Ok(found) => assert_eq!((found, *server != 1), (live(filing), true)),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
                assert_eq!(*server, 1);
            }
        }
    }
    let started = clock();
    for (filing, server) in &before {
        let again = fixtures.signed_in(filing.principal().unwrap().as_str());
        node.file(&again).unwrap();
        assert_eq!(node.get(again.digest, T0).unwrap(), live(&again), "home is {server}");
    }
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    fleet.servers[1].resume();
    patient.is_well(&mut fixtures);
    for (filing, _) in &before {
        assert_eq!(
            patient.get(filing.digest, T0).unwrap(),
            live(filing),
            "a server that hung has forgotten nothing"
        );
    }
}

/// How long a node waits for a server that hangs.
const HASTE: Duration = Duration::from_millis(800);
