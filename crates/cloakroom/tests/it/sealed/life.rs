//! One node: issued, presented, changed, exchanged, ended.

use std::sync::Arc;

use cloakroom::{
    Activity, Attribute, Carry, Changes, EndReason, EventKind, Issue, ManualClock, Renewal, Renewed,
    Revocation, Selector, SessionError, Validation, Written,
};
use cloakroom_memory::MemoryRevocations;

use super::support::{LARGEST, Site};
use crate::support::{IDLE, MILLI, TOUCH, World};

const CART: Attribute<String> = Attribute::new("cart");

fn node() -> World {
    Site::with_list(Arc::new(MemoryRevocations::default())).node(&Arc::new(ManualClock::default()))
}

#[tokio::test]
async fn what_is_issued_is_found_in_the_token_and_ends_by_an_entry_of_the_list() {
    let node = node();
    let issued = node.sign_in("alice").await;
    assert!(issued.token.is_sealed());
    assert_eq!(node.active(&issued.token).await, issued.session);
    let because = Revocation::by_system(EndReason::Compromised).of(&issued.session);
    let revoked = node.sessions.revoke(&Selector::One(issued.session.id()), because.clone()).await.unwrap();
    assert_eq!(revoked.count(), 1);
    assert_eq!(node.end_reason(&issued.token).await, EndReason::Compromised);
    let again = node.sessions.revoke(&Selector::One(issued.session.id()), because).await.unwrap();
    assert_eq!(again.count(), 0, "it has ended before");
    use EventKind::{Ended, Issued, UsedAfterEnd};
    let compromised = EndReason::Compromised;
    assert_eq!(node.ears.kinds(), [Issued, Ended(compromised), UsedAfterEnd(compromised)]);
}

#[tokio::test]
async fn activity_is_sealed_once_per_touch_interval_and_keeps_the_session_from_going_idle() {
    let node = node();
    let issued = node.sign_in("alice").await;
    node.clock.advance(TOUCH - MILLI);
    let Validation::Active(early) = node.validate(&issued.token).await else { panic!("it lives") };
    assert!(early.replacement().is_none());
    node.clock.advance(MILLI);
    let looked = node.sessions.validate(&issued.token, Activity::Ignored).await.unwrap();
    let Validation::Active(looked) = looked else { panic!("it lives") };
    assert!(looked.replacement().is_none(), "a look is no activity");
    let Validation::Active(touched) = node.validate(&issued.token).await else { panic!("it lives") };
    let newer = touched.replacement().expect("activity was due");
    node.clock.advance(IDLE - TOUCH);
    assert_eq!(node.end_reason(&issued.token).await, EndReason::IdleTimeout);
    assert_eq!(touched.binding().unwrap().digest(), node.active(newer).await.digest());
    node.clock.advance(TOUCH);
    assert_eq!(node.end_reason(newer).await, EndReason::IdleTimeout);
}

#[tokio::test]
async fn a_change_is_in_the_token_that_replaces_the_old_one_and_too_large_a_one_changes_nothing() {
    let node = node();
    let issued = node.sign_in("alice").await;
    let changes = Changes::new().set(&CART, &"umbrella".to_owned()).unwrap();
    let Written::Done(changed) = node.sessions.apply(&issued.session, changes).await.unwrap() else {
        panic!("it lives")
    };
    let newer = changed.replacement().unwrap();
    assert_eq!(node.active(newer).await.get(&CART).unwrap().unwrap(), "umbrella");
    assert_eq!(changed.version(), issued.session.version().next());
    let large = Changes::new().set(&CART, &"x".repeat(LARGEST)).unwrap();
    let refused = node.sessions.apply(&changed, large).await.unwrap_err();
    assert!(matches!(refused, SessionError::Seal(_)), "{refused}");
    assert_eq!(node.active(newer).await.get(&CART).unwrap().unwrap(), "umbrella");
}

#[tokio::test]
async fn a_token_that_was_exchanged_is_retired_and_its_session_goes_on() {
    let node = node();
    let issued = node.sign_in("alice").await;
    let renewed = node.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    let Renewed::Done { token, session } = renewed else { panic!("it lives") };
    assert_eq!(session.id(), issued.session.id());
    assert_ne!(session.digest(), issued.session.digest());
    assert!(matches!(node.look(&issued.token).await, Validation::Retired(_)));
    assert!(node.is_active(&token).await);
    let again = node.sessions.rotate(&issued.session, Renewal::new()).await.unwrap();
    assert!(matches!(again, Renewed::Retired(_)));
}

#[tokio::test]
async fn signing_in_ends_the_anonymous_session_and_carries_what_it_may() {
    let node = node();
    let visit = node.visitor().await;
    let changes = Changes::new().set(&CART, &"umbrella".to_owned()).unwrap();
    let Written::Done(visit) = node.sessions.apply(&visit.session, changes).await.unwrap() else {
        panic!("it lives")
    };
    let wish = node.wish("alice").replacing(&visit, &Carry::All);
    let issued = node.sessions.issue(wish).await.unwrap().expect_issued();
    assert_eq!(issued.ended.len(), 1);
    assert_eq!(issued.session.get(&CART).unwrap().unwrap(), "umbrella");
    assert_eq!(node.end_reason(visit.replacement().unwrap()).await, EndReason::Replaced);
    assert!(node.sessions.is_over(&visit));
    assert!(!node.sessions.is_over(&issued.session));
}

#[tokio::test]
async fn without_a_list_sessions_end_by_time_alone_and_ending_one_says_so() {
    let node = Site::without_list().node(&Arc::new(ManualClock::default()));
    let issued = node.sessions.issue(Issue::anonymous()).await.unwrap().expect_issued();
    let because = Revocation::by_system(EndReason::SignedOut);
    for selector in [Selector::One(issued.session.id()), Selector::All] {
        let error = node.sessions.revoke(&selector, because.clone()).await.unwrap_err();
        assert_eq!(error.kind(), cloakroom_store::ErrorKind::Unsupported);
    }
    assert!(node.is_active(&issued.token).await);
    node.clock.advance(IDLE);
    assert_eq!(node.end_reason(&issued.token).await, EndReason::IdleTimeout);
}
