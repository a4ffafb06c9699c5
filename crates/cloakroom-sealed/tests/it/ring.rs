//! Which key seals, which open, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::Timestamp;
use cloakroom_sealed::{KeyFacts, KeyRing, KeyState, NewKey, RingError, Rotation, SharedRing};
use cloakroom_store::{SealError, SealRefusal, Sealing as _};

use crate::support::{MINUTE, NONCE, NOW, key, new_key, rotation, sealed, sealer, typical};

/// The number of the key that a token was sealed with, as `support::key` counts.
fn sealed_by(ring: &KeyRing, now: Timestamp) -> u8 {
    sealer(ring.clone()).seal(&typical(), NONCE, now).unwrap().sealed().unwrap()[0]
}

fn opened(ring: &KeyRing, by: &KeyRing, sealed_at: Timestamp, now: Timestamp) -> Result<bool, SealRefusal> {
    let token = sealer(by.clone()).seal(&typical(), NONCE, sealed_at).unwrap();
    sealer(ring.clone()).open(&token, now).map(|opened| opened.is_stale)
}

fn states(ring: &KeyRing, now: Timestamp) -> Vec<(u32, KeyState)> {
    ring.list(now).iter().map(|facts| (facts.id.as_u32() & 0xFF, facts.state)).collect()
}

#[test]
fn a_rotation_signs_nobody_out_and_ends_the_old_key() {
    let old = KeyRing::first(new_key(1), NOW.minus(MINUTE));
    let new = old.rotated(new_key(2), &rotation(NOW)).unwrap();
    let seals_from = NOW.plus(MINUTE / 2);
    let over = seals_from.plus(30 * MINUTE);
    let before = |at: Timestamp| at.minus(Duration::from_millis(1));
    // The old one seals until the very instant at which the new one does.
    assert_eq!(
        (sealed_by(&new, NOW), sealed_by(&new, before(seals_from)), sealed_by(&new, seals_from)),
        (1, 1, 2)
    );
    // A token of the old key: good, then stale, then nothing.
    assert_eq!(opened(&new, &old, NOW, before(seals_from)), Ok(false));
    assert_eq!(opened(&new, &old, NOW, seals_from), Ok(true));
    assert_eq!(opened(&new, &old, NOW, before(over)), Ok(true));
    assert_eq!(opened(&new, &old, NOW, over), Err(SealRefusal::ExpiredKey));
    // A node that has not heard of the rotation yet opens all that others seal until it should have heard.
    assert_eq!(opened(&old, &new, before(seals_from), NOW), Ok(false));
    assert_eq!(opened(&old, &new, seals_from, NOW), Err(SealRefusal::UnknownKey));
    // Gone from the ring a day after it was over.
    let forgotten = over.plus(KeyRing::KEPT_LONGER);
    assert_eq!(new.rotated(new_key(3), &rotation(before(forgotten))).unwrap().list(over).len(), 3);
    let over = forgotten;
    let third = new.rotated(new_key(3), &rotation(over)).unwrap();
    assert_eq!(states(&third, over), [(3, KeyState::SealsFrom(over.plus(MINUTE / 2))), (2, KeyState::Seals)]);
    assert_eq!(opened(&third, &old, NOW, over), Err(SealRefusal::UnknownKey));
}

#[test]
fn what_a_newer_key_sealed_is_left_alone_by_a_node_whose_clock_is_late() {
    let ring = KeyRing::first(new_key(1), NOW.minus(MINUTE)).rotated(new_key(2), &rotation(NOW)).unwrap();
    let (ahead, late) = (NOW.plus(MINUTE), NOW);
    assert_eq!((sealed_by(&ring, ahead), sealed_by(&ring, late)), (2, 1));
    assert_eq!(opened(&ring, &ring, ahead, late), Ok(false), "not sealed back to the old key");
    assert_eq!(opened(&ring, &ring, late, ahead), Ok(true));
}

#[test]
fn a_node_whose_clock_is_late_seals_all_the_same() {
    let future =
        KeyRing::new([key(1).seals_from(NOW.plus(MINUTE)), key(2).seals_from(NOW.plus(2 * MINUTE))]).unwrap();
    assert_eq!(sealed_by(&future, NOW), 1, "the one that begins first");
    let over = KeyRing::new([key(1).seals_from(NOW.minus(MINUTE)).opens_until(NOW)]).unwrap();
    assert_eq!(sealer(over).seal(&typical(), NONCE, NOW).unwrap_err(), SealError::NoKey);
}

#[test]
fn rotations_in_a_row_leave_every_key_its_window() {
    let mut ring = KeyRing::first(new_key(1), NOW.minus(MINUTE));
    for number in 2..=4 {
        let at = NOW.plus(Duration::from_secs(u64::from(number)));
        ring = ring.rotated(new_key(number), &rotation(at)).unwrap();
    }
    // All four open until half an hour after they sealed for the last time, or might have.
    let after_all = NOW.plus(MINUTE);
    assert_eq!(sealed_by(&ring, after_all), 4);
    let until: Vec<Option<u128>> = ring
        .list(after_all)
        .iter()
        .map(|facts: &KeyFacts| facts.opens_until.map(|until| until.since(NOW).as_secs().into()))
        .collect();
    assert_eq!(until, [None, Some(1_834), Some(1_833), Some(1_832)]);
    // The second sealed for a second, between its instant and that of the third.
    assert_eq!(sealed_by(&ring, NOW.plus(Duration::from_secs(32))), 2);
}

#[test]
fn a_ring_has_keys_of_different_names_one_of_which_seals_and_no_more_than_it_may() {
    let refused = |keys: Vec<_>| KeyRing::new(keys).unwrap_err();
    assert_eq!(refused(vec![]), RingError::Empty);
    assert_eq!(refused(vec![key(1)]), RingError::NoneSeals);
    assert_eq!(refused(vec![key(1).seals_from(NOW), key(2), key(1)]), RingError::Twice(key(1).id()));
    let keys = |count: u8| (1..=count).map(|number| key(number).seals_from(NOW));
    assert!(KeyRing::new(keys(31)).is_ok() && KeyRing::new(keys(32)).is_ok());
    assert_eq!(KeyRing::new(keys(33)).unwrap_err(), RingError::TooMany);
    let full = KeyRing::new(keys(32)).unwrap();
    assert_eq!(full.rotated(new_key(40), &rotation(NOW)).unwrap_err(), RingError::TooMany);
    let over = KeyRing::new(keys(31).chain([key(32).seals_from(NOW).opens_until(NOW)])).unwrap();
    assert_eq!(
        over.rotated(new_key(40), &rotation(NOW)).unwrap().list(NOW).len(),
        32,
        "one that is over makes room"
    );
}

#[test]
fn a_new_key_never_takes_the_name_of_another() {
    let ring = KeyRing::first(new_key(0xFF), NOW).rotated(new_key(0xFF), &rotation(NOW)).unwrap();
    let ids: Vec<u32> = ring.list(NOW).iter().map(|facts| facts.id.as_u32()).collect();
    assert_eq!(ids, [0, u32::MAX]);
    assert!(ring.rotated(new_key(0), &rotation(NOW)).is_ok());
}

#[test]
fn a_stolen_key_takes_all_keys_with_it_with_which_its_thief_s_sessions_may_have_been_sealed_anew() {
    // One a day; each opens for a week more.
    let day = 1_440 * MINUTE;
    let at = |days: u32| NOW.plus(days * day);
    let weekly = |now: Timestamp| Rotation { now, spread: MINUTE / 2, window: 7 * day };
    let mut ring = KeyRing::first(new_key(1), NOW);
    for number in 2..=4 {
        ring = ring.rotated(new_key(number), &weekly(at(u32::from(number) - 1))).unwrap();
    }
    let later = at(4);
    let at_once = Rotation { spread: Duration::ZERO, ..weekly(later) };
    let revoke = |stolen: u8| ring.revoked(new_key(stolen).id(), new_key(9), &at_once).unwrap();
    let kept = |stolen| states(&revoke(stolen), later).iter().map(|(id, _)| *id).collect::<Vec<_>>();
    // The one before it still sealed when it was made; those after it sealed anew what it had sealed.
    assert_eq!((kept(4), kept(3), kept(2), kept(1)), (vec![9, 2, 1], vec![9, 1], vec![9], vec![9]));
    assert_eq!(states(&revoke(4), later)[0], (9, KeyState::Seals));
    assert_eq!(states(&revoke(4), later)[1], (2, KeyState::Opens));
    let sealed_at = |days| opened(&revoke(4), &ring, at(days).plus(MINUTE), later.plus(MINUTE));
    assert_eq!(
        [0, 1, 2, 3].map(sealed_at),
        [Ok(true), Ok(true), Err(SealRefusal::UnknownKey), Err(SealRefusal::UnknownKey)]
    );
    let unknown = ring.revoked(new_key(8).id(), new_key(9), &at_once).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no key 08080808");
    // Of keys without instants nothing is known.
    let timeless = KeyRing::new([key(1).seals_from(NOW), key(2)]).unwrap();
    assert_eq!(timeless.revoked(key(2).id(), new_key(9), &at_once).unwrap().list(later).len(), 1);
}

/// What a thief makes with a stolen key, used once, is sealed anew with a good one.
#[test]
fn a_forged_session_that_was_sealed_anew_ends_with_the_key_that_forged_it() {
    let (old, spread) = (KeyRing::first(new_key(1), NOW.minus(60 * MINUTE)), MINUTE / 4);
    let ring = old.rotated(new_key(2), &rotation(NOW)).unwrap();
    // Forged with the old key and laundered to the new one; and with the new one, while the old one still sealed.
    for (stolen, used_at, by) in [(1, NOW.plus(MINUTE), 2), (2, NOW.plus(spread), 1)] {
        let laundered = sealer(ring.clone()).seal(&typical(), NONCE, used_at).unwrap();
        assert_eq!(laundered.sealed().unwrap()[0], by);
        let now = NOW.plus(2 * MINUTE);
        let revoked = ring.revoked(new_key(stolen).id(), new_key(3), &rotation(now)).unwrap();
        assert_eq!(sealer(revoked).open(&laundered, now).unwrap_err(), SealRefusal::UnknownKey);
    }
}

#[test]
fn keys_that_are_over_are_removed_and_nothing_else() {
    let ring = KeyRing::first(new_key(1), NOW.minus(MINUTE)).rotated(new_key(2), &rotation(NOW)).unwrap();
    let over = NOW.plus(MINUTE / 2 + 30 * MINUTE);
    assert_eq!(states(&ring, over), [(2, KeyState::Seals), (1, KeyState::Over)]);
    let long_over = over.plus(KeyRing::KEPT_LONGER);
    for early in [NOW, over, long_over.minus(Duration::from_millis(1))] {
        assert!(ring.without_over(early).is_none(), "nothing to remove at {early}");
    }
    assert_eq!(states(&ring.without_over(long_over).unwrap(), over), [(2, KeyState::Seals)]);
    let only = KeyRing::new([key(1).seals_from(NOW).opens_until(NOW)]).unwrap();
    assert!(only.without_over(NOW).is_none(), "a ring is never empty");
}

#[test]
fn keys_of_the_environment_seal_by_the_first_and_open_by_all() {
    let text = |numbers: &[u8]| {
        let parts = numbers.iter().map(|number| {
            let mut random = [*number; NewKey::RANDOM_BYTES];
            random[4] = 0;
            NewKey::from_random(&random).expose().to_string()
        });
        parts.collect::<Vec<_>>().join(",")
    };
    let (before, after) = (KeyRing::parse(&text(&[1, 2])).unwrap(), KeyRing::parse(&text(&[2, 1])).unwrap());
    assert_eq!((sealed_by(&before, NOW), sealed_by(&after, NOW)), (1, 2));
    assert_eq!(opened(&after, &before, NOW, NOW), Ok(true));
    assert_eq!(opened(&before, &before, NOW, NOW), Ok(false));
    assert_eq!(states(&before, NOW), [(1, KeyState::Seals), (2, KeyState::Opens)]);
    assert!(before.list(NOW).iter().all(|facts| facts.created_at.is_none() && facts.opens_until.is_none()));
    assert!(KeyRing::parse(&format!(" {} ", text(&[1, 2]).replace(',', " ,\n "))).is_ok());
    let one = text(&[1]);
    for (text, says) in [
        (String::new(), "key 1 of the list: it has not the parts that a key has; expected id:base64"),
        (format!("{one},"), "key 2 of the list: it has not the parts that a key has; expected id:base64"),
        (format!("{one},{one}"), "two keys have the id 01010101"),
        (one.replace(':', ";"), "key 1 of the list: it has not the parts that a key has; expected id:base64"),
        (
            one.replace("0101", "0xyz"),
            "key 1 of the list: the id is not eight digits of 0-9 a-f; expected id:base64",
        ),
        (
            one.replace("AQEB", "AQE"),
            "key 1 of the list: the secret is not 32 bytes in base64 (44 characters); expected id:base64",
        ),
        (
            new_key(7).expose().to_string(),
            "key 1 of the list: the secret is one byte repeated: make a random one; expected id:base64",
        ),
    ] {
        let error = KeyRing::parse(&text).unwrap_err();
        assert_eq!(error.to_string(), says);
        assert!(!format!("{error:?}").contains("AQEB"), "{error:?}");
    }
}

#[test]
fn nothing_that_prints_a_key_prints_the_key() {
    let secret = "KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio=";
    let new = new_key(0x2A);
    assert_eq!(new.expose().as_str(), format!("2a2a2a2a:{secret}"));
    let printed_new = format!("{new:?}");
    let ring = KeyRing::first(new, NOW);
    let shared = SharedRing::new(ring.clone());
    let sealer = sealer(ring.clone());
    let key = key(0x2A);
    for printed in [
        printed_new,
        format!("{ring:?} {key:?}"),
        format!("{shared:?} {sealer:?}"),
        format!("{:?}", ring.list(NOW)),
    ] {
        assert!(printed.contains("2a2a2a2a") && !printed.contains("KioqK"), "{printed}");
        assert!(!printed.contains("42, 42") && !printed.contains("2a, 2a"), "{printed}");
    }
}

#[test]
fn a_ring_is_replaced_while_many_threads_seal_and_open() {
    let first = KeyRing::first(new_key(1), NOW.minus(MINUTE));
    let shared = Arc::new(SharedRing::new(first.clone()));
    let sealer = sealer(Arc::clone(&shared));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            let mut opened = 0_u32;
            while !is_over.load(Ordering::Acquire) || opened < 100 {
                let token = sealer.seal(&typical(), NONCE, NOW).unwrap();
                assert!(
                    sealer.open(&token, NOW).is_ok(),
                    "what was sealed by any ring of these is opened by any later one"
                );
                opened += 1;
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        let mut ring = first;
        for number in 2..30 {
            ring =
                ring.rotated(new_key(number), &Rotation { spread: Duration::ZERO, ..rotation(NOW) }).unwrap();
            shared.replace(ring.clone());
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(shared.ring().list(NOW).len(), 29);
    assert!(!shared.reload_if_changed().unwrap(), "there is no file");
    let of_the_first = sealed(&typical());
    assert!(sealer.open(&of_the_first, NOW).unwrap().is_stale);
}

#[test]
fn a_clock_that_is_ahead_forgets_no_key_that_others_open_with_and_one_that_is_late_rotates_nothing() {
    let ring = KeyRing::first(new_key(1), NOW.minus(MINUTE)).rotated(new_key(2), &rotation(NOW)).unwrap();
    // Half a day ahead: over by that clock, and still there for whose clock is right.
    let ahead = NOW.plus(720 * MINUTE);
    assert!(ring.without_over(ahead).is_none());
    let rotated = ring.rotated(new_key(3), &rotation(ahead)).unwrap();
    assert_eq!(opened(&rotated, &ring, NOW, NOW.plus(MINUTE)), Ok(true));
    // Late by more than clocks may be: the old key would be over before its time.
    let apart = 5 * MINUTE;
    let behind = rotation(NOW.minus(apart));
    assert!(ring.rotated(new_key(3), &Rotation { spread: behind.spread + apart, ..behind }).is_ok());
    let late = NOW.minus(apart + Duration::from_millis(1));
    let error = ring.rotated(new_key(3), &rotation(late)).unwrap_err();
    assert_eq!(error, RingError::Clock { newest: NOW, now: late });
    assert!(error.to_string().contains("set the clock right"), "{error}");
}

#[test]
fn a_rotation_that_was_put_off_is_not_overtaken_by_one_that_begins_before_it() {
    let put_off = Rotation { spread: 10_080 * MINUTE, ..rotation(NOW) };
    let ring = KeyRing::first(new_key(1), NOW.minus(MINUTE)).rotated(new_key(2), &put_off).unwrap();
    let begins = NOW.plus(put_off.spread);
    let hour = NOW.plus(60 * MINUTE);
    let overtaken = RingError::Overtaken { key: new_key(2).id(), at: begins };
    assert_eq!(ring.rotated(new_key(3), &rotation(hour)).unwrap_err(), overtaken);
    // One that begins at the same instant, or later, is none that overtakes.
    let last = begins.minus(MINUTE / 2);
    assert_eq!(
        ring.rotated(new_key(3), &rotation(last.minus(Duration::from_millis(1)))).unwrap_err(),
        overtaken
    );
    let ring = ring.rotated(new_key(3), &rotation(last)).unwrap();
    assert_eq!(sealed_by(&ring, begins), 3);
    // What was stolen is no time to wait for: the key that was put off goes.
    let of_two = KeyRing::first(new_key(1), NOW.minus(MINUTE)).rotated(new_key(2), &put_off).unwrap();
    let revoked = of_two.revoked(new_key(1).id(), new_key(3), &rotation(hour)).unwrap();
    assert_eq!(sealed_by(&revoked, begins.plus(MINUTE)), 3);
}
