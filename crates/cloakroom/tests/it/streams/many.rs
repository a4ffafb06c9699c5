//! Many streams cost what they have to.

use cloakroom::{EndReason, Revocation, Selector};
use cloakroom_conformance::Moment;
use cloakroom_store::{News, Parts, Verb};

use super::{House, MINUTE, SECOND, end_within, stays_open};
use crate::support::principal;

#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_share_one_feed_and_ask_nothing_while_nothing_happens() {
    let house = House::new().with_feed().await;
    let mut watches = Vec::new();
    let mut chosen = Vec::new();
    for number in 0..10_000_u32 {
        let issued = house.here.sign_in(&format!("user{}", number / 2)).await;
        watches.push(house.watch(&issued.session));
        if number.is_multiple_of(1_000) {
            chosen.push(issued);
        }
    }
    stays_open(SECOND, watches.last_mut().unwrap()).await;
    assert_eq!(house.looks(), 10_000, "one look-up when a stream opens");
    // Ten minutes are short of the idle timeout; all that time nothing happens.
    house.pass(9 * MINUTE).await;
    let asked = house.calls.take();
    let quiet = |verb: &Verb| matches!(verb, Verb::Sweep | Verb::Count | Verb::Ping);
    assert!(asked.iter().all(quiet), "{:?}", asked.iter().find(|verb| !quiet(verb)));
    for issued in &chosen {
        house.revoke_elsewhere(&issued.session).await;
    }
    house.rest().await;
    let ended = watches.iter().filter(|watch| watch.end().is_some()).count();
    assert_eq!((ended, house.looks()), (chosen.len(), chosen.len()), "theirs and nobody else's");
}

#[tokio::test(start_paused = true)]
async fn all_streams_of_a_principal_end_together_and_nobody_elses() {
    let house = House::new().with_feed().await;
    let mut hers = Vec::new();
    let mut others = Vec::new();
    for number in 0..500 {
        hers.push(house.watch(&house.here.sign_in("alice").await.session));
        others.push(house.watch(&house.here.sign_in(&format!("user{number}")).await.session));
    }
    house.rest().await;
    let everywhere = Selector::Principal { principal: principal("alice"), except: None };
    let revocation = Revocation::by_system(EndReason::RevokedByUser);
    house.elsewhere.sessions.revoke(&everywhere, revocation).await.unwrap();
    for watch in &mut hers {
        assert_eq!(end_within(SECOND, watch).await.0.reason(), Some(EndReason::RevokedByUser));
    }
    assert!(others.iter().all(|watch| watch.end().is_none()));
}

#[tokio::test(start_paused = true)]
async fn many_streams_of_one_session_are_one_look_up() {
    let house = House::new().with_feed().await;
    let alice = house.here.sign_in("alice").await;
    house.calls.take();
    let mut watches: Vec<_> = (0..5_000).map(|_| house.watch(&alice.session)).collect();
    house.rest().await;
    assert_eq!(house.looks(), 1);
    house.revoke_elsewhere(&alice.session).await;
    for watch in &mut watches {
        assert_eq!(end_within(SECOND, watch).await.0.reason(), Some(EndReason::RevokedByAdmin));
    }
    assert_eq!(house.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_sixteen_look_ups_run_at_once() {
    let house = House::new().with_feed().await;
    let mut watches = Vec::new();
    for number in 0..500 {
        watches.push(house.watch(&house.here.sign_in(&format!("user{number}")).await.session));
    }
    house.rest().await;
    house.looks();
    let gates: Vec<_> = (0..500).map(|_| house.gates.hold(Verb::Get, Moment::Before)).collect();
    house.feed.tell(News::Anything(Parts::ALL));
    house.rest().await;
    assert_eq!(house.looks(), 16);
    drop(gates);
    house.rest().await;
    assert!(house.looks() >= 484);
}

#[tokio::test(start_paused = true)]
async fn where_all_have_to_be_looked_up_again_and_again_they_are_spread_over_the_interval() {
    let house = House::new();
    let mut watches = Vec::new();
    for number in 0..1_600 {
        watches.push(house.watch(&house.here.sign_in(&format!("user{number}")).await.session));
    }
    stays_open(10 * SECOND, watches.first_mut().unwrap()).await;
    house.looks();
    let mut most = 0;
    let mut sum = 0;
    for _ in 0..20 {
        stays_open(SECOND, watches.first_mut().unwrap()).await;
        let asked = house.looks();
        (most, sum) = (most.max(asked), sum + asked);
    }
    assert!((6_200..=6_600).contains(&sum), "each of 1600 four times in twenty seconds: {sum}");
    assert!(most < 640, "a fifth of them in each second, not all at once: {most}");
}
