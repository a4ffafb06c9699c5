use std::time::Duration;

use super::*;
use crate::key::NewKey;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn ring() -> KeyRing {
    KeyRing::first(NewKey::from_random(&[1; 36]), NOW)
}

fn sealer() -> Sealer {
    Sealer::new(ring(), &Place { cookie: "c".into(), application: "a".into() }, 0)
}

fn contents() -> SealedContents {
    let hour = Duration::from_secs(3_600);
    let lifetime = cloakroom_core::Lifetime::new(hour, NOW.plus(hour), hour);
    let id = cloakroom_core::SessionId::from_bytes([1; 16]);
    SealedContents {
        record: Arc::new(cloakroom_core::SessionRecord::new(id, NOW, lifetime)),
        version: cloakroom_store::Version::FIRST,
        last_seen_at: NOW,
        known: 0,
        core: cloakroom_core::TokenCore::from_random([2; 16]),
    }
}

/// A token of any bytes inside, authentic.
fn authentic(inside: &[u8]) -> SessionToken {
    let (sealer, ring) = (sealer(), ring());
    let key = ring.sealing(NOW).unwrap();
    let mut bytes = inside.to_vec();
    let nonce = Nonce::assume_unique_for_key([3; NONCE_BYTES]);
    key.cipher().seal_in_place_append_tag(nonce, sealer.aad(key.id), &mut bytes).unwrap();
    SessionToken::from_sealed(&[&key.id.to_bytes()[..], &[3; NONCE_BYTES], &bytes].concat())
}

#[test]
fn an_authentic_token_of_a_format_that_is_not_read_is_told_from_a_forged_one() {
    let inside = contents::encode(&contents(), Format::One, 0, CONTENTS_MAX).bytes.to_vec();
    assert!(sealer().open(&authentic(&inside), NOW).is_ok());
    for later in [2, 3, 255] {
        let other = [&[later], &inside[1..]].concat();
        assert_eq!(sealer().open(&authentic(&other), NOW).unwrap_err(), SealRefusal::Format);
    }
    for damaged in [&[][..], &[1], &inside[..inside.len() - 1]] {
        assert_eq!(sealer().open(&authentic(damaged), NOW).unwrap_err(), SealRefusal::Format);
    }
}

#[test]
fn an_older_format_is_read_and_stale_and_nodes_of_two_versions_leave_each_others_tokens_alone() {
    let (told, untold) = (sealer(), sealer().writing(Format::Zero));
    let nonce = [4; NONCE_BYTES];
    let (new, old) =
        (told.seal(&contents(), nonce, NOW).unwrap(), untold.seal(&contents(), nonce, NOW).unwrap());
    let is_stale = |sealer: &Sealer, token| sealer.open(token, NOW).unwrap().is_stale;
    // Before anybody is told, all write the older one, and nothing is stale.
    assert!(!is_stale(&untold, &old));
    // While some are told: theirs is not sealed back by the others, who read it.
    assert!(!is_stale(&untold, &new));
    assert!(!is_stale(&told, &new));
    // In the end the older one is sealed anew.
    assert!(is_stale(&told, &old));
}

#[test]
fn what_stands_in_front_of_the_contents_is_told_apart_by_its_lengths() {
    let at = |cookie: &str, application: &str| {
        Sealer::new(ring(), &Place { cookie: cookie.into(), application: application.into() }, 0).associated
    };
    let one = [ENVELOPE, &[0, 0, 0, 0, 0, 0, 0, 2], b"ab", &[0, 0, 0, 0, 0, 0, 0, 1], b"c"].concat();
    assert_eq!(at("ab", "c"), one);
    assert_ne!(at("a", "bc"), one);
}
