//! Any bytes as what was sealed, by a key of ours: none panics, and what is read is written and read again as itself.

#![no_main]

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use cloakroom_core::{SessionToken, Timestamp};
use cloakroom_sealed::{KeyId, KeyRing, Place, SealKey, Sealer};
use cloakroom_store::{SealRefusal, Sealing as _};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [9; 12];
/// Version of the outside, cookie and application with their lengths, id of the key.
const ASSOCIATED: &[u8] = b"cloakroom cs1\0\0\0\0\0\0\0\0\x07session\0\0\0\0\0\0\0\x04fuzz\0\0\0\0";
/// What a token has around its contents.
const AROUND: usize = 32;

fuzz_target!(|contents: &[u8]| {
    if contents.len() > SessionToken::SEALED_BYTES_MAX - AROUND {
        return;
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &KEY).expect("32 bytes"));
    let mut bytes = contents.to_vec();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    key.seal_in_place_append_tag(nonce, Aad::from(ASSOCIATED), &mut bytes).expect("it seals");
    let token = SessionToken::from_sealed(&[&[0; 4][..], &NONCE, &bytes].concat());
    let ring = KeyRing::new([SealKey::new(KeyId::from_u32(0), &KEY).seals_from(NOW)]).expect("a key");
    let place = Place { cookie: "session".into(), application: "fuzz".into() };
    let sealer = Sealer::new(ring, &place, 0);
    let opened = match sealer.open(&token, NOW) {
        Ok(opened) => opened.contents,
        Err(refusal) => return assert_eq!(refusal, SealRefusal::Format, "it is authentic"),
    };
    let Ok(again) = sealer.seal(&opened, NONCE, NOW) else { return };
    let same = sealer.open(&again, NOW).expect("what was sealed is opened").contents;
    assert_eq!(same.record, opened.record);
});
