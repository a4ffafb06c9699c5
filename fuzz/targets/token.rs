//! Any bytes as the text of a token: none opens, none panics.

#![no_main]

use cloakroom_core::{SessionToken, Timestamp};
use cloakroom_sealed::{KeyId, KeyRing, Place, SealKey, Sealer};
use cloakroom_store::Sealing as _;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fuzz_target!(|text: &[u8]| {
    let Ok(token) = SessionToken::parse(text) else { return };
    let keys = [0, 1].map(|id| SealKey::new(KeyId::from_u32(id), &[7; 32]).seals_from(NOW));
    let place = Place { cookie: "session".into(), application: "fuzz".into() };
    let sealer = Sealer::new(KeyRing::new(keys).expect("two keys"), &place, 0);
    assert!(sealer.open(&token, NOW).is_err(), "nobody can forge a token");
});
