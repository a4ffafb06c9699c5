//! Whatever a session is, it comes back.

use std::sync::Arc;

use cloakroom_conformance::{instants, records};
use cloakroom_core::{Authentication, Device, Lifetime, Principal, SessionRecord, TokenCore};
use cloakroom_store::{SealError, SealedContents, Sealing as _, Version};
use proptest::prelude::*;

use crate::support::{NOW, assert_same, bare, full, ring, sealer, typical};

prop_compose! {
    fn contents()(
        record in records(),
        version in any::<u64>(),
        last_seen_at in instants(),
        known in any::<u64>(),
        core in any::<[u8; 16]>(),
    ) -> SealedContents {
        SealedContents {
            record: Arc::new(record),
            version: Version::from_u64(version),
            last_seen_at,
            known,
            core: TokenCore::from_random(core),
        }
    }
}

proptest! {
    #[test]
    fn every_session_that_fits_comes_back_as_it_was(contents in contents(), nonce in any::<[u8; 12]>()) {
        let sealer = sealer(ring());
        match sealer.seal(&contents, nonce, NOW) {
            Ok(token) => {
                let text = token.expose();
                let token = cloakroom_core::SessionToken::parse(text.as_str().as_bytes()).unwrap();
                let opened = sealer.open(&token, NOW).unwrap();
                assert_same(&opened.contents, &contents);
                prop_assert!(!opened.is_stale);
            }
            Err(error) => prop_assert!(matches!(error, SealError::TooLarge { .. }), "{}", error),
        }
    }
}

#[test]
fn the_sessions_of_these_tests_come_back_as_they_were() {
    let sealer = sealer(ring());
    for contents in [bare(), typical(), full()] {
        let token = sealer.seal(&contents, [3; 12], NOW).unwrap();
        assert_same(&sealer.open(&token, NOW).unwrap().contents, &contents);
    }
}

/// A part of a record that is not sealed is lost without any other sign.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_record_has_the_parts_that_are_sealed_and_no_others() {
    let sizes = [
        ("record", size_of::<SessionRecord>(), 128),
        ("lifetime", size_of::<Lifetime>(), 48),
        ("device", size_of::<Device>(), 56),
        ("proof", size_of::<Authentication>(), 40),
        ("principal", size_of::<Principal>(), 40),
        ("contents", size_of::<SealedContents>(), 48),
    ];
    for (what, size, known) in sizes {
        assert_eq!(size, known, "a part was added to the {what}: seal it as a later part, then say so here");
    }
}
