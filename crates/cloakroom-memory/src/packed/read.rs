//! The bytes of a packed record, read from the front.

use std::net::IpAddr;
use std::time::Duration;

use cloakroom_core::{
    AuthLevel, Authentication, Device, Lifetime, Method, MethodUse, Persistence, Principal, PrincipalId,
    Role, Timestamp,
};
use cloakroom_store::Version;

use super::PACKED;

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    from: Timestamp,
}

/// What comes first in a packed record.
pub(super) struct Head<'a> {
    pub(super) principal: &'a [u8],
    pub(super) lifetime: Lifetime,
    pub(super) parts: Parts,
}

/// What is true of a record: mostly which parts follow, one bit each, and the level of the proof, where there is one.
#[derive(Clone, Copy)]
pub(super) struct Parts(pub(super) u8);

impl Parts {
    pub(super) const REMEMBERED: u8 = 1;
    pub(super) const ROLES: u8 = 2;
    pub(super) const DEVICE: u8 = 4;
    pub(super) const ATTRIBUTES: u8 = 8;
    /// Two bits: no proof, or one of level 1 to 3.
    pub(super) const LEVEL_SHIFT: u32 = 6;

    pub(super) fn has(self, part: u8) -> bool {
        self.0 & part != 0
    }

    pub(super) fn level(self) -> Option<AuthLevel> {
        AuthLevel::from_u8(self.0 >> Self::LEVEL_SHIFT)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], from: Timestamp) -> Self {
        Self { rest: bytes, from }
    }

    pub(super) fn head(&mut self) -> Head<'a> {
        let principal = self.blob();
        let parts = Parts(self.byte());
        self.version();
        let absolute = self.instant();
        let lifetime = Lifetime::new(self.duration(), absolute, self.duration());
        let remembered = parts.has(Parts::REMEMBERED);
        let persistence = if remembered { Persistence::Remembered } else { Persistence::Browser };
        Head { principal, lifetime: lifetime.with_persistence(persistence), parts }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().expect(PACKED);
        self.rest = rest;
        *first
    }

    pub(super) fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    pub(super) fn version(&mut self) -> Version {
        Version::from_u64(self.number())
    }

    pub(super) fn length(&mut self) -> usize {
        usize::try_from(self.number()).expect(PACKED)
    }

    pub(super) fn instant(&mut self) -> Timestamp {
        let number = self.number();
        let distance = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        Timestamp::from_millis(self.from.as_millis().wrapping_add(distance))
    }

    pub(super) fn duration(&mut self) -> Duration {
        Duration::from_millis(self.number())
    }

    pub(super) fn blob(&mut self) -> &'a [u8] {
        // Nothing at all reads as nothing: what is left of an anonymous session.
        if self.rest.is_empty() {
            return &[];
        }
        let length = self.length();
        let (bytes, rest) = self.rest.split_at_checked(length).expect(PACKED);
        self.rest = rest;
        bytes
    }

    pub(super) fn text(&mut self) -> &'a str {
        text(self.blob())
    }

    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.length()).map(|_| read(self)).collect()
    }

    pub(super) fn ip(&mut self) -> Option<IpAddr> {
        let bytes = self.blob();
        if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
            return Some(octets.into());
        }
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    }

    pub(super) fn device(&mut self) -> Device {
        let device = Device::new();
        let device = match self.ip() {
            Some(ip) => device.with_ip(ip),
            None => device,
        };
        // An empty text is none, to a device too.
        device.with_user_agent(self.text()).with_label(self.text())
    }

    pub(super) fn principal(&mut self, head: &Head<'_>) -> Option<Principal> {
        if head.principal.is_empty() {
            return None;
        }
        let principal = Principal::new(PrincipalId::new(text(head.principal)).expect(PACKED));
        if !head.parts.has(Parts::ROLES) {
            return Some(principal);
        }
        let roles = self.list(|reader| Role::new(reader.text()).expect(PACKED));
        Some(principal.with_roles(roles).expect(PACKED))
    }

    pub(super) fn authentication(&mut self, level: AuthLevel) -> Authentication {
        match self.length() {
            // Most have one, which needs no list.
            1 => Authentication::new(level, method(self.text()), self.instant()),
            count => {
                let one = |_| MethodUse { method: method(self.text()), at: self.instant() };
                Authentication::from_methods(level, (0..count).map(one).collect()).expect(PACKED)
            }
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect(PACKED)
}

fn method(name: &str) -> Method {
    if name.is_empty() { Method::password() } else { Method::new(name).expect(PACKED) }
}
