//! Changing data, alone and together.

use cloakroom::{Attribute, AttributeKey, Changes, EndReason, Revocation, Selector, SessionError, Written};

use crate::support::{World, policy};

const VISITS: Attribute<u32> = Attribute::new("visits");
const NOTE: Attribute<String> = Attribute::new("note");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_parallel_updates_all_count() {
    let world = World::new();
    let issued = world.visitor().await;
    let mut tasks = Vec::new();
    for number in 0..64 {
        let (sessions, session) = (world.sessions.clone(), issued.session.clone());
        tasks.push(tokio::spawn(async move {
            let key = AttributeKey::new(&format!("own_{number}")).unwrap();
            let changes = Changes::new().update(&VISITS, |visits| *visits += 1).put(key, &number).unwrap();
            sessions.apply(&session, changes).await.unwrap()
        }));
    }
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Written::Done(_)));
    }
    let session = world.active(&issued.token).await;
    assert_eq!(session.get(&VISITS).unwrap(), Some(64));
    for number in 0..64 {
        assert_eq!(session.attributes().decode(&format!("own_{number}")).unwrap(), Some(number));
    }
}

#[tokio::test]
async fn too_much_data_is_refused_with_both_sizes_and_nothing_changes() {
    let world = World::under(policy().with_attributes_max_bytes(100));
    let issued = world.visitor().await;
    let note = |length| Changes::new().set(&NOTE, &"x".repeat(length)).unwrap();
    // Four bytes of key, and two bytes before a text of 32 to 255.
    let fits = world.sessions.apply(&issued.session, note(94)).await.unwrap();
    let Written::Done(session) = fits else { panic!("{fits:?}") };
    let error = world.sessions.apply(&session, note(95)).await.unwrap_err();
    assert!(matches!(error, SessionError::AttributesTooLarge { size: 101, limit: 100 }), "{error}");
    assert_eq!(world.active(&issued.token).await.get(&NOTE).unwrap().unwrap().len(), 94);
}

#[tokio::test]
async fn a_change_that_changes_nothing_does_not_reach_the_store() {
    let world = World::new();
    let issued = world.visitor().await;
    let set = || Changes::new().set(&VISITS, &1).unwrap();
    let Written::Done(session) = world.sessions.apply(&issued.session, set()).await.unwrap() else {
        panic!()
    };
    let Written::Done(again) = world.sessions.apply(&session, set()).await.unwrap() else { panic!() };
    assert_eq!(again.version(), session.version());
    assert_eq!(world.active(&issued.token).await.version(), session.version());
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_and_stays_as_it_is() {
    let world = World::new();
    let issued = world.visitor().await;
    let text = Changes::new().put(AttributeKey::from(&VISITS), "many").unwrap();
    let Written::Done(session) = world.sessions.apply(&issued.session, text).await.unwrap() else { panic!() };
    let error = world.sessions.apply(&session, Changes::new().update(&VISITS, |visits| *visits += 1)).await;
    assert!(matches!(error, Err(SessionError::Attribute(_))), "{error:?}");
    assert_eq!(
        world.active(&issued.token).await.attributes().decode::<String>("visits").unwrap().unwrap(),
        "many"
    );
}

#[tokio::test]
async fn a_change_of_an_ended_session_is_refused_with_the_reason() {
    let world = World::new();
    let issued = world.visitor().await;
    let selector = Selector::One(issued.session.id());
    world.sessions.revoke(&selector, Revocation::by_system(EndReason::SignedOut)).await.unwrap();
    let written =
        world.sessions.apply(&issued.session, Changes::new().set(&VISITS, &1).unwrap()).await.unwrap();
    assert!(matches!(written, Written::Ended(tombstone) if tombstone.reason == EndReason::SignedOut));
    assert!(!world.is_active(&issued.token).await);
}
