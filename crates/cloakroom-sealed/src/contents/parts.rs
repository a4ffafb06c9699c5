//! Which parts a record has, and its lifetime in few digits.

use std::net::IpAddr;
use std::time::Duration;

use cloakroom_core::{AuthLevel, Lifetime, Persistence, SessionRecord, Timestamp};
use cloakroom_store::{SealRefusal, SealedContents};

/// Which parts there are, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flags(u16);

impl Flags {
    pub(super) const LENGTH: usize = 2;

    pub(super) const REMEMBERED: u16 = 1;
    /// All durations are whole seconds.
    pub(super) const SECONDS: u16 = 1 << 1;
    pub(super) const PRINCIPAL: u16 = 1 << 2;
    pub(super) const ROLES: u16 = 1 << 3;
    pub(super) const DEVICE: u16 = 1 << 4;
    pub(super) const IPV4: u16 = 1 << 5;
    pub(super) const IPV6: u16 = 1 << 6;
    pub(super) const USER_AGENT: u16 = 1 << 7;
    pub(super) const LABEL: u16 = 1 << 8;
    pub(super) const ATTRIBUTES: u16 = 1 << 9;
    /// Something of the revocation list was known.
    pub(super) const LISTED: u16 = 1 << 10;
    /// Two bits: the level of authentication, zero for none.
    const LEVEL_SHIFT: u32 = 11;
    const LEVEL_MASK: u16 = 0b11;
    const DEFINED: u16 = (1 << 13) - 1;

    pub(super) fn of(contents: &SealedContents, spans: &Spans) -> Self {
        let record = &*contents.record;
        let device = record.device.as_deref();
        let ip = device.and_then(cloakroom_core::Device::ip);
        let level = record.authentication.as_ref().map_or(0, |proof| u16::from(proof.level().as_u8()));
        let bits = [
            (Self::REMEMBERED, record.lifetime.persistence == Persistence::Remembered),
            (Self::SECONDS, spans.are_whole_seconds()),
            (Self::PRINCIPAL, record.principal.is_some()),
            (Self::ROLES, record.principal.as_ref().is_some_and(|principal| !principal.roles().is_empty())),
            (Self::DEVICE, device.is_some()),
            (Self::IPV4, matches!(ip, Some(IpAddr::V4(_)))),
            (Self::IPV6, matches!(ip, Some(IpAddr::V6(_)))),
            (Self::USER_AGENT, device.is_some_and(|device| device.user_agent().is_some())),
            (Self::LABEL, device.is_some_and(|device| device.label().is_some())),
            (Self::ATTRIBUTES, !record.attributes.is_empty()),
            (Self::LISTED, contents.known != 0),
        ];
        let level = level << Self::LEVEL_SHIFT;
        Self(bits.iter().fold(level, |bits, (bit, is_there)| if *is_there { bits | bit } else { bits }))
    }

    pub(super) const fn to_bytes(self) -> [u8; Self::LENGTH] {
        self.0.to_be_bytes()
    }

    /// Refuses a bit that is not known: what it stands for would be read as something else.
    pub(super) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Result<Self, SealRefusal> {
        let bits = u16::from_be_bytes(bytes);
        if bits & !Self::DEFINED == 0 { Ok(Self(bits)) } else { Err(SealRefusal::Format) }
    }

    pub(super) const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    pub(super) fn level(self) -> Option<AuthLevel> {
        let level = (self.0 >> Self::LEVEL_SHIFT) & Self::LEVEL_MASK;
        u8::try_from(level).ok().and_then(AuthLevel::from_u8)
    }
}

/// The durations of a lifetime, in milliseconds or in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spans {
    pub(super) idle: u64,
    /// From issue to the absolute instant.
    pub(super) absolute: i64,
    pub(super) retention: u64,
}

impl Spans {
    pub(super) fn of(record: &SessionRecord) -> Self {
        let lifetime = &record.lifetime;
        let absolute = lifetime.absolute_expires_at.as_millis().wrapping_sub(record.created_at.as_millis());
        Self {
            idle: millis(lifetime.idle_timeout),
            absolute,
            retention: millis(lifetime.tombstone_retention),
        }
    }

    pub(super) const fn are_whole_seconds(&self) -> bool {
        self.idle.is_multiple_of(1_000) && self.absolute % 1_000 == 0 && self.retention.is_multiple_of(1_000)
    }

    /// In seconds where that loses nothing.
    pub(super) const fn shortest(self) -> Self {
        if !self.are_whole_seconds() {
            return self;
        }
        Self { idle: self.idle / 1_000, absolute: self.absolute / 1_000, retention: self.retention / 1_000 }
    }

    /// The lifetime again, of a session issued at `created_at`; `None` where a span is too long to be one.
    pub(super) fn lifetime(self, flags: Flags, created_at: Timestamp) -> Option<Lifetime> {
        let is_seconds = flags.has(Flags::SECONDS);
        let unit = |span: u64| if is_seconds { span.checked_mul(1_000) } else { Some(span) };
        let absolute = if is_seconds { self.absolute.checked_mul(1_000)? } else { self.absolute };
        let absolute = Timestamp::from_millis(created_at.as_millis().wrapping_add(absolute));
        let persistence =
            if flags.has(Flags::REMEMBERED) { Persistence::Remembered } else { Persistence::Browser };
        let idle = Duration::from_millis(unit(self.idle)?);
        let retention = Duration::from_millis(unit(self.retention)?);
        Some(Lifetime::new(idle, absolute, retention).with_persistence(persistence))
    }
}

/// What numbers of a revocation list are near to: lists count from the clock on, in microseconds.
pub(super) const fn microseconds(at: Timestamp) -> i64 {
    at.as_millis().wrapping_mul(1_000)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
