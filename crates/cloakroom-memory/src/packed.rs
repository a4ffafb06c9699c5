//! Records as few bytes: what a session that nobody is asking for just now takes.
//!
//! A [`SessionRecord`] is made to be used: shared, with every part where the compiler wants it. For a signed-in session
//! without attributes that is three allocations and some 270 bytes. Packed it is 30 bytes in its slot, where whoever
//! judges or looks for a principal finds them without another miss of the cache; device and attributes are in an
//! allocation of their own, which only unpacking reads. The format never leaves the process, so it has no version:
//! numbers are variable-length, instants relative to the instant of issue, texts are preceded by their length. The
//! principal comes first, because a tombstone keeps nothing else.

mod read;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, Device, Lifetime, Persistence, PrincipalId, SessionId, SessionRecord, Timestamp,
};
use cloakroom_store::Version;

use read::{Parts, Reader, text};

/// A record and its version, without its id and its instant of issue, which the slot has.
#[derive(Default, Debug)]
pub(crate) struct Packed {
    core: Core,
    /// Device and attributes.
    extras: Box<[u8]>,
}

/// All but device and attributes: in place, but for long names and many roles.
#[derive(Debug)]
enum Core {
    Inline { length: u8, bytes: [u8; INLINE] },
    Spilled(Box<[u8]>),
}

impl Packed {
    pub(crate) fn new(record: &SessionRecord, version: Version) -> Self {
        let mut out = Writer { bytes: Vec::with_capacity(USUAL), from: record.created_at };
        out.core(record, version);
        let core = Core::from(out.bytes.as_slice());
        out.bytes.clear();
        if let Some(device) = &record.device {
            out.device(device);
        }
        if !record.attributes.is_empty() {
            out.length(record.attributes.len());
            for (key, bytes) in record.attributes.iter() {
                out.text(key.as_str());
                out.blob(bytes);
            }
        }
        Self { core, extras: out.bytes.as_slice().into() }
    }

    /// The bytes it takes outside the slot, an allocator's share included.
    pub(crate) fn bytes(&self) -> usize {
        let spilled = if let Core::Spilled(bytes) = &self.core { bytes.len() } else { 0 };
        [spilled, self.extras.len()]
            .into_iter()
            .map(|size| if size == 0 { 0 } else { size + ALLOCATION })
            .sum()
    }

    /// The id of the principal, as the bytes of its text.
    pub(crate) fn principal(&self) -> Option<&[u8]> {
        let name = Reader::new(self.core.bytes(), Timestamp::EPOCH).blob();
        (!name.is_empty()).then_some(name)
    }

    /// The id of the principal.
    pub(crate) fn principal_id(&self) -> Option<PrincipalId> {
        self.principal().map(|name| PrincipalId::new(text(name)).expect(PACKED))
    }

    /// The version of the record.
    pub(crate) fn version(&self) -> Version {
        let mut core = Reader::new(self.core.bytes(), Timestamp::EPOCH);
        core.blob();
        core.byte();
        core.version()
    }

    /// What a tombstone keeps: the principal.
    pub(crate) fn into_rest(self) -> Self {
        let name = self.principal().map_or(0, |name| number_length(name.len()) + name.len());
        let core = Core::from(self.core.bytes().get(..name).expect(PACKED));
        Self { core, extras: Box::default() }
    }

    /// The limits in force, of a session issued at `created_at`.
    pub(crate) fn lifetime(&self, created_at: Timestamp) -> Lifetime {
        Reader::new(self.core.bytes(), created_at).head().lifetime
    }

    /// The address it was issued to.
    pub(crate) fn ip(&self, created_at: Timestamp) -> Option<IpAddr> {
        let head = Reader::new(self.core.bytes(), created_at).head();
        if head.parts.has(Parts::DEVICE) { Reader::new(&self.extras, created_at).ip() } else { None }
    }

    /// The record again.
    pub(crate) fn unpack(&self, id: SessionId, created_at: Timestamp) -> SessionRecord {
        let mut core = Reader::new(self.core.bytes(), created_at);
        let head = core.head();
        let mut record = SessionRecord::new(id, created_at, head.lifetime);
        record.rotated_at = core.instant();
        record.principal = core.principal(&head).map(Arc::new);
        record.authentication = head.parts.level().map(|level| Box::new(core.authentication(level)));
        let mut extras = Reader::new(&self.extras, created_at);
        record.device = head.parts.has(Parts::DEVICE).then(|| Box::new(extras.device()));
        if head.parts.has(Parts::ATTRIBUTES) {
            for _ in 0..extras.length() {
                let key = AttributeKey::new(extras.text()).expect(PACKED);
                record.attributes.insert_bytes(key, extras.blob().into());
            }
        }
        record
    }
}

impl Core {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => bytes.get(..usize::from(*length)).expect(PACKED),
            Self::Spilled(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Core {
    fn from(from: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..from.len()), u8::try_from(from.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(from);
                Self::Inline { length, bytes }
            }
            _ => Self::Spilled(from.into()),
        }
    }
}

impl Default for Core {
    fn default() -> Self {
        Self::from([].as_slice())
    }
}

struct Writer {
    bytes: Vec<u8>,
    from: Timestamp,
}

impl Writer {
    fn core(&mut self, record: &SessionRecord, version: Version) {
        self.text(record.principal.as_ref().map_or("", |principal| principal.id().as_str()));
        let roles = record.principal.as_ref().map_or(&[][..], |principal| principal.roles());
        let parts = [
            (Parts::REMEMBERED, record.lifetime.persistence == Persistence::Remembered),
            (Parts::ROLES, !roles.is_empty()),
            (Parts::DEVICE, record.device.is_some()),
            (Parts::ATTRIBUTES, !record.attributes.is_empty()),
        ];
        let level = record.authentication.as_ref().map_or(0, |proof| proof.level().as_u8());
        let level = level << Parts::LEVEL_SHIFT;
        self.bytes
            .push(parts.iter().fold(level, |bits, (part, there)| if *there { bits | part } else { bits }));
        self.number(version.as_u64());
        self.instant(record.lifetime.absolute_expires_at);
        self.duration(record.lifetime.idle_timeout);
        self.duration(record.lifetime.tombstone_retention);
        self.instant(record.rotated_at);
        if !roles.is_empty() {
            self.list(roles, |out, role| out.text(role.as_str()));
        }
        if let Some(authentication) = &record.authentication {
            self.list(authentication.methods(), |out, used| {
                // The usual one has no name here.
                out.text(if used.method.as_str() == PASSWORD { "" } else { used.method.as_str() });
                out.instant(used.at);
            });
        }
    }

    /// Seven bits at a time, the lowest first; the highest bit of a byte says that more follow (LEB128).
    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.bytes.push(low & 0x7F);
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).expect("lengths fit in 64 bits"));
    }

    /// Small where the instant is near the instant of issue, before or after: the sign is the lowest bit.
    fn instant(&mut self, instant: Timestamp) {
        let distance = instant.as_millis().wrapping_sub(self.from.as_millis());
        self.number((distance << 1).cast_unsigned() ^ (distance >> 63).cast_unsigned());
    }

    fn duration(&mut self, duration: Duration) {
        self.number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }

    fn blob(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn device(&mut self, device: &Device) {
        match device.ip() {
            None => self.blob(&[]),
            Some(IpAddr::V4(ip)) => self.blob(&ip.octets()),
            Some(IpAddr::V6(ip)) => self.blob(&ip.octets()),
        }
        self.text(device.user_agent().unwrap_or_default());
        self.text(device.label().unwrap_or_default());
    }
}

/// Bytes that [`Writer::length`] writes for `length`.
fn number_length(length: usize) -> usize {
    let bits = usize::BITS - length.leading_zeros();
    usize::try_from(bits.div_ceil(7).max(1)).expect("a number of bytes is small")
}

/// What an allocator adds to a small allocation.
pub(crate) const ALLOCATION: usize = 16;
/// Bytes of a record that are in its slot: enough for a UUID as principal and a proof.
const INLINE: usize = 54;
/// Room to write to: most records without attributes need no more.
const USUAL: usize = 256;
/// The name of [`Method::password`].
const PASSWORD: &str = "password";
const PACKED: &str = "bytes in this process are what `Packed::new` wrote";

#[cfg(test)]
mod tests {
    use cloakroom_conformance::records;
    use cloakroom_core::{Authentication, Principal};
    use proptest::prelude::*;

    use super::*;

    /// A part of a record that is not packed is lost without any other sign.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_record_has_the_parts_that_are_packed_here_and_no_others() {
        assert_eq!(
            size_of::<SessionRecord>(),
            128,
            "a part was added to the record or changed: pack it, then say so"
        );
        assert_eq!(
            size_of::<Lifetime>(),
            48,
            "a part was added to the lifetime or changed: pack it, then say so"
        );
        assert_eq!(
            size_of::<Device>(),
            56,
            "a part was added to the device or changed: pack it, then say so"
        );
        assert_eq!(
            size_of::<Authentication>(),
            40,
            "a part was added to the proof or changed: pack it, then say so"
        );
        assert_eq!(
            size_of::<Principal>(),
            40,
            "a part was added to the principal or changed: pack it, then say so"
        );
    }

    proptest! {
        #[test]
        fn every_record_unpacks_equal(record in records(), version in any::<u64>()) {
            let version = Version::from_u64(version);
            let packed = Packed::new(&record, version);
            prop_assert_eq!(packed.version(), version);
            prop_assert_eq!(packed.lifetime(record.created_at), record.lifetime);
            prop_assert_eq!(packed.ip(record.created_at), record.device.as_ref().and_then(|device| device.ip()));
            prop_assert_eq!(packed.unpack(record.id, record.created_at), record);
        }

        #[test]
        fn the_rest_of_a_record_is_its_principal(record in records()) {
            let id = record.principal.as_ref().map(|principal| principal.id().clone());
            let packed = Packed::new(&record, Version::FIRST);
            prop_assert_eq!(packed.principal_id(), id.clone());
            let rest = packed.into_rest();
            prop_assert!(rest.bytes() <= id.as_ref().map_or(0, |id| id.as_str().len() + 2 + ALLOCATION));
            prop_assert_eq!(rest.principal_id(), id);
        }
    }
}
