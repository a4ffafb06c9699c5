//! Whatever was changed, cut, moved or made by others is refused.

use cloakroom_core::SessionToken;
use cloakroom_sealed::{KeyRing, Place, Sealer};
use cloakroom_store::{SealRefusal, Sealing as _};

use crate::support::{AROUND, MINUTE, NONCE, NOW, full, key, ring, sealed, sealer, typical};

fn refused(sealer: &Sealer, token: &SessionToken) -> SealRefusal {
    sealer.open(token, NOW).expect_err("a forgery")
}

#[test]
fn every_single_bit_of_the_sealed_bytes_counts() {
    let sealer = sealer(ring());
    let bytes = sealed(&typical()).sealed().unwrap();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << bit;
            let expected = if position < 4 { SealRefusal::UnknownKey } else { SealRefusal::Forged };
            assert_eq!(
                refused(&sealer, &SessionToken::from_sealed(&changed)),
                expected,
                "bit {bit} of {position}"
            );
        }
    }
}

#[test]
fn every_other_character_in_every_place_of_the_text_is_refused() {
    let sealer = sealer(ring());
    for contents in [typical(), full()] {
        let text = sealed(&contents).expose().as_str().as_bytes().to_vec();
        for position in 0..text.len() {
            for character in b"ABCYZabcyz019-_=.+/ \0\xFF" {
                let mut changed = text.clone();
                changed[position] = *character;
                if changed == text {
                    continue;
                }
                let Ok(token) = SessionToken::parse(&changed) else { continue };
                assert!(sealer.open(&token, NOW).is_err(), "{position}: {character}");
            }
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[position] ^= 1 << bit;
                let Ok(token) = SessionToken::parse(&changed) else { continue };
                assert!(sealer.open(&token, NOW).is_err(), "bit {bit} of character {position}");
            }
        }
    }
}

#[test]
fn a_token_cut_to_any_length_or_made_longer_is_refused() {
    let sealer = sealer(ring());
    let token = sealed(&typical());
    let bytes = token.sealed().unwrap();
    for length in 0..bytes.len() {
        let expected = if length < 4 + 12 + 16 { SealRefusal::Malformed } else { SealRefusal::Forged };
        assert_eq!(refused(&sealer, &SessionToken::from_sealed(&bytes[..length])), expected, "{length}");
        let tail = SessionToken::from_sealed(&bytes[bytes.len() - length..]);
        assert!(sealer.open(&tail, NOW).is_err(), "{length} from the end");
    }
    for more in [1, 16, SessionToken::SEALED_BYTES_MAX - bytes.len()] {
        let longer = [&bytes[..], &vec![0; more]].concat();
        assert_eq!(refused(&sealer, &SessionToken::from_sealed(&longer)), SealRefusal::Forged);
    }
    let text = token.expose();
    for length in 0..text.as_str().len() {
        let Ok(token) = SessionToken::parse(&text.as_str().as_bytes()[..length]) else { continue };
        assert!(sealer.open(&token, NOW).is_err(), "{length} characters");
    }
    let oversized = format!("cs1_{}", "A".repeat(4_093));
    assert!(SessionToken::parse(oversized.as_bytes()).is_err());
}

#[test]
fn a_token_that_names_a_record_is_no_sealed_one() {
    let random = SessionToken::from_random(cloakroom_core::Route::from_bytes([0, 0]), [7; 32]);
    assert_eq!(refused(&sealer(ring()), &random), SealRefusal::Malformed);
    // Text of the right form whose last character has bits that belong to nothing.
    let stray = SessionToken::parse(format!("cs1_{}B", "A".repeat(81)).as_bytes()).unwrap();
    assert_eq!(refused(&sealer(ring()), &stray), SealRefusal::Malformed);
}

#[test]
fn the_key_of_another_opens_nothing_whatever_it_is_called() {
    let token = sealed(&typical());
    let other = KeyRing::new([key(2).seals_from(NOW)]).unwrap();
    assert_eq!(refused(&sealer(other), &token), SealRefusal::UnknownKey);
    let same_id = cloakroom_sealed::SealKey::new(key(1).id(), &[2; 32]).seals_from(NOW);
    assert_eq!(refused(&sealer(KeyRing::new([same_id]).unwrap()), &token), SealRefusal::Forged);
}

#[test]
fn a_token_cannot_be_given_to_another_key_of_the_ring() {
    let keys = [key(1).seals_from(NOW.minus(MINUTE)), key(2).seals_from(NOW)];
    let both = sealer(KeyRing::new(keys).unwrap());
    for token in [sealed(&typical()), both.seal(&typical(), NONCE, NOW).unwrap()] {
        assert!(both.open(&token, NOW).is_ok());
        let mut bytes = token.sealed().unwrap();
        let swapped = if bytes[0] == 1 { [2; 4] } else { [1; 4] };
        bytes[..4].copy_from_slice(&swapped);
        assert_eq!(refused(&both, &SessionToken::from_sealed(&bytes)), SealRefusal::Forged);
    }
    // The same secret under two ids: what one sealed is not the other's either.
    let twin = cloakroom_sealed::SealKey::new(key(2).id(), &[1; 32]);
    let twins = sealer(KeyRing::new([key(1).seals_from(NOW), twin]).unwrap());
    let mut bytes = sealed(&typical()).sealed().unwrap();
    bytes[..4].copy_from_slice(&[2; 4]);
    assert_eq!(refused(&twins, &SessionToken::from_sealed(&bytes)), SealRefusal::Forged);
}

#[test]
fn a_token_belongs_to_one_cookie_of_one_application() {
    let at = |cookie: &str, application: &str| {
        let place = Place { cookie: cookie.into(), application: application.into() };
        Sealer::new(ring(), &place, AROUND)
    };
    // Moved, and all ways to cut the same letters in two.
    let places =
        [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("c", "ab"), ("ab", "C"), ("ab\0c", "")];
    let length_inside = ("ab\0\0\0\0\0\0\0\u{1}c", "");
    for from in places.iter().chain([&length_inside]) {
        let token = at(from.0, from.1).seal(&typical(), NONCE, NOW).unwrap();
        for to in places.iter().chain([&length_inside]) {
            let opened = at(to.0, to.1).open(&token, NOW).map(|_| ());
            let expected = if from == to { Ok(()) } else { Err(SealRefusal::Forged) };
            assert_eq!(opened, expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn parts_of_two_tokens_make_no_third() {
    let sealer = sealer(ring());
    let one = sealed(&typical()).sealed().unwrap();
    let other = sealer.seal(&full(), [8; 12], NOW).unwrap().sealed().unwrap();
    let end = |bytes: &[u8]| bytes.len() - 16;
    for forged in [
        [&one[..16], &other[16..]].concat(),
        [&one[..end(&one)], &other[end(&other)..]].concat(),
        [&one[..end(&one)], &other[16..]].concat(),
        [&one[..32], &other[32..]].concat(),
    ] {
        assert_eq!(refused(&sealer, &SessionToken::from_sealed(&forged)), SealRefusal::Forged);
    }
}
