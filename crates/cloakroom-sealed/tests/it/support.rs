//! Keys, sessions and sealers to test with.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, Persistence, Principal, PrincipalId,
    Role, SessionId, SessionRecord, SessionToken, Timestamp, TokenCore,
};
use cloakroom_sealed::{KeyId, KeyRing, NewKey, Place, Rotation, SealKey, Sealer, SharedRing};
use cloakroom_store::{SealedContents, Sealing as _, Version};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// What the default cookie has around its token.
pub(crate) const AROUND: usize = 75;

pub(crate) fn place() -> Place {
    Place { cookie: "__Host-cloakroom".into(), application: "shop".into() }
}

/// The key of this number, without a time.
pub(crate) fn key(number: u8) -> SealKey {
    SealKey::new(KeyId::from_u32(u32::from_be_bytes([number; 4])), &[number; 32])
}

pub(crate) fn new_key(number: u8) -> NewKey {
    NewKey::from_random(&[number; NewKey::RANDOM_BYTES])
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new([key(1).seals_from(NOW.minus(MINUTE))]).unwrap()
}

pub(crate) fn sealer(ring: impl Into<Arc<SharedRing>>) -> Sealer {
    Sealer::new(ring, &place(), AROUND)
}

/// A rotation as the server makes them.
pub(crate) fn rotation(now: Timestamp) -> Rotation {
    Rotation { now, spread: MINUTE / 2, window: 30 * MINUTE }
}

/// An anonymous session without anything.
pub(crate) fn bare() -> SealedContents {
    let lifetime = Lifetime::new(30 * MINUTE, NOW.plus(720 * MINUTE), 1_440 * MINUTE);
    SealedContents {
        record: Arc::new(SessionRecord::new(SessionId::from_bytes([0xA1; 16]), NOW, lifetime)),
        version: Version::FIRST,
        last_seen_at: NOW,
        known: 0,
        core: TokenCore::from_random([0xC0; 16]),
    }
}

/// A session as many have it: signed in by password, two roles, a browser, two attributes of some sixty bytes.
pub(crate) fn typical() -> SealedContents {
    let mut record = SessionRecord::clone(&bare().record);
    let roles = [Role::new("editor").unwrap(), Role::new("staff").unwrap()];
    let principal = Principal::new(PrincipalId::new("zoe@example.com").unwrap());
    record.principal = Some(Arc::new(principal.with_roles(roles).unwrap()));
    record.authentication = Some(Box::new(Authentication::new(AuthLevel::One, Method::password(), NOW)));
    let device = Device::new().with_ip([203, 0, 113, 9].into());
    record.device = Some(Box::new(device.with_user_agent(FIREFOX).with_label("Firefox on Linux")));
    let set = |record: &mut SessionRecord, key: &str, value: &str| {
        record.attributes.encode(AttributeKey::new(key).unwrap(), value).unwrap();
    };
    set(&mut record, "cart", "umbrella,hat,coat,gloves,scarf,boots");
    set(&mut record, "locale", "en-GB");
    SealedContents {
        record: Arc::new(record),
        known: 1_799_999_000_000_123,
        last_seen_at: NOW.plus(MINUTE),
        ..bare()
    }
}

/// The typical session, with a change.
pub(crate) fn changed(change: impl FnOnce(&mut SessionRecord)) -> SealedContents {
    let contents = typical();
    let mut record = SessionRecord::clone(&contents.record);
    change(&mut record);
    SealedContents { record: Arc::new(record), ..contents }
}

/// A remembered session with all there can be.
pub(crate) fn full() -> SealedContents {
    changed(|record| {
        record.lifetime = record.lifetime.with_persistence(Persistence::Remembered);
        record.lifetime.idle_timeout = Duration::from_millis(1_234_567);
        record.rotated_at = NOW.minus(MINUTE);
        let proof = record.authentication.take().unwrap();
        let proof = proof.and(AuthLevel::Three, Method::new("passkey").unwrap(), NOW.plus(MINUTE));
        let proof = proof.and(AuthLevel::One, Method::new("face").unwrap(), NOW.minus(MINUTE));
        record.authentication = Some(Box::new(proof));
        let device = record.device.take().unwrap();
        record.device = Some(Box::new(device.with_ip("2001:db8::7".parse().unwrap()).with_label("Zoë's 📱")));
    })
}

pub(crate) fn assert_same(one: &SealedContents, other: &SealedContents) {
    assert_eq!(one.record, other.record);
    assert_eq!((one.version, one.last_seen_at, one.known), (other.version, other.last_seen_at, other.known));
    assert_eq!(one.core.expose(), other.core.expose());
}

/// The token of `contents` by the ring of one key.
pub(crate) fn sealed(contents: &SealedContents) -> SessionToken {
    sealer(ring()).seal(contents, NONCE, NOW).unwrap()
}

pub(crate) const NONCE: [u8; 12] = [9; 12];

/// Numbers of a seed (xorshift*): the same in every run.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap() % bound.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.next() & 0xFF).unwrap()
    }
}
