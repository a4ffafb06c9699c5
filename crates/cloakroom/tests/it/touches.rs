//! Activity on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Activity, Clock as _, Validation};
use cloakroom_conformance::{CountingStore, Fault, FaultyStore};
use cloakroom_memory::MemoryStore;
use cloakroom_store::{ErrorKind, Verb};
use tokio::sync::oneshot;

use crate::support::{IDLE, TOUCH, World, policy};

fn counted() -> (World, Arc<CountingStore>) {
    let store = Arc::new(CountingStore::new(Arc::new(MemoryStore::default())));
    (World::over(store.clone(), policy()), store)
}

/// Runs upkeep beside `body`, and shuts it down in order.
async fn with_upkeep<T>(world: &World, body: impl Future<Output = T>) -> T {
    let (stop, stopped) = oneshot::channel::<()>();
    let sessions = world.sessions.clone();
    let upkeep = tokio::spawn(async move { sessions.upkeep(async { drop(stopped.await) }).await });
    tokio::task::yield_now().await;
    let result = body.await;
    drop(stop);
    upkeep.await.unwrap();
    result
}

#[tokio::test(start_paused = true)]
async fn a_busy_session_is_written_down_once_per_interval_and_not_by_its_requests() {
    let (world, store) = counted();
    let issued = world.visitor().await;
    with_upkeep(&world, async {
        world.clock.advance(TOUCH);
        store.take();
        for _ in 0..100 {
            assert!(matches!(world.validate(&issued.token).await, Validation::Active(_)));
        }
        assert_eq!(store.count(Verb::Get), 100);
        assert_eq!(store.count(Verb::Touch), 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.count(Verb::Touch), 1);
    })
    .await;
    assert_eq!(world.active(&issued.token).await.last_seen_at(), world.clock.now());
}

#[tokio::test(start_paused = true)]
async fn shutdown_writes_down_what_waits() {
    let (world, store) = counted();
    let issued = world.visitor().await;
    with_upkeep(&world, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.clock.advance(TOUCH);
        store.take();
        let _ = world.validate(&issued.token).await;
        assert_eq!(store.count(Verb::Touch), 0);
    })
    .await;
    assert_eq!(store.count(Verb::Touch), 1);
    assert_eq!(world.active(&issued.token).await.last_seen_at(), world.clock.now());
}

#[tokio::test]
async fn without_upkeep_a_due_touch_is_written_at_once() {
    let (world, store) = counted();
    let issued = world.visitor().await;
    world.clock.advance(TOUCH);
    store.take();
    let _ = world.validate(&issued.token).await;
    assert_eq!(store.take(), [Verb::Get, Verb::Touch]);
    let _ = world.validate(&issued.token).await;
    assert_eq!(store.take(), [Verb::Get]);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_comes_back_at_the_last_moment_stays_signed_in() {
    let (world, store) = counted();
    let issued = world.sign_in("alice").await;
    with_upkeep(&world, async {
        world.clock.advance(IDLE - Duration::from_secs(1));
        store.take();
        assert!(matches!(world.validate(&issued.token).await, Validation::Active(_)));
        assert_eq!(store.take(), [Verb::Get, Verb::Touch], "written before the answer");
        world.clock.advance(Duration::from_secs(2));
        assert!(world.is_active(&issued.token).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn activity_waits_while_the_store_is_away_and_is_written_when_it_is_back() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let world = World::over(store.clone(), policy());
    let issued = world.visitor().await;
    with_upkeep(&world, async {
        world.clock.advance(TOUCH);
        let _ = world.validate(&issued.token).await;
        store.go_down(ErrorKind::Unavailable);
        tokio::time::sleep(Duration::from_secs(3)).await;
        store.heal();
        assert!(world.active(&issued.token).await.last_seen_at() < world.clock.now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.active(&issued.token).await.last_seen_at(), world.clock.now());
    })
    .await;
}

#[tokio::test]
async fn a_touch_that_cannot_be_written_signs_nobody_out() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let world = World::over(store.clone(), policy());
    let issued = world.visitor().await;
    world.clock.advance(TOUCH);
    store.script(Verb::Touch, Fault::FailBefore);
    assert!(matches!(
        world.sessions.validate(&issued.token, Activity::Counts).await,
        Ok(Validation::Active(_))
    ));
    let _ = world.validate(&issued.token).await;
    assert_eq!(world.active(&issued.token).await.last_seen_at(), world.clock.now());
}

#[tokio::test(start_paused = true)]
async fn while_a_part_of_the_store_is_away_everybody_elses_activity_is_written_and_theirs_waits() {
    let faults = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let store = Arc::new(CountingStore::new(faults.clone()));
    let world = World::over(store.clone(), policy());
    let (away, well) = (world.sign_in("alice").await, world.sign_in("bob").await);
    with_upkeep(&world, async {
        // Nothing is written down in between.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.clock.advance(TOUCH);
        for issued in [&away, &well] {
            let _ = world.validate(&issued.token).await;
        }
        let at = world.clock.now();
        faults.lose([away.session.digest()]);
        for _ in 0..3 {
            world.clock.advance(TOUCH / 2);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(world.active(&well.token).await.last_seen_at(), at, "bob is elsewhere");
        }
        let _ = world.validate(&well.token).await;
        let later = world.clock.now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.active(&well.token).await.last_seen_at(), later, "and goes on");
        faults.heal();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.active(&away.token).await.last_seen_at(), at, "hers was kept");
        store.take();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.count(Verb::Touch), 0, "nothing is written for ever");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_noted_holds_up_nobody_in_the_batches_behind() {
    let faults = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let world = World::over(faults.clone(), policy());
    let mut people = Vec::new();
    for number in 0..1_500 {
        people.push(world.sign_in(&format!("person-{number}")).await);
    }
    with_upkeep(&world, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.clock.advance(TOUCH);
        for issued in &people {
            let _ = world.validate(&issued.token).await;
        }
        let (away, well) = people.split_at(600);
        faults.lose(away.iter().map(|issued| issued.session.digest()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        for issued in well {
            assert_eq!(world.active(&issued.token).await.last_seen_at(), world.clock.now());
        }
    })
    .await;
}
