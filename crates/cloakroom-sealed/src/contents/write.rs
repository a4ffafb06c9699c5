//! Writing contents.

use std::fmt;
use std::net::IpAddr;

use cloakroom_core::{Device, Timestamp};
use cloakroom_store::SealedContents;
use zeroize::Zeroizing;

use super::parts::{Flags, Spans, microseconds};
use super::{Encoded, words};
use crate::format::Format;

/// Writes numbers, instants and texts, as far as there is room, and measures what it writes.
pub(super) struct Writer<'a> {
    bytes: Zeroizing<Vec<u8>>,
    front: usize,
    most: usize,
    size: usize,
    growth: usize,
    from: Timestamp,
    largest: (Part<'a>, usize),
}

/// What may be large in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part<'a> {
    /// Instants, ids, flags: what every session has.
    Frame,
    /// The principal's id.
    Principal,
    Roles,
    Methods,
    UserAgent,
    Label,
    Attribute(&'a str),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frame => "what every session has",
            Self::Principal => "the principal",
            Self::Roles => "the roles",
            Self::Methods => "the methods of authentication",
            Self::UserAgent => "the user agent",
            Self::Label => "the name of the device",
            Self::Attribute(key) => return write!(f, "attribute `{key}`"),
        })
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(from: Timestamp, front: usize, most: usize) -> Self {
        // All that may ever be written: bytes that had to grow would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(front.saturating_add(most)));
        bytes.resize(front, 0);
        Self { bytes, front, most, size: 0, growth: 0, from, largest: (Part::Frame, 0) }
    }

    pub(super) fn finish(self) -> Encoded {
        debug_assert!(self.bytes.len() <= self.front + self.most);
        Encoded { bytes: self.bytes, size: self.size, growth: self.growth }
    }

    pub(super) fn largest(self) -> (Part<'a>, usize) {
        self.largest
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if self.size <= self.most {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Remembers `part` if nothing larger was written so far.
    fn part(&mut self, part: Part<'a>, write: impl FnOnce(&mut Self)) {
        let before = self.size;
        write(self);
        let size = self.size - before;
        if size > self.largest.1 {
            self.largest = (part, size);
        }
    }

    /// Counts what is written as `room` bytes at least.
    fn growing(&mut self, room: usize, write: impl FnOnce(&mut Self)) {
        let before = self.size;
        write(self);
        self.growth += room.saturating_sub(self.size - before);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.put(&[low & 0x7F]);
            }
            self.put(&[low | 0x80]);
        }
    }

    fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).unwrap_or(u64::MAX));
    }

    fn blob(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.put(bytes);
    }

    /// Small where it is near the instant of issue, before or after.
    fn distance(&mut self, distance: i64) {
        self.number((distance << 1).cast_unsigned() ^ (distance >> 63).cast_unsigned());
    }

    fn instant(&mut self, instant: Timestamp) {
        self.distance(instant.as_millis().wrapping_sub(self.from.as_millis()));
    }
}

pub(super) fn contents<'a>(out: &mut Writer<'a>, contents: &'a SealedContents, format: Format) {
    let record = &*contents.record;
    let spans = Spans::of(record);
    out.part(Part::Frame, |out| {
        out.put(&[format.as_byte()]);
        out.put(&Flags::of(contents, &spans).to_bytes());
        out.put(contents.core.expose());
        out.put(record.id.as_bytes());
        out.number(record.created_at.as_millis().cast_unsigned());
        out.growing(VERSION_ROOM, |out| out.number(contents.version.as_u64()));
        out.growing(KNOWN_ROOM, |out| {
            if contents.known != 0 {
                out.distance(contents.known.cast_signed().wrapping_sub(microseconds(record.created_at)));
            }
        });
        out.growing(INSTANT_ROOM, |out| out.instant(contents.last_seen_at));
        out.growing(INSTANT_ROOM, |out| out.instant(record.rotated_at));
        let spans = spans.shortest();
        out.number(spans.idle);
        out.distance(spans.absolute);
        out.number(spans.retention);
    });
    if let Some(principal) = &record.principal {
        out.part(Part::Principal, |out| out.blob(principal.id().as_str().as_bytes()));
        if !principal.roles().is_empty() {
            out.part(Part::Roles, |out| {
                out.length(principal.roles().len());
                principal.roles().iter().for_each(|role| out.blob(role.as_str().as_bytes()));
            });
        }
    }
    out.growing(METHODS_ROOM, |out| {
        let Some(authentication) = &record.authentication else { return };
        out.part(Part::Methods, |out| {
            out.length(authentication.methods().len());
            for used in authentication.methods() {
                out.blob(&words::METHODS.shorten(used.method.as_str()));
                out.instant(used.at);
            }
        });
    });
    out.growing(DEVICE_ROOM, |out| record.device.iter().for_each(|device| write_device(out, device)));
    if !record.attributes.is_empty() {
        out.length(record.attributes.len());
        for (key, value) in record.attributes.iter() {
            out.part(Part::Attribute(key.as_str()), |out| {
                out.blob(key.as_str().as_bytes());
                out.blob(value);
            });
        }
    }
}

fn write_device(out: &mut Writer<'_>, device: &Device) {
    match device.ip() {
        None => {}
        Some(IpAddr::V4(ip)) => out.put(&ip.octets()),
        Some(IpAddr::V6(ip)) => out.put(&ip.octets()),
    }
    if let Some(agent) = device.user_agent() {
        out.part(Part::UserAgent, |out| out.blob(&words::AGENTS.shorten(agent)));
    }
    if let Some(label) = device.label() {
        out.part(Part::Label, |out| out.blob(&words::LABELS.shorten(label)));
    }
}

/// Versions also jump by 2³², where many exchanges of a token are ended by one entry of the list: room for 2¹⁷ such jumps.
const VERSION_ROOM: usize = 7;
/// Any number of a list that counts in microseconds, for a session that knew none at first.
const KNOWN_ROOM: usize = 8;
/// Seventy years from issue.
const INSTANT_ROOM: usize = 6;
/// Three methods from the list of words.
const METHODS_ROOM: usize = 1 + 3 * (1 + 1 + INSTANT_ROOM);
/// An IPv6 address, a browser that words are known of, and its name.
const DEVICE_ROOM: usize = 16 + (1 + 36) + (1 + 12);
