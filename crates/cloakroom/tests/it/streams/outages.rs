//! An outage is no sign-out, and no licence either.

use std::time::Duration;

use cloakroom::{EndReason, StreamEnd};
use cloakroom_store::{ErrorKind, News, Parts};

use super::{House, MINUTE, SECOND, end_within, stays_open};

#[tokio::test(start_paused = true)]
async fn without_a_feed_an_end_elsewhere_is_found_within_the_recheck_interval() {
    let house = House::new();
    let (alice, mut watch) = house.open("alice").await;
    stays_open(MINUTE, &mut watch).await;
    house.revoke_elsewhere(&alice.session).await;
    let (end, after) = end_within(MINUTE, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= Duration::from_millis(5_350), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_feed_whose_proofs_fail_to_come_is_not_relied_upon() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    // News and proofs are stuck on a line that is still open: nobody tells of a loss.
    house.feed.hold_news();
    house.revoke_elsewhere(&alice.session).await;
    let (end, after) = end_within(MINUTE, &mut watch).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 11 * SECOND, "an interval until the proof is old, one until its turn comes: {after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_leaves_streams_open_until_their_patience_ends() {
    let house = House::new().with_feed().await;
    let (alice, mut patient) = house.open("alice").await;
    let mut impatient = house.watch(&alice.session).with_patience(20 * SECOND);
    let mut stubborn = house.watch(&alice.session).with_patience(Duration::MAX);
    house.rest().await;
    house.feed.cut();
    house.faults.go_down(ErrorKind::Unavailable);
    let (end, after) = end_within(2 * MINUTE, &mut impatient).await;
    assert_eq!((end.clone(), end.as_str(), end.reason()), (StreamEnd::Unproven, "store_unavailable", None));
    assert!((19 * SECOND..=22 * SECOND).contains(&after), "{after:?}");
    let (end, after) = end_within(2 * MINUTE, &mut patient).await;
    assert_eq!(end, StreamEnd::Unproven);
    assert!((39 * SECOND..=42 * SECOND).contains(&after), "{after:?}");
    stays_open(60 * MINUTE, &mut stubborn).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_patience_ends_nothing_however_long_the_stream_was_open() {
    let house = House::new().with_feed().await;
    let (_, mut watch) = house.open("alice").await;
    stays_open(10 * MINUTE, &mut watch).await;
    for _ in 0..3 {
        house.feed.cut();
        house.faults.go_down(ErrorKind::Unavailable);
        stays_open(50 * SECOND, &mut watch).await;
        house.faults.heal();
        house.feed.mend();
        stays_open(10 * MINUTE, &mut watch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_what_ended_meanwhile_ends_its_streams() {
    let house = House::new().with_feed().await;
    let (alice, mut hers) = house.open("alice").await;
    let (_, mut his) = house.open("bob").await;
    house.feed.cut();
    house.faults.go_down(ErrorKind::Timeout);
    house.revoke_elsewhere(&alice.session).await;
    stays_open(30 * SECOND, &mut hers).await;
    house.faults.heal();
    house.feed.mend();
    let (end, after) = end_within(MINUTE, &mut hers).await;
    assert_eq!(end.reason(), Some(EndReason::RevokedByAdmin));
    assert!(after <= 6 * SECOND, "{after:?}");
    stays_open(10 * MINUTE, &mut his).await;
}

#[tokio::test(start_paused = true)]
async fn at_its_idle_instant_an_unreachable_store_ends_no_session() {
    let house = House::new().with_feed().await;
    let (alice, mut watch) = house.open("alice").await;
    stays_open(10 * MINUTE, &mut watch).await;
    house.faults.go_down(ErrorKind::Unavailable);
    house.clock.advance(crate::support::IDLE / 2);
    house.elsewhere.validate(&alice.token).await;
    house.clock.advance(crate::support::IDLE / 2);
    stays_open(50 * SECOND, &mut watch).await;
    house.faults.heal();
    stays_open(MINUTE, &mut watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_asked_by_few_and_one_that_returns_meets_no_crowd() {
    let house = House::new().with_feed().await;
    let mut watches = Vec::new();
    for number in 0..1_000 {
        watches.push(house.watch(&house.here.sign_in(&format!("user{number}")).await.session));
    }
    house.rest().await;
    house.feed.cut();
    house.faults.go_down(ErrorKind::Unavailable);
    house.feed.tell(News::Anything(Parts::ALL));
    stays_open(10 * SECOND, watches.first_mut().unwrap()).await;
    house.looks();
    stays_open(30 * SECOND, watches.first_mut().unwrap()).await;
    let asked = house.looks();
    assert!(
        (1..=30 * 60).contains(&asked),
        "one session of each part now and then, not each of a thousand: {asked}"
    );
    house.faults.heal();
    house.feed.mend();
    stays_open(6 * SECOND, watches.first_mut().unwrap()).await;
    house.looks();
    stays_open(MINUTE, watches.first_mut().unwrap()).await;
    assert_eq!(house.looks(), 0, "all are proven again, by the feed");
    assert!(watches.iter().all(|watch| watch.end().is_none()));
}

#[tokio::test(start_paused = true)]
async fn parts_that_nobody_proves_are_looked_up_and_the_others_are_not() {
    let house = House::new().with_feed().await;
    let mut watches = Vec::new();
    for number in 0..64 {
        watches.push(house.watch(&house.here.sign_in(&format!("user{number}")).await.session));
    }
    let dark: Parts = (0..=127).collect();
    let in_dark = |watch: &cloakroom::SessionWatch| dark.contains(Parts::number_of(watch.session().route()));
    let dark_ones = watches.iter().filter(|watch| in_dark(watch)).count();
    house.feed.prove_only(Parts::ALL.without(dark));
    stays_open(20 * SECOND, watches.first_mut().unwrap()).await;
    house.looks();
    stays_open(50 * SECOND, watches.first_mut().unwrap()).await;
    let asked = house.looks();
    assert!((9 * dark_ones..=11 * dark_ones).contains(&asked), "{asked} for {dark_ones} in the dark");
}
