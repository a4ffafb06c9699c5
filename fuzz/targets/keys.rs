//! Any text as keys of the environment: none panics, and no error says a word of it.

#![no_main]

use cloakroom_core::Timestamp;
use cloakroom_sealed::KeyRing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match KeyRing::parse(text) {
    Ok(ring) => assert!(!ring.list(Timestamp::EPOCH).is_empty()),
    Err(error) => assert!(error.to_string().len() < 200),
});
