//! Activity, which moves beside what is remembered.

use cloakroom::{Clock as _, Validation};
use cloakroom_store::Verb;

use super::{LEASE, Pair};
use crate::support::{IDLE, MILLI, TOUCH};

#[tokio::test(start_paused = true)]
async fn a_due_touch_is_queued_once_and_moves_memory_when_it_is_written() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    pair.pass(TOUCH).await;
    pair.calls.take();
    let before = pair.clock.now();
    for _ in 0..5 {
        let Validation::Active(session) = pair.here.validate(&token).await else { panic!("she is active") };
        assert_eq!(session.last_seen_at(), before);
    }
    assert_eq!(pair.calls.take(), [], "nobody waits for the store");
    pair.pass(LEASE).await;
    assert_eq!(pair.calls.take(), [Verb::Touch]);
    // By what is written down she is there for as long again: memory knows.
    pair.pass(IDLE - LEASE - MILLI).await;
    assert_eq!(pair.lives(&token).await, (true, 0));
    pair.pass(MILLI).await;
    assert_eq!(pair.lives(&token).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn who_was_active_elsewhere_is_not_refused_by_memory() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    pair.pass(IDLE - LEASE).await;
    assert!(matches!(pair.elsewhere.validate(&token).await, Validation::Active(_)));
    pair.pass(LEASE).await;
    assert_eq!(pair.lives(&token).await, (true, 1), "by memory she is idle: the store is asked");
    assert_eq!(pair.lives(&token).await, (true, 0));
}

#[tokio::test(start_paused = true)]
async fn activity_elsewhere_disturbs_no_memory() {
    let pair = Pair::trusting().await;
    let (token, _) = pair.warm("alice").await;
    pair.pass(TOUCH).await;
    assert!(matches!(pair.elsewhere.validate(&token).await, Validation::Active(_)));
    assert_eq!(pair.lives(&token).await, (true, 0));
}

#[tokio::test(start_paused = true)]
async fn activity_moves_memory_also_where_another_ones_could_not_be_written() {
    let pair = Pair::trusting().await;
    let ((away, of_hers), (well, _)) = (pair.warm("alice").await, pair.warm("bob").await);
    pair.pass(TOUCH).await;
    pair.faults.lose([of_hers.digest()]);
    for token in [&away, &well] {
        let Validation::Active(_) = pair.here.validate(token).await else { panic!("both are active") };
    }
    pair.pass(LEASE).await;
    pair.calls.take();
    let Validation::Active(session) = pair.here.validate(&well).await else { panic!("he is active") };
    assert_eq!(session.last_seen_at(), pair.clock.now().minus(LEASE), "it is known");
    // By what is written down he is there for as long again: memory knows.
    pair.pass(IDLE - LEASE - MILLI).await;
    assert_eq!(pair.lives(&well).await, (true, 0));
}
