//! Two hundred thousand tokens that were never sealed, or were sealed and then damaged: none opens, and none panics.
//!
//! What is inside is fuzzed where it is decoded: authentic bytes are only ever ours, and are not trusted all the same.

use cloakroom_core::SessionToken;
use cloakroom_sealed::{KeyRing, Sealer};
use cloakroom_store::Sealing as _;

use crate::support::{MINUTE, NOW, Seeded, bare, full, key, sealer, typical};

const CASES: usize = 200_000;

#[test]
fn no_damaged_token_opens_and_none_makes_anything_panic() {
    let keys = [key(1).seals_from(NOW.minus(MINUTE)), key(2).opens_until(NOW), key(3)];
    let sealer = sealer(KeyRing::new(keys).unwrap());
    let texts: Vec<Vec<u8>> = [bare(), typical(), full()]
        .iter()
        .map(|contents| sealer.seal(contents, [5; 12], NOW).unwrap().expose().as_str().as_bytes().to_vec())
        .collect();
    let mut seeded = Seeded::new(0x5EA1);
    let (mut parsed, mut refusals) = (0, std::collections::BTreeMap::new());
    for _ in 0..CASES {
        let text = damaged(&texts, &mut seeded);
        let Ok(token) = SessionToken::parse(&text) else { continue };
        parsed += 1;
        if texts.contains(&text) {
            assert!(sealer.open(&token, NOW).is_ok());
            continue;
        }
        let refusal = open(&sealer, &token);
        *refusals.entry(refusal).or_insert(0) += 1;
    }
    assert!(parsed > CASES / 2, "most are read as tokens: {parsed}");
    for name in ["malformed", "unknown_key", "forged", "expired_key"] {
        assert!(refusals.get(name).is_some_and(|count| *count > 100), "{name}: {refusals:?}");
    }
}

fn open(sealer: &Sealer, token: &SessionToken) -> &'static str {
    match sealer.open(token, NOW) {
        Ok(_) => panic!("a forgery was opened: {}", token.expose().as_str()),
        Err(refusal) => refusal.as_str(),
    }
}

/// One of `texts` with some characters replaced, removed, repeated, or mixed with another's.
fn damaged(texts: &[Vec<u8>], seeded: &mut Seeded) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = texts[seeded.below(texts.len())].clone();
    for _ in 0..=seeded.below(3) {
        let position = 4 + seeded.below(text.len().saturating_sub(4));
        match seeded.below(8) {
            0..=2 => {
                let position = position.min(text.len() - 1);
                text[position] = ALPHABET[seeded.below(64)];
            }
            3 => text.truncate(position),
            4 => {
                let other = &texts[seeded.below(texts.len())];
                let from = seeded.below(other.len());
                text.truncate(position);
                text.extend_from_slice(&other[from..]);
            }
            5 => text.insert(position.min(text.len()), ALPHABET[seeded.below(64)]),
            6 => {
                // The id of another key of the ring: 02020202 or 03030303.
                let id: &[u8] = [b"AgICAg", b"AwMDAw"][seeded.below(2)];
                text.splice(4..10.min(text.len()), id.iter().copied());
            }
            _ => {
                let position = seeded.below(text.len() * 4).min(text.len() - 1);
                text[position] = seeded.byte();
            }
        }
        if text.len() < 12 {
            return text;
        }
    }
    text
}
