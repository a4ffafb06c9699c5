//! Reading contents.

use std::net::IpAddr;
use std::sync::Arc;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Method, MethodUse, Principal, PrincipalId, Role,
    SessionId, SessionRecord, Timestamp, TokenCore,
};
use cloakroom_store::{SealRefusal, SealedContents, Version};

use super::parts::{Flags, Spans, microseconds};
use super::words::{self, Words};

/// What an answer is while reading: the bytes are authentic, so what cannot be read is of a format that is not read.
type Read<T> = Result<T, SealRefusal>;

/// Reads numbers, instants and texts. Never panics, and never takes more memory than some constant times what it reads.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    from: Timestamp,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, from: Timestamp::EPOCH }
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(SealRefusal::Format)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let low = u64::from(byte & 0x7F);
            let bits = low << shift;
            if bits >> shift != low {
                return Err(SealRefusal::Format);
            }
            number |= bits;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SealRefusal::Format)
    }

    #[cfg(test)]
    pub(super) fn number_for_tests(mut self) -> Read<u64> {
        self.number()
    }

    fn blob(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| SealRefusal::Format)?;
        let (blob, rest) = self.bytes.split_at_checked(length).ok_or(SealRefusal::Format)?;
        self.bytes = rest;
        Ok(blob)
    }

    fn text(&mut self) -> Read<&'a str> {
        std::str::from_utf8(self.blob()?).map_err(|_| SealRefusal::Format)
    }

    fn words(&mut self, words: &Words, most: usize) -> Read<String> {
        words.lengthen(self.blob()?, most).ok_or(SealRefusal::Format)
    }

    fn distance(&mut self) -> Read<i64> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn instant(&mut self) -> Read<Timestamp> {
        Ok(Timestamp::from_millis(self.from.as_millis().wrapping_add(self.distance()?)))
    }

    /// As many as the next number says. Each takes a byte at least, so a number that is too large ends with the bytes.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }
}

/// The contents, format and all later parts included.
pub(super) fn contents(input: &mut Reader<'_>) -> Read<SealedContents> {
    let flags = Flags::from_bytes(input.array()?)?;
    let core = TokenCore::from_random(input.array()?);
    let id = SessionId::from_bytes(input.array()?);
    let created_at = Timestamp::from_millis(input.number()?.cast_signed());
    input.from = created_at;
    let version = Version::from_u64(input.number()?);
    let known = if flags.has(Flags::LISTED) {
        input.distance()?.wrapping_add(microseconds(created_at)).cast_unsigned()
    } else {
        0
    };
    let last_seen_at = input.instant()?;
    let rotated_at = input.instant()?;
    let spans = Spans { idle: input.number()?, absolute: input.distance()?, retention: input.number()? };
    let lifetime = spans.lifetime(flags, created_at).ok_or(SealRefusal::Format)?;
    let mut record = SessionRecord::new(id, created_at, lifetime);
    record.rotated_at = rotated_at;
    if flags.has(Flags::PRINCIPAL) {
        record.principal = Some(Arc::new(principal(input, flags)?));
    }
    if let Some(level) = flags.level() {
        record.authentication = Some(Box::new(authentication(input, level)?));
    }
    if flags.has(Flags::DEVICE) {
        record.device = Some(Box::new(device(input, flags)?));
    }
    if flags.has(Flags::ATTRIBUTES) {
        for (key, value) in input.list(|input| Ok((input.text()?, input.blob()?)))? {
            let key = AttributeKey::new(key).map_err(|_| SealRefusal::Format)?;
            record.attributes.insert_bytes(key, value.into());
        }
    }
    later(input)?;
    Ok(SealedContents { record: Arc::new(record), version, last_seen_at, known, core })
}

fn principal(input: &mut Reader<'_>, flags: Flags) -> Read<Principal> {
    let id = PrincipalId::new(input.text()?).map_err(|_| SealRefusal::Format)?;
    let principal = Principal::new(id);
    if !flags.has(Flags::ROLES) {
        return Ok(principal);
    }
    let roles = input.list(|input| Role::new(input.text()?).map_err(|_| SealRefusal::Format))?;
    principal.with_roles(roles).map_err(|_| SealRefusal::Format)
}

fn authentication(input: &mut Reader<'_>, level: AuthLevel) -> Read<Authentication> {
    let methods = input.list(|input| {
        let name = input.words(&words::METHODS, Role::MAX_BYTES)?;
        let method = Method::new(name).map_err(|_| SealRefusal::Format)?;
        Ok(MethodUse { method, at: input.instant()? })
    })?;
    Authentication::from_methods(level, methods).ok_or(SealRefusal::Format)
}

fn device(input: &mut Reader<'_>, flags: Flags) -> Read<Device> {
    let mut device = Device::new();
    if flags.has(Flags::IPV4) {
        device = device.with_ip(IpAddr::from(input.array::<4>()?));
    }
    if flags.has(Flags::IPV6) {
        device = device.with_ip(IpAddr::from(input.array::<16>()?));
    }
    if flags.has(Flags::USER_AGENT) {
        device = device.with_user_agent(&input.words(&words::AGENTS, Device::USER_AGENT_MAX_BYTES)?);
    }
    if flags.has(Flags::LABEL) {
        device = device.with_label(&input.words(&words::LABELS, Device::LABEL_MAX_BYTES)?);
    }
    Ok(device)
}

/// Parts that a later version wrote.
fn later(input: &mut Reader<'_>) -> Read<()> {
    while !input.bytes.is_empty() {
        let tag = input.number()?;
        input.blob()?;
        if tag % 2 == 1 {
            return Err(SealRefusal::Format);
        }
    }
    Ok(())
}
