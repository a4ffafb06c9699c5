//! Whatever a session is, it comes back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, MethodUse, Persistence, Principal,
    PrincipalId, Role, SessionId, SessionRecord, Timestamp, TokenCore,
};
use cloakroom_store::{SealError, SealedContents, Sealing as _, Version};
use proptest::prelude::*;

use crate::support::{FIREFOX, NOW, assert_same, bare, full, ring, sealer, typical};

fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), 0..2_000_000_000_000_i64, Just(i64::MIN), Just(i64::MAX)]
        .prop_map(Timestamp::from_millis)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<u64>().prop_map(Duration::from_millis),
        (0..100_000_000_u64).prop_map(Duration::from_millis),
        (0..100_000_u64).prop_map(Duration::from_secs),
    ]
}

fn lifetimes() -> impl Strategy<Value = Lifetime> {
    (durations(), instants(), durations(), any::<bool>()).prop_map(
        |(idle, absolute, retention, remembered)| {
            let persistence = if remembered { Persistence::Remembered } else { Persistence::Browser };
            Lifetime::new(idle, absolute, retention).with_persistence(persistence)
        },
    )
}

fn principals() -> impl Strategy<Value = Principal> {
    ("[a-zé@. ]{1,120}", prop::collection::vec("[a-z:]{1,64}", 0..5)).prop_map(|(name, roles)| {
        let roles = roles.iter().map(|role| Role::new(role).unwrap());
        Principal::new(PrincipalId::new(name).unwrap()).with_roles(roles).unwrap()
    })
}

fn devices() -> impl Strategy<Value = Device> {
    let agents = prop_oneof!["\\PC{0,60}", Just(FIREFOX.to_owned()), ".{0,600}"];
    (any::<Option<IpAddr>>(), agents, "\\PC{0,40}").prop_map(|(ip, agent, label)| {
        let device = Device::new().with_user_agent(&agent).with_label(&label);
        ip.into_iter().fold(device, Device::with_ip)
    })
}

fn authentications() -> impl Strategy<Value = Authentication> {
    let methods = prop::collection::vec(("[a-z]{1,8}|password|totp", instants()), 1..4);
    (1..=3_u8, methods).prop_map(|(level, methods)| {
        let used = |(name, at): (String, Timestamp)| MethodUse { method: Method::new(name).unwrap(), at };
        let level = AuthLevel::from_u8(level).unwrap();
        Authentication::from_methods(level, methods.into_iter().map(used).collect()).unwrap()
    })
}

prop_compose! {
    fn records()(
        id in any::<[u8; 16]>(),
        created_at in instants(),
        lifetime in lifetimes(),
        rotated_at in instants(),
        principal in prop::option::of(principals()),
        device in prop::option::of(devices()),
        authentication in prop::option::of(authentications()),
        attributes in prop::collection::vec(("[a-zA-Z0-9_.:-]{1,64}", prop::collection::vec(any::<u8>(), 0..200)), 0..6),
    ) -> SessionRecord {
        let mut record = SessionRecord::new(SessionId::from_bytes(id), created_at, lifetime);
        record.rotated_at = rotated_at;
        record.principal = principal.map(Arc::new);
        record.device = device.map(Box::new);
        record.authentication = authentication.map(Box::new);
        for (key, bytes) in attributes {
            record.attributes.insert_bytes(AttributeKey::new(&key).unwrap(), bytes.into());
        }
        record
    }
}

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
