//! What one account can make of entries: in the list, and in every node's memory.

use std::future::IntoFuture as _;
use std::time::Duration;

use cloakroom::{
    ActiveSession, Actor, Attribute, AuthLevel, Changes, EndReason, ErrorKind, Event, EventKind, Method,
    Refused, Renewal, Renewed, Replay, Revocation, SealedPolicy, Selector, SessionError, SessionToken,
    StoreError, Validation, Written,
};
use cloakroom_store::{Applied, Scope};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::bounds::{entries_of, exchanged, sign_out};
use super::support::{Fate, LEASE, Pair};
use crate::support::{ABSOLUTE, World, principal};

/// Ends a session as detection does that saw a token of it used again: by what the event knows.
async fn end_replayed(node: &World, token: &SessionToken) {
    node.look(token).await;
    let replay =
        node.ears.events().into_iter().find(|event| event.kind == EventKind::RetiredTokenUsed).unwrap();
    let because = Revocation::by_system(EndReason::Compromised).about(&replay);
    node.sessions.revoke(&Selector::One(replay.session.unwrap()), because).await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_session_by_a_token_that_was_exchanged_is_remembered_no_longer_than_it_could_have_lived()
{
    let pair = Pair::new();
    let (alice, bob) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    for issued in [&alice, &bob] {
        exchanged(&pair.here, &issued.session, 1).await;
    }
    end_replayed(&pair.here, &alice.token).await;
    let Validation::Retired(retired) = pair.here.look(&bob.token).await else { panic!("it was exchanged") };
    let because = Revocation::by_system(EndReason::SignedOut).of_retired(&retired);
    pair.here.sessions.revoke(&Selector::One(retired.session), because).await.unwrap();
    let entries = pair.wire.entries().await;
    let ends: Vec<_> = entries.iter().filter(|entry| matches!(entry.scope, Scope::Session(_))).collect();
    assert_eq!(ends.len(), 2);
    for end in ends {
        assert_eq!(end.until, alice.session.absolute_expires_at());
    }
    let told = pair
        .here
        .ears
        .events()
        .into_iter()
        .find(|event| event.kind == EventKind::Ended(EndReason::SignedOut));
    assert_eq!(told.unwrap().principal, Some(principal("bob")), "the token says whose it was");
}

#[tokio::test]
async fn whoever_signs_in_exchanges_and_replays_all_day_fills_neither_the_list_nor_any_memory() {
    let pair = Pair::new();
    let mut refused = 0;
    for number in 0..ENDS_AT_MOST + WIDE_AT_MOST + 1 + LAST_AT_MOST + 50 {
        let issued = pair.here.sign_in("alice").await;
        let because = Revocation::by_system(EndReason::Compromised);
        let because = if number < APART_AT_MOST {
            exchanged(&pair.here, &issued.session, 1).await;
            pair.here.look(&issued.token).await;
            let events = pair.here.ears.events();
            let replay = events.into_iter().find(|event| event.kind == EventKind::RetiredTokenUsed).unwrap();
            because.about(&replay)
        } else {
            because.of(&issued.session)
        };
        match pair.here.sessions.revoke(&Selector::One(issued.session.id()), because).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(share(&error), Some(MINUTE));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 50);
    let entries = pair.wire.entries().await;
    let of = |holds: fn(&Scope) -> bool| entries.iter().filter(|entry| holds(&entry.scope)).count();
    assert_eq!(of(|scope| matches!(scope, Scope::Principal { .. })), WIDE_AT_MOST + 1);
    let ends = of(|scope| matches!(scope, Scope::Session(_)));
    assert_eq!(ends, ENDS_AT_MOST + WIDE_AT_MOST + 1 + LAST_AT_MOST);
    let bob = pair.here.sign_in("bob").await;
    sign_out(&pair.here, &bob.session).await;
    assert!(!pair.here.is_active(&bob.token).await, "others are not concerned");
    // Nobody whose session is in wrong hands waits for longer than a minute.
    let stolen = pair.here.sign_in("alice").await;
    let because = || Revocation::by_system(EndReason::Compromised).of(&stolen.session);
    let selector = Selector::One(stolen.session.id());
    pair.here.sessions.revoke(&selector, because()).await.unwrap_err();
    pair.pass(MINUTE);
    pair.here.sessions.revoke(&selector, because()).await.unwrap();
    assert!(!pair.here.is_active(&stolen.token).await);
    // What is left after a while: what is over takes no room.
    pair.pass(ABSOLUTE + Duration::from_secs(1_300));
    while pair.here.sessions.sweep().await.unwrap().more {}
    assert!(entries_of(&pair.here) <= 2, "{} entries", entries_of(&pair.here));
    assert!(pair.wire.entries().await.len() <= WIDE_AT_MOST + 3, "{}", pair.wire.entries().await.len());
}

/// How long whoever was refused is to wait, where that is because of a share.
fn share(error: &StoreError) -> Option<Duration> {
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No));
    Refused::cause_of(error).filter(|refused| refused.is_of_share()).map(Refused::retry_after)
}

#[tokio::test]
async fn whoever_ends_everything_of_theirs_in_a_loop_has_room_for_one_in_a_minute_and_nothing_else_waits_for_it()
 {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let others = Selector::Principal { principal: principal("alice"), except: Some(issued.session.id()) };
    let alice = || Actor::User(Some(principal("alice")));
    let asked = |reason| pair.here.sessions.revoke(&others, Revocation::new(reason, alice())).into_future();
    let (by_user, password) = (EndReason::RevokedByUser, EndReason::PasswordChanged);
    for _ in 0..WIDE_AT_MOST + 1 {
        asked(by_user).await.unwrap();
    }
    assert_eq!(share(&asked(by_user).await.unwrap_err()), Some(MINUTE));
    for round in 0..5 {
        pair.pass(MINUTE);
        asked(by_user).await.unwrap();
        assert_eq!(share(&asked(by_user).await.unwrap_err()), Some(MINUTE), "{round}");
    }
    assert_eq!(pair.wire.entries().await.len(), WIDE_AT_MOST + 1 + 5);
    pair.read().await;
    assert!(entries_of(&pair.here) <= 2, "{} entries", entries_of(&pair.here));
    assert!(pair.here.is_active(&issued.token).await);

    // The password: before and after, also where that is full.
    let device = pair.here.sign_in("alice").await;
    asked(password).await.unwrap();
    assert!(!pair.here.is_active(&device.token).await);
    while asked(password).await.is_ok() {}
    pair.pass(MINUTE);
    asked(password).await.unwrap();
    let device = pair.here.sign_in("alice").await;
    let again = Revocation::new(password, alice()).again();
    pair.here.sessions.revoke(&others, again).await.unwrap();
    assert!(!pair.here.is_active(&device.token).await, "what was decided a moment ago is done");

    // Nor does staff wait, or whatever watches.
    let device = pair.here.sign_in("alice").await;
    let because = Revocation::by_system(EndReason::Compromised).of(&device.session);
    pair.here.sessions.revoke(&Selector::One(device.session.id()), because).await.unwrap();
    assert!(!pair.here.is_active(&device.token).await && pair.here.is_active(&issued.token).await);
    let everywhere = Selector::Principal { principal: principal("alice"), except: None };
    pair.here.sessions.revoke(&everywhere, Revocation::new(by_user, Actor::Operator)).await.unwrap();
    assert!(!pair.here.is_active(&issued.token).await);
}

/// Ends a session as its user does who signs out.
async fn user_signs_out(node: &World, session: &ActiveSession) -> Result<(), StoreError> {
    let because = Revocation::new(EndReason::SignedOut, Actor::User(None)).of(session);
    node.sessions.revoke(&Selector::One(session.id()), because).await.map(drop)
}

#[tokio::test]
async fn a_sign_out_finds_room_beyond_every_share() {
    let pair = Pair::new();
    let node = &pair.here;
    for _ in 0..ENDS_AT_MOST + WIDE_AT_MOST + 1 {
        let issued = node.sign_in("alice").await;
        user_signs_out(node, &issued.session).await.unwrap();
    }
    for round in 0..LAST_AT_MOST {
        let (one, other) = (pair.here.sign_in("alice").await, pair.here.sign_in("alice").await);
        user_signs_out(node, &one.session).await.unwrap();
        if round % 512 == 0 {
            assert!(!pair.here.is_active(&one.token).await && pair.here.is_active(&other.token).await);
        }
    }
    let last = pair.here.sign_in("alice").await;
    let error = user_signs_out(node, &last.session).await.unwrap_err();
    assert_eq!(
        share(&error),
        Some(MINUTE),
        "only for what began within a minute since all of theirs had ended"
    );
    pair.pass(MINUTE);
    user_signs_out(node, &last.session).await.unwrap();
    assert!(!pair.here.is_active(&last.token).await);
}

#[tokio::test]
async fn whoever_proves_identity_in_a_loop_is_proven_all_the_same_and_keeps_the_token() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    let mut present = issued.session;
    let proof = || Renewal::new().reauthenticated(AuthLevel::One, Method::password());
    for _ in 0..PROOFS_AT_MOST {
        let renewed = pair.here.sessions.rotate(&present, proof()).await.unwrap();
        let Renewed::Done { session, .. } = renewed else { panic!("it lives: {renewed:?}") };
        present = session;
    }
    let entries = pair.wire.entries().await.len();
    pair.pass(LEASE);
    let renewed = pair.here.sessions.rotate(&present, proof()).await.unwrap();
    let Renewed::Done { token, session } = renewed else { panic!("it lives: {renewed:?}") };
    let proven = pair.there.active(&token).await;
    assert_eq!(proven.authentication().unwrap().authenticated_at(), pair.here.sessions.now());
    assert_eq!(proven.digest(), present.digest(), "the same token, as far as anybody has to know it");
    assert_eq!(session.id(), present.id());
    assert_eq!(pair.wire.entries().await.len(), entries);
    // Another exchange has a share of its own.
    let newer = exchanged(&pair.here, &session, 1).await.remove(0);
    assert!(pair.here.is_active(&newer.0).await && !pair.here.is_active(&token).await);
}

#[tokio::test]
async fn one_principals_sessions_have_so_many_floors_in_every_nodes_memory() {
    let pair = Pair::new();
    let mut refused = 0;
    for number in 0..APART_AT_MOST + FLOORS_AT_MOST + 1 + 10 {
        let issued = pair.here.sign_in("alice").await;
        match pair.here.sessions.rotate(&issued.session, Renewal::new()).await {
            Ok(Renewed::Done { session, .. }) => {
                if number == APART_AT_MOST + 5 {
                    // However often one of them is exchanged, that is one floor.
                    exchanged(&pair.here, &session, 20).await;
                }
            }
            Err(SessionError::Store(error)) => {
                assert_eq!(share(&error), Some(MINUTE));
                assert!(pair.here.is_active(&issued.token).await, "the token is as good as before");
                refused += 1;
            }
            other => panic!("it lives: {other:?}"),
        }
    }
    assert_eq!(refused, 10);
    pair.read().await;
    for node in [&pair.here, &pair.there] {
        let entries = entries_of(node);
        assert!(entries <= APART_AT_MOST + FLOORS_AT_MOST + 1, "{entries} entries");
    }
}

#[tokio::test]
async fn strangers_who_fill_their_room_keep_no_stranger_from_another_token() {
    let pair = Pair::new();
    for number in 0..STRANGERS_AT_MOST {
        if number % 1_000 == 0 {
            pair.read().await;
        }
        let visit = pair.here.visitor().await;
        let because = Revocation::new(EndReason::SignedOut, Actor::User(None)).of(&visit.session);
        pair.here.sessions.revoke(&Selector::One(visit.session.id()), because).await.unwrap();
    }
    let entries = pair.wire.entries().await.len();
    assert_eq!(entries, STRANGERS_AT_MOST);
    let visit = pair.here.visitor().await;
    let (token, _) = exchanged(&pair.here, &visit.session, 1).await.remove(0);
    assert!(pair.here.is_active(&token).await);
    assert!(pair.here.is_active(&visit.token).await, "left to time, as an end would be");
    assert_eq!(pair.wire.entries().await.len(), entries);
    let alice = pair.here.sign_in("alice").await;
    let (token, _) = exchanged(&pair.here, &alice.session, 1).await.remove(0);
    assert!(pair.here.is_active(&token).await && !pair.here.is_active(&alice.token).await, "nobody else's");
}

#[tokio::test]
async fn where_older_copies_are_refused_one_principals_changes_have_a_share_of_the_list() {
    let pair = Pair::under(SealedPolicy::default().with_replay(Replay::Changes));
    let issued = pair.here.sign_in("alice").await;
    let mut current = issued.session.clone();
    let mut refused = 0;
    for number in 0..CHANGES_AT_MOST + 1 + 5 {
        if number.is_multiple_of(1_000) {
            pair.read().await;
        }
        let changes = Changes::new().set(&Attribute::new("cart"), &number).unwrap();
        match pair.here.sessions.apply(&current, changes).await {
            Ok(Written::Done(session)) => current = session,
            Err(SessionError::Store(error)) => {
                assert_eq!(share(&error), Some(MINUTE));
                refused += 1;
            }
            other => panic!("it lives: {other:?}"),
        }
    }
    assert_eq!(refused, 5);
    assert_eq!(pair.wire.entries().await.len(), CHANGES_AT_MOST + 1);
    assert!(pair.here.is_active(current.replacement().unwrap()).await, "the session goes on");
    sign_out(&pair.here, &current).await;
    assert!(!pair.here.is_active(current.replacement().unwrap()).await, "and can be ended");
}

#[tokio::test]
async fn an_end_that_was_refused_takes_no_room() {
    let pair = Pair::new();
    let (issued, other) = (pair.here.sign_in("alice").await, pair.here.sign_in("alice").await);
    pair.wire.set(Fate::AddsRefused);
    let because = Revocation::by_system(EndReason::SignedOut).of(&issued.session);
    let visit = pair.here.visitor().await;
    let strange = Revocation::by_system(EndReason::SignedOut).of(&visit.session);
    for _ in 0..ENDS_AT_MOST + 1 {
        let selector = Selector::One(issued.session.id());
        pair.here.sessions.revoke(&selector, because.clone()).await.unwrap_err();
        let selector = Selector::One(visit.session.id());
        pair.here.sessions.revoke(&selector, strange.clone()).await.unwrap_err();
        pair.here.sessions.rotate(&issued.session, Renewal::new()).await.unwrap_err();
    }
    pair.wire.set(Fate::Answered);
    let exchanged = exchanged(&pair.here, &issued.session, 1).await;
    sign_out(&pair.here, &exchanged[0].1).await;
    assert!(pair.here.is_active(&other.token).await, "one session ended, and no other");
    let entries = pair.wire.entries().await;
    assert!(
        entries.iter().any(|entry| matches!(entry.scope, Scope::Token { .. })),
        "kept apart: {entries:?}"
    );
    assert!(!entries.iter().any(|entry| matches!(entry.scope, Scope::Principal { .. })), "{entries:?}");
}

#[tokio::test]
async fn one_end_too_many_ends_all_of_a_principals_and_everybody_is_told_why() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let pair = Pair::new();
    let device = pair.here.sign_in("alice").await;
    for _ in 0..ENDS_AT_MOST {
        let issued = pair.here.sign_in("alice").await;
        user_signs_out(&pair.here, &issued.session).await.unwrap();
    }
    assert!(pair.here.is_active(&device.token).await);
    let last = pair.here.sign_in("alice").await;
    let wish = pair.here.wish("alice").replacing(&last.session, &cloakroom::Carry::All);
    pair.here.ears.events();
    let newer = pair.here.sessions.issue(wish).await.unwrap().expect_issued();
    let told: Vec<Event> = pair.here.ears.events();
    let widened: Vec<&Event> =
        told.iter().filter(|event| event.kind == EventKind::Ended(EndReason::SessionLimit)).collect();
    let [event] = widened[..] else { panic!("told once: {told:?}") };
    assert_eq!((event.session, &event.principal), (None, &Some(principal("alice"))));
    let counted = snapshotter.snapshot().into_vec();
    for (name, times) in [("cloakroom_sealed_widened_total", 1), ("cloakroom_sessions_ended_total", 1)] {
        let series = counted.iter().find(|(key, ..)| {
            let mut labels = key.key().labels();
            key.key().name() == name && labels.all(|label| label.value() == "session_limit")
        });
        assert_eq!(series.map(|(.., value)| value), Some(&DebugValue::Counter(times)), "{name}");
    }
    let reason = |said: Validation| match said {
        Validation::Ended(tombstone) => tombstone.reason,
        other => panic!("it is over: {other:?}"),
    };
    assert_eq!(reason(pair.here.look(&device.token).await), EndReason::SessionLimit);
    assert_eq!(reason(pair.here.look(&last.token).await), EndReason::Replaced, "its client has another");
    assert!(pair.here.is_active(&newer.token).await);
    pair.read().await;
    assert_eq!(reason(pair.there.look(&device.token).await), EndReason::SessionLimit);
    assert_eq!(reason(pair.there.look(&last.token).await), EndReason::Replaced);
    pair.pass(Duration::from_secs(1_300));
    pair.here.sessions.sweep().await.unwrap();
    assert!(!pair.here.is_active(&last.token).await, "and stays over");
}

#[tokio::test]
async fn whatever_signs_in_and_out_all_day_long_ends_nothing_but_what_it_signed_in() {
    let pair = Pair::new();
    let mut times = 0;
    let beginning = pair.here.sessions.now();
    while pair.here.sessions.now().since(beginning) < ABSOLUTE - Duration::from_secs(60) {
        let issued = pair.here.sign_in("monitor").await;
        sign_out(&pair.here, &issued.session).await;
        pair.pass(Duration::from_secs(2));
        times += 1;
    }
    assert!(times > ENDS_AT_MOST, "more than are remembered at once");
    let entries = pair.wire.entries().await;
    assert!(!entries.iter().any(|entry| matches!(entry.scope, Scope::Principal { .. })));
}

/// Ends of one principal's sessions that are written down one by one, as in the engine.
const ENDS_AT_MOST: usize = 256 + 768;
/// Ends of everything that one principal has, as in the engine.
const WIDE_AT_MOST: usize = 4_096;
/// Ends of sessions that began since all of their principal's had ended for want of room, as in the engine.
const LAST_AT_MOST: usize = 4_096;
/// Proofs of identity by one principal that exchange the token, as in the engine.
const PROOFS_AT_MOST: usize = 4_096;
/// Exchanged tokens of one principal that are kept apart, as in the engine.
const APART_AT_MOST: usize = 1_024;
/// Sessions of one principal that have a floor, as in the engine.
const FLOORS_AT_MOST: usize = 4_096;
/// Entries of strangers, as in the engine.
const STRANGERS_AT_MOST: usize = 65_536;
const MINUTE: Duration = Duration::from_secs(60);
/// Changes of one principal's sessions, as in the engine.
const CHANGES_AT_MOST: usize = 65_536;
