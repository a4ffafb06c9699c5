//! Values in Redis to and from sessions. The scripts read the same bytes: see `scripts/look.lua`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, PrincipalId, Route, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict,
    idle_expires_at, judge,
};
use cloakroom_store::{Ended, Live, Lookup, Retired, Version, decode_record, encode_record};

use crate::epoch::Epoch;
use crate::error::Problem;
use crate::keys::{DIGEST_TEXT, ID_TEXT, digest_text, id_text};

/// A record ready to be filed.
#[derive(Debug)]
pub(crate) struct Filing {
    pub(crate) digest: String,
    pub(crate) id: SessionId,
    pub(crate) text: String,
    pub(crate) created_at: Timestamp,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) expires_at: Timestamp,
    absolute_at: Timestamp,
    /// The value of its key from the version on.
    pub(crate) value: Vec<u8>,
}

impl Filing {
    pub(crate) fn new(
        record: &SessionRecord,
        digest: TokenDigest,
        version: Version,
    ) -> Result<Self, Problem> {
        let principal = record.principal.as_ref().map(|principal| principal.id().clone());
        let text = id_text(record.id);
        let lifetime = record.lifetime;
        let mut value = Vec::with_capacity(TYPICAL_BYTES);
        value.extend(version.as_u64().to_be_bytes());
        value.extend(instant(record.created_at));
        value.extend(duration(lifetime.idle_timeout));
        value.extend(instant(lifetime.absolute_expires_at));
        value.extend(duration(lifetime.tombstone_retention));
        value.extend(record.id.as_bytes());
        value.extend(text.as_bytes());
        let name = principal.as_ref().map_or("", PrincipalId::as_str);
        let length = u16::try_from(name.len()).map_err(|_| Problem::Misuse("a principal of this length"))?;
        value.extend(length.to_be_bytes());
        value.extend(name.as_bytes());
        let address = record.device.as_ref().and_then(|device| device.ip()).map(address).unwrap_or_default();
        value.push(u8::try_from(address.len()).map_err(|_| Problem::Misuse("an address of this length"))?);
        value.extend(address);
        encode_record(record, &mut value)?;
        Ok(Self {
            digest: digest_text(digest),
            id: record.id,
            text,
            created_at: record.created_at,
            principal,
            expires_at: idle_expires_at(record, record.created_at),
            absolute_at: lifetime.absolute_expires_at,
            value,
        })
    }

    pub(crate) fn principal(&self) -> &str {
        self.principal.as_ref().map_or("", PrincipalId::as_str)
    }

    /// The route by which the sessions of its principal are found.
    pub(crate) fn route(&self) -> Route {
        self.principal.as_ref().map_or_else(|| self.id.route(), Route::of_principal)
    }

    /// How long it may live from `now` on.
    pub(crate) fn life(&self, now: Timestamp) -> [u8; 8] {
        duration(self.absolute_at.since(now))
    }
}

/// What there is under a digest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) entry: Option<Vec<u8>>,
    /// Whether it is among the sessions of its principal, where it has one.
    pub(crate) is_listed: bool,
}

/// What the bytes under a digest say, before anything is judged.
enum Record<'a> {
    Live(Head<'a>),
    Tombstone { tombstone: Tombstone, created_at: Timestamp },
    Retired(Retired),
}

/// A live record but for its body, which is decoded when it is needed.
struct Head<'a> {
    incarnation: [u8; 8],
    generation: u32,
    version: Version,
    id: SessionId,
    principal: Option<PrincipalId>,
    created_at: Timestamp,
    body: &'a [u8],
}

/// What became of a session, with the instant it was issued at.
pub(crate) enum Fate {
    Live(Live),
    Ended { tombstone: Tombstone, created_at: Timestamp, kept_until: Timestamp },
    Retired(Retired),
    Unknown,
}

impl From<Fate> for Lookup {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Live(live) => Self::Live(live),
            Fate::Ended { tombstone, .. } => Self::Ended(tombstone),
            Fate::Retired(retired) => Self::Retired(retired),
            Fate::Unknown => Self::Unknown,
        }
    }
}

impl Found {
    /// What became of the session by `now`.
    ///
    /// # Security
    /// A live record is one half of a live session. Without its entry, its place among those of its principal, or the
    /// epoch it was filed in, it is unknown: see the table of keys in the crate's documentation.
    pub(crate) fn fate(&self, epoch: Option<&Epoch>, now: Timestamp) -> Result<Fate, Problem> {
        let Some(bytes) = &self.record else { return Ok(Fate::Unknown) };
        let head = match Record::read(bytes)? {
            Record::Live(head) => head,
            Record::Tombstone { tombstone, created_at } => {
                let kept_until = self.entry.as_deref().map_or(Ok(tombstone.ended_at), due_at)?;
                return Ok(Fate::Ended { tombstone, created_at, kept_until });
            }
            Record::Retired(retired) => return Ok(Fate::Retired(retired)),
        };
        let (Some(entry), true, Some(epoch)) = (&self.entry, self.is_listed, epoch) else {
            return Ok(Fate::Unknown);
        };
        if head.incarnation != epoch.incarnation {
            return Ok(Fate::Unknown);
        }
        let last_seen_at = seen_at(entry)?;
        let record = decode_record(head.body)?;
        let expired = |now| match judge(&record, last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some((at, reason)),
        };
        let over = match epoch.first_to_end(head.created_at, head.generation) {
            // Time may have ended it before everything did.
            Some(end) => Some(expired(end.ended_at).unwrap_or((end.ended_at, end.reason))),
            None if head.generation != epoch.generation => return Ok(Fate::Unknown),
            None => expired(now),
        };
        Ok(match over {
            None => Fate::Live(Live { record: Arc::new(record), version: head.version, last_seen_at }),
            Some((ended_at, reason)) => Fate::Ended {
                kept_until: ended_at.plus(record.lifetime.tombstone_retention),
                tombstone: Tombstone { session: head.id, principal: head.principal, ended_at, reason },
                created_at: head.created_at,
            },
        })
    }
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Problem> {
        let mut reader = Reader(bytes);
        match reader.take::<1>()? {
            [LIVE] => Head::read(reader).map(Self::Live),
            [TOMBSTONE] => {
                let (tombstone, created_at) = read_tombstone(reader)?;
                Ok(Self::Tombstone { tombstone, created_at })
            }
            [RETIRED] => {
                let session = SessionId::from_bytes(reader.take()?);
                Ok(Self::Retired(Retired { session, rotated_at: reader.instant()? }))
            }
            _ => Err(Problem::Value("kind")),
        }
    }
}

impl<'a> Head<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Problem> {
        let incarnation = reader.take()?;
        let generation = u32::from_be_bytes(reader.take()?);
        let version = Version::from_u64(u64::from_be_bytes(reader.take()?));
        let created_at = reader.instant()?;
        let _lifetime: [u8; 24] = reader.take()?;
        let id = SessionId::from_bytes(reader.take()?);
        let _text: [u8; ID_TEXT] = reader.take()?;
        let length = u16::from_be_bytes(reader.take()?);
        let principal = principal(reader.slice(usize::from(length))?)?;
        let [length] = reader.take()?;
        let _address = reader.slice(usize::from(length))?;
        Ok(Self { incarnation, generation, version, id, principal, created_at, body: reader.0 })
    }
}

/// What is left of a session, as its key's value.
pub(crate) fn tombstone_bytes(tombstone: &Tombstone, created_at: Timestamp) -> Result<Vec<u8>, Problem> {
    let reason = tombstone.reason.as_str();
    let length = u8::try_from(reason.len()).map_err(|_| Problem::Misuse("a reason of this length"))?;
    let principal = tombstone.principal.as_ref().map_or("", PrincipalId::as_str);
    Ok([
        &[TOMBSTONE],
        tombstone.session.as_bytes().as_slice(),
        &instant(created_at),
        &instant(tombstone.ended_at),
        &[length],
        reason.as_bytes(),
        principal.as_bytes(),
    ]
    .concat())
}

/// An exchanged token, as its key's value.
pub(crate) fn retired_bytes(retired: &Retired) -> Vec<u8> {
    [&[RETIRED], retired.session.as_bytes().as_slice(), &instant(retired.rotated_at)].concat()
}

/// A session that a script buried, from the bytes it left.
pub(crate) fn ended(bytes: &[u8]) -> Result<Ended, Problem> {
    let mut reader = Reader(bytes);
    match reader.take::<1>()? {
        [TOMBSTONE] => read_tombstone(reader).map(|(tombstone, _)| tombstone.into()),
        _ => Err(Problem::Value("kind")),
    }
}

fn read_tombstone(mut reader: Reader<'_>) -> Result<(Tombstone, Timestamp), Problem> {
    let session = SessionId::from_bytes(reader.take()?);
    let created_at = reader.instant()?;
    let ended_at = reader.instant()?;
    let reason = reader.reason()?;
    let principal = principal(reader.0)?;
    Ok((Tombstone { session, principal, ended_at, reason }, created_at))
}

/// The last activity that a session's entry tells.
fn seen_at(entry: &[u8]) -> Result<Timestamp, Problem> {
    let mut reader = Reader(entry);
    let _digest = reader.slice(DIGEST_TEXT)?;
    reader.instant()
}

/// The instant at which a session's entry is due: for what is left of one, until when it is kept.
fn due_at(entry: &[u8]) -> Result<Timestamp, Problem> {
    let mut reader = Reader(entry);
    let _digest = reader.slice(DIGEST_TEXT)?;
    let _seen_at: [u8; 8] = reader.take()?;
    reader.instant()
}

fn principal(bytes: &[u8]) -> Result<Option<PrincipalId>, Problem> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let name = std::str::from_utf8(bytes).map_err(|_| Problem::Value("principal"))?;
    PrincipalId::new(name).map(Some).map_err(|_| Problem::Value("principal"))
}

/// An instant as bytes in the order of time.
pub(crate) fn instant(at: Timestamp) -> [u8; 8] {
    let [first, rest @ ..] = at.as_millis().to_be_bytes();
    let [a, b, c, d, e, f, g] = rest;
    [first ^ SIGN, a, b, c, d, e, f, g]
}

/// A duration as bytes, cut to what instants can be apart.
pub(crate) fn duration(duration: Duration) -> [u8; 8] {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).to_be_bytes()
}

/// An address as bytes: four for IPv4, sixteen for IPv6.
pub(crate) fn address(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Takes bytes from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Problem::Value("length"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Problem::Value("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn instant(&mut self) -> Result<Timestamp, Problem> {
        let [first, rest @ ..] = self.take::<8>()?;
        let [a, b, c, d, e, f, g] = rest;
        Ok(Timestamp::from_millis(i64::from_be_bytes([first ^ SIGN, a, b, c, d, e, f, g])))
    }

    /// A reason behind its length.
    pub(crate) fn reason(&mut self) -> Result<EndReason, Problem> {
        let [length] = self.take()?;
        let text = std::str::from_utf8(self.slice(usize::from(length))?);
        text.ok().and_then(|text| text.parse().ok()).ok_or(Problem::Value("reason"))
    }
}

const LIVE: u8 = b'L';
const TOMBSTONE: u8 = b'T';
const RETIRED: u8 = b'R';
/// Turned over, the order of bytes is the order of signed numbers.
const SIGN: u8 = 0x80;
/// A record with a device, an authentication and a small attribute fits without growing.
const TYPICAL_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_instants_is_the_order_of_their_bytes() {
        let instants = [i64::MIN, -1_000, -1, 0, 1, 255, 256, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
        let bytes = instants.map(|millis| instant(Timestamp::from_millis(millis)));
        assert!(bytes.is_sorted());
        for (millis, bytes) in instants.into_iter().zip(bytes) {
            assert_eq!(Reader(&bytes).instant().unwrap(), Timestamp::from_millis(millis));
        }
    }

    #[test]
    fn no_change_of_a_byte_and_no_truncation_panics() {
        let bytes = [b"T".as_slice(), &[7; 16], &[1; 16], b"\x0asigned_outalice"].concat();
        assert_eq!(ended(&bytes).unwrap().reason, EndReason::SignedOut);
        for length in 0..bytes.len() {
            let _ = ended(&bytes[..length]);
        }
        for kind in [b"T", b"L", b"R"] {
            for at in 1..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[0] = kind[0];
                damaged[at] = 0xff;
                let _ = Record::read(&damaged);
            }
        }
    }
}
