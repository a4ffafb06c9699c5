//! The facts of the table, not its numbers.

use std::path::PathBuf;

use three_nodes::{Balancing, Effort, Row, Scenario, Store, carries_cookie, play, play_outage};

#[test]
fn memory_loses_sign_ins_when_requests_go_round() {
    for balancing in [Balancing::RoundRobin, Balancing::NginxRoundRobin] {
        let row = played(Store::Memory, balancing);
        // A browser makes eight requests; the nodes take turns.
        assert_eq!(row.lost, row.signed_in, "{row:?}");
        assert_eq!(row.trouble, 0, "{row:?}");
    }
}

#[test]
fn memory_with_sticky_routing_loses_nothing_until_a_node_restarts_and_a_sign_out_reaches_one_node_only() {
    // HAProxy hands out its nodes in turn: both browsers of a person are on different ones.
    let row = played(Store::Memory, Balancing::Sticky);
    assert_eq!((row.lost, row.trouble), (0, 0), "{row:?}");
    assert!((1..row.signed_in).contains(&row.lost_by_restart), "{row:?}");
    assert!(row.not_reached > 0, "{row:?}");
}

#[test]
fn memory_with_routing_by_address_loses_nothing_until_something_happens() {
    // nginx spreads addresses by a hash of the nodes' ports as well, which are others each time. That no browser was on
    // the node that died, and both of everybody's on the same one of the other two, happens once in 100,000 runs.
    let row = played(Store::Memory, Balancing::NginxSticky);
    assert_eq!((row.lost, row.trouble), (0, 0), "{row:?}");
    assert!(row.lost_by_restart + row.not_reached > 0, "{row:?}");
}

#[test]
fn a_shared_store_loses_nothing_and_a_sign_out_reaches_every_node() {
    let in_turn = Store::SHARED.map(|store| (store, Balancing::RoundRobin));
    for (store, balancing) in in_turn.into_iter().chain([(Store::Redis, Balancing::NginxRoundRobin)]) {
        let row = played(store, balancing);
        let Row { lost, lost_by_restart, not_reached, trouble, .. } = row;
        assert_eq!((lost, lost_by_restart, not_reached, trouble), (0, 0, 0, 0), "{row:?}");
    }
}

#[test]
fn a_store_that_is_killed_behind_a_balancer_has_everybody_told_to_come_again_and_signs_nobody_out() {
    for balancing in [Balancing::RoundRobin, Balancing::NginxRoundRobin] {
        // With HAProxy no node is ready by then: what carries their answers is its backend `unchecked`.
        let outage = on_runtime(play_outage(balancing, &server(), EFFORT)).expect("it can be played");
        let requests = outage.signed_in * usize::try_from(EFFORT.requests).expect("a few");
        assert_eq!((outage.told_to_come_again, outage.answered_otherwise), (requests, 0), "{outage:?}");
        assert_eq!((outage.signed_in, outage.signed_out), (usize::from(2 * EFFORT.people), 0), "{outage:?}");
    }
}

#[test]
fn each_balancer_carries_the_largest_cookie_there_and_back() {
    for balancing in
        [Balancing::RoundRobin, Balancing::Sticky, Balancing::NginxRoundRobin, Balancing::NginxSticky]
    {
        let seen = on_runtime(carries_cookie(balancing, 4_096));
        // Without its attributes.
        assert_eq!(seen.unwrap_or_else(|trouble| panic!("{balancing:?}: {trouble}")), 4_096 - 40);
    }
}

fn played(store: Store, balancing: Balancing) -> Row {
    let scenario = Scenario { store, balancing };
    on_runtime(play(scenario, &server(), EFFORT)).expect("the scenario can be played")
}

fn on_runtime<T>(playing: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(playing)
}

#[expect(clippy::disallowed_methods, reason = "which server to test is told by the environment")]
fn server() -> PathBuf {
    PathBuf::from(std::env::var_os("CLOAKROOM_BIN").expect("`cargo xtask test` names the server to test"))
}

/// Enough browsers that each node has some of them.
const EFFORT: Effort = Effort { people: 8, requests: 8 };
