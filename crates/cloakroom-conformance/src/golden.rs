//! Records as every released version wrote them.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, Persistence, Principal, Role, Route,
    SessionId, SessionRecord, Timestamp,
};

use crate::fixtures::principal_id;

/// A record, and its bytes as a released version wrote them. They are never written again: what a store of any age
/// holds stays readable.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The file the bytes are in.
    pub name: &'static str,
    /// The bytes.
    pub bytes: &'static [u8],
    /// What they say.
    pub record: SessionRecord,
}

/// Every golden record, the oldest format first.
#[must_use]
pub fn golden_records() -> Vec<Golden> {
    vec![
        Golden { name: "v1-bare.bin", bytes: include_bytes!("../golden/v1-bare.bin"), record: bare() },
        Golden {
            name: "v1-signed-in.bin",
            bytes: include_bytes!("../golden/v1-signed-in.bin"),
            record: signed_in(),
        },
        Golden { name: "v1-full.bin", bytes: include_bytes!("../golden/v1-full.bin"), record: full() },
        Golden {
            name: "v1-extreme.bin",
            bytes: include_bytes!("../golden/v1-extreme.bin"),
            record: extreme(),
        },
    ]
}

/// Anonymous, without anything that may be absent.
fn bare() -> SessionRecord {
    routed(Route::from_bytes([0x12, 0x34]))
}

fn routed(route: Route) -> SessionRecord {
    let issued = Timestamp::from_millis(1_767_225_600_000);
    let lifetime = Lifetime::new(Duration::from_secs(1_800), issued.plus(Duration::from_secs(43_200)), DAY);
    SessionRecord::new(SessionId::from_random(route, [0x56; 14]), issued, lifetime)
}

/// What an ordinary sign-in leaves.
fn signed_in() -> SessionRecord {
    let alice = principal_id("alice");
    let mut record = routed(Route::of_principal(&alice));
    record.principal = Some(Arc::new(Principal::new(alice)));
    record.authentication =
        Some(Box::new(Authentication::new(AuthLevel::One, Method::password(), record.created_at)));
    record.device =
        Some(Box::new(Device::new().with_ip([203, 0, 113, 9].into()).with_user_agent("Mozilla/5.0")));
    record
}

/// Every field, each with another value than by default.
fn full() -> SessionRecord {
    let zoe = principal_id("zoë@example.org");
    let mut record = routed(Route::of_principal(&zoe));
    let roles = ["admin", "staff"].map(|name| Role::new(name).expect("a role"));
    record.principal = Some(Arc::new(Principal::new(zoe).with_roles(roles).expect("few roles")));
    record.rotated_at = Timestamp::from_millis(1_767_225_777_777);
    record.lifetime = record.lifetime.with_persistence(Persistence::Remembered);
    let ip = "2001:db8::9".parse().expect("an address");
    let device = Device::new().with_ip(ip).with_user_agent("Mozilla/5.0 (X11; Linux x86_64)");
    record.device = Some(Box::new(device.with_label("Firefox on Linux")));
    let passkey = Method::new("passkey").expect("a method");
    let proof = Authentication::new(AuthLevel::One, Method::password(), record.created_at);
    record.authentication = Some(Box::new(proof.and(AuthLevel::Three, passkey, record.rotated_at)));
    for (key, value) in [("cart", &b"\x93\x01\x02\x03"[..]), ("empty", b""), ("theme:1", b"\xA4dark")] {
        record.attributes.insert_bytes(AttributeKey::new(key).expect("a key"), value.into());
    }
    record
}

/// Every number at its end.
fn extreme() -> SessionRecord {
    let longest = Duration::from_millis(u64::MAX);
    let lifetime = Lifetime::new(longest, Timestamp::MAX, longest);
    let id = SessionId::from_bytes([0xFF; SessionId::LENGTH]);
    SessionRecord::new(id, Timestamp::from_millis(i64::MIN), lifetime)
}

const DAY: Duration = Duration::from_secs(86_400);
