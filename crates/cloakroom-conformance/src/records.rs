//! Records as there may be, for tests of whatever writes them as bytes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, MethodUse, Persistence, Principal,
    PrincipalId, Role, SessionId, SessionRecord, Timestamp,
};
use proptest::prelude::*;

prop_compose! {
    /// Records with any of the parts that there are, at any instant.
    pub fn records()(
        (id, created_at, rotated_at, lifetime) in (any::<[u8; 16]>(), instants(), instants(), lifetimes()),
        principal in prop::option::of(principals()),
        device in prop::option::of(devices()),
        authentication in prop::option::of(authentications()),
        attributes in prop::collection::vec(
            ("[a-zA-Z0-9_.:-]{1,64}", prop::collection::vec(any::<u8>(), 0..300)),
            0..6,
        ),
    ) -> SessionRecord {
        let mut record = SessionRecord::new(SessionId::from_bytes(id), created_at, lifetime);
        record.rotated_at = rotated_at;
        record.principal = principal.map(Arc::new);
        record.device = device.map(Box::new);
        record.authentication = authentication.map(Box::new);
        for (key, bytes) in attributes {
            record.attributes.insert_bytes(AttributeKey::new(&key).expect(WITHIN), bytes.into());
        }
        record
    }
}

/// Instants: of our time, and any.
pub fn instants() -> impl Strategy<Value = Timestamp> {
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
        let roles = roles.iter().map(|role| Role::new(role).expect(WITHIN));
        Principal::new(PrincipalId::new(name).expect(WITHIN)).with_roles(roles).expect(WITHIN)
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
        let used =
            |(name, at): (String, Timestamp)| MethodUse { method: Method::new(name).expect(WITHIN), at };
        let level = AuthLevel::from_u8(level).expect("there are three");
        Authentication::from_methods(level, methods.into_iter().map(used).collect()).expect(WITHIN)
    })
}

const WITHIN: &str = "what is made up here is within the limits";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
