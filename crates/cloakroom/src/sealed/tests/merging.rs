//! What is forgotten because something later covers it: a copy that merges says of every token what one would that keeps
//! everything.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::Seeded;
use cloakroom_core::{
    EndReason, Lifetime, Principal, PrincipalId, Route, SessionId, SessionRecord, Timestamp, TokenCore,
};
use cloakroom_store::{RevocationEntry, Scope, SealedContents, Version};

use crate::sealed::mirror::copy::{Copy, Cover, Covered, Lacking};
use crate::sealed::seal::Claim;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

fn alice() -> PrincipalId {
    PrincipalId::new("alice").unwrap()
}

fn session(number: u8) -> SessionId {
    SessionId::from_random(Route::of_principal(&alice()), [number; SessionId::RANDOM_BYTES])
}

/// A session as it was issued, by a node that had read the list up to `known`.
fn issued(number: u8, created_at: u64, known: u64, version: u64) -> SealedContents {
    let lifetime = Lifetime::new(Duration::from_secs(600), Timestamp::MAX, Duration::ZERO);
    let mut record = SessionRecord::new(session(number), at(created_at), lifetime);
    record.principal = Some(Arc::new(Principal::new(alice())));
    SealedContents {
        record: Arc::new(record),
        version: Version::from_u64(version),
        last_seen_at: at(created_at),
        known,
        core: TokenCore::from_random([number; TokenCore::LENGTH]),
    }
}

/// What somebody says who keeps every entry: whether it covers this session, by the words of [`Scope`].
fn is_covered(log: &[(u64, RevocationEntry)], contents: &SealedContents) -> bool {
    let record = &contents.record;
    log.iter().any(|(number, entry)| {
        let did_not_know = contents.known < *number || record.created_at <= entry.at;
        match &entry.scope {
            Scope::Session(session) => *session == record.id,
            Scope::Principal { except, .. } => *except != Some(record.id) && did_not_know,
            Scope::All => did_not_know,
            Scope::IssuedBefore(instant) => record.created_at < *instant,
            _ => false,
        }
    })
}

/// People sign in, and end each other, on nodes whose clocks differ, as engines do: whoever signs in comes after what is known.
fn a_history(random: &mut Seeded) -> (Vec<(u64, RevocationEntry)>, Vec<SealedContents>) {
    let (mut log, mut people) = (Vec::<(u64, RevocationEntry)>::new(), Vec::new());
    for step in 0..24_u64 {
        let now = 10 * step + random.below(40);
        let known = log.last().map_or(0, |(number, _)| *number);
        if random.below(2) == 0 {
            let after = log.iter().map(|(_, entry)| entry.at.max(instant_of(&entry.scope))).max();
            let created_at = after.map_or(at(now), |after| at(now).max(after.plus(Duration::from_millis(1))));
            let number = u8::try_from(people.len()).unwrap();
            let created_at = u64::try_from(created_at.as_millis()).unwrap();
            people.push(issued(number, created_at, known, 1));
            continue;
        }
        let living = people.iter().filter(|contents| !is_covered(&log, contents));
        let living: Vec<SessionId> = living.map(|contents| contents.record.id).collect();
        let one = (!living.is_empty()).then(|| living[below(random, living.len())]);
        let scope = match (random.below(8), one) {
            (0, _) => Scope::All,
            (1, _) => Scope::IssuedBefore(at(now)),
            (2, Some(one)) => Scope::Session(one),
            (3, _) => Scope::Principal { principal: alice(), except: None },
            (_, except) => Scope::Principal { principal: alice(), except },
        };
        let nonce = random.below(u64::MAX);
        let (at, until, reason) = (at(now), Timestamp::MAX, EndReason::Compromised);
        log.push((known + 1 + random.below(3), RevocationEntry { scope, at, until, reason, nonce }));
    }
    (log, people)
}

fn below(random: &mut Seeded, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}

fn instant_of(scope: &Scope) -> Timestamp {
    if let Scope::IssuedBefore(instant) = scope { *instant } else { Timestamp::EPOCH }
}

fn ends(copy: &Copy, contents: &SealedContents) -> bool {
    let cover = copy.covers(&Claim { contents, core: [0; 16] });
    matches!(cover, Some(Cover { covered: Covered::Ended(_), .. }))
}

/// What is over by then is forgotten everywhere.
fn forget(copy: &Copy, now: Timestamp) {
    (0..Copy::ROOMS).for_each(|room| copy.forget_over(room, now));
}

#[test]
fn a_copy_that_merges_ends_exactly_what_the_whole_list_ends() {
    let mut covered = 0;
    for seed in 0..3_000 {
        let (log, people) = a_history(&mut Seeded::new(seed));
        let copy = Copy::default();
        for (number, entry) in &log {
            copy.add(entry, Some(*number), 1);
        }
        for contents in &people {
            let is_over = is_covered(&log, contents);
            assert_eq!(ends(&copy, contents), is_over, "{seed}: {contents:?} in {log:?}");
            covered += usize::from(is_over);
        }
        assert!(
            copy.len() <= 5 + 24,
            "two of the principal, two of everything, and single ends: {}",
            copy.len()
        );
    }
    assert!(covered > 1_000, "{covered}");
}

#[test]
fn whatever_order_entries_come_in_nobody_is_let_in_who_is_over_and_reading_twice_changes_nothing() {
    for seed in 0..3_000 {
        let mut random = Seeded::new(seed);
        let (log, people) = a_history(&mut random);
        let copy = Copy::default();
        let mut shuffled = log.clone();
        for place in (1..shuffled.len()).rev() {
            shuffled.swap(place, below(&mut random, place + 1));
        }
        for (number, entry) in shuffled.iter().chain(&log) {
            copy.add(entry, Some(*number), 1);
        }
        for contents in people.iter().filter(|contents| is_covered(&log, contents)) {
            assert!(ends(&copy, contents), "{seed}: {contents:?} in {shuffled:?}");
        }
    }
}

#[test]
fn an_end_written_here_covers_everybody_until_its_number_is_read_and_then_those_who_did_not_know() {
    let copy = Copy::default();
    let scope = Scope::Principal { principal: alice(), except: None };
    let (at_, until, reason) = (at(100), Timestamp::MAX, EndReason::PasswordChanged);
    let entry = RevocationEntry { scope, at: at_, until, reason, nonce: 7 << 32 };
    copy.add(&entry, None, 0);
    let (ahead, later) = (issued(1, 500, 41, 1), issued(2, 101, 42, 1));
    assert!(ends(&copy, &ahead) && ends(&copy, &later));
    assert!(copy.after(Some(&alice())).has_unread);
    copy.add(&entry, Some(42), 1);
    assert!(ends(&copy, &ahead), "issued by a clock that was ahead, and did not know");
    assert!(!ends(&copy, &later), "it knew, and came after it");
    // Offered anew to a list that had lost it, it is the same end.
    copy.add(&RevocationEntry { nonce: (7 << 32) | 5, ..entry }, Some(90), 2);
    assert!(!ends(&copy, &later));
    let mut lacking = Lacking::at_most(10);
    (0..Copy::ROOMS).for_each(|room| copy.look_for_lacking(room, 2, at(100), &mut lacking));
    assert_eq!(lacking.into_entries(), (Vec::new(), true), "it was met again");
}

#[test]
fn one_session_and_one_principal_take_so_many_entries_however_often_they_are_ended() {
    let copy = Copy::default();
    for number in 1..=10_000_u64 {
        let nonce = number << 32;
        let entry = |scope| RevocationEntry {
            scope,
            at: at(number),
            until: Timestamp::MAX,
            reason: EndReason::Replaced,
            nonce,
        };
        let except = Some(session(u8::try_from(number % 200).unwrap()));
        copy.add(&entry(Scope::Session(session(1))), Some(number), 1);
        copy.add(
            &entry(Scope::Floor { session: session(1), version: Version::from_u64(number) }),
            Some(number),
            1,
        );
        copy.add(&entry(Scope::Principal { principal: alice(), except }), Some(number), 1);
        copy.add(&entry(Scope::IssuedBefore(at(number))), Some(number), 1);
        copy.add(&entry(Scope::All), Some(number), 1);
    }
    assert_eq!(copy.len(), 6);
    forget(&copy, Timestamp::from_millis(i64::MAX - 1));
    assert_eq!(copy.len(), 6);
    forget(&copy, Timestamp::MAX);
    assert_eq!(copy.len(), 0);
}

#[test]
fn what_is_over_is_forgotten_at_its_instant_and_not_before() {
    let copy = Copy::default();
    let scope = Scope::Session(session(1));
    let entry = RevocationEntry { scope, at: at(1), until: at(100), reason: EndReason::SignedOut, nonce: 1 };
    copy.add(&entry, Some(1), 1);
    forget(&copy, at(99));
    assert!(copy.knows_end_of(session(1)));
    forget(&copy, at(100));
    assert!(!copy.knows_end_of(session(1)));
}

/// Alice's end by one of her sessions, which lives on.
fn by(number: u8) -> RevocationEntry {
    let scope = Scope::Principal { principal: alice(), except: Some(session(number)) };
    let nonce = u64::from(number) << 32;
    RevocationEntry { scope, at: at(100), until: Timestamp::MAX, reason: EndReason::SignedOut, nonce }
}

#[test]
fn two_ends_of_one_principal_that_cross_lock_nobody_out() {
    let copy = Copy::default();
    let (one, other) = (by(1), by(2));
    // Both are acknowledged, the other first in the list; a reading that had begun before sees that alone.
    copy.add(&one, None, 0);
    copy.add(&other, None, 0);
    copy.add(&other, Some(7), 1);
    copy.add(&one, Some(8), 1);
    assert!(!copy.after(Some(&alice())).has_unread, "everything was read");
    assert!(!ends(&copy, &issued(3, 101, 8, 1)), "signed in afterwards, and knew of both");
    assert!(ends(&copy, &issued(3, 101, 7, 1)) && ends(&copy, &issued(2, 50, 0, 1)));
    assert!(!ends(&copy, &issued(1, 101, 7, 1)), "excepted by the last, and knew of the one before");
}
