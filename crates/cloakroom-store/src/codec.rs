//! Records as bytes.
//!
//! The first byte is the format version; then follows MessagePack with named short fields, so that a newer version may
//! add fields that an older one skips. Every released version stays readable: `cloakroom-conformance` keeps golden
//! records of each.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, MethodUse, Persistence, Principal,
    PrincipalId, Role, SessionId, SessionRecord, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

/// The format that [`encode_record`] writes.
pub const FORMAT_VERSION: u8 = 1;

/// Appends the bytes of `record` to `buffer`, which may be reused.
///
/// # Errors
/// [`CodecError::Encode`] never happens for a record of this version's types; it is no panic because the encoder says
/// it may fail.
pub fn encode_record(record: &SessionRecord, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    buffer.push(FORMAT_VERSION);
    let mut serializer = rmp_serde::Serializer::new(buffer).with_struct_map();
    WireOut::from(record).serialize(&mut serializer).map_err(CodecError::Encode)
}

/// Reads a record of any released format.
///
/// # Errors
/// [`CodecError`] where the bytes are no record. The caller treats that session as unknown and leaves the rest alone.
pub fn decode_record(bytes: &[u8]) -> Result<SessionRecord, CodecError> {
    match bytes.split_first() {
        Some((&FORMAT_VERSION, body)) => {
            rmp_serde::from_slice::<WireIn>(body).map_err(CodecError::Decode)?.into_record()
        }
        Some((&version, _)) => Err(CodecError::Version(version)),
        None => Err(CodecError::Empty),
    }
}

/// Bytes are no record, or a record could not become bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// There are no bytes.
    #[error("an empty record")]
    Empty,
    /// Written by a later version of Cloakroom.
    #[error("a record of format {0}, which this version does not know")]
    Version(u8),
    /// Damaged bytes.
    #[error("a damaged record")]
    Decode(#[source] rmp_serde::decode::Error),
    /// A field has a value it cannot have.
    #[error("a record with an impossible {0}")]
    Value(&'static str),
    /// The encoder failed.
    #[error("a record that cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// Format 1 as it is written: borrowed.
#[derive(Serialize)]
struct WireOut<'a> {
    #[serde(rename = "i")]
    id: &'a Bytes,
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'a str>,
    #[serde(rename = "c")]
    created_at: i64,
    #[serde(rename = "t")]
    rotated_at: i64,
    #[serde(rename = "x")]
    absolute_expires_at: i64,
    #[serde(rename = "o")]
    idle_timeout: u64,
    #[serde(rename = "k")]
    tombstone_retention: u64,
    #[serde(rename = "m", skip_serializing_if = "is_false")]
    remembered: bool,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    device: Option<WireDevice<&'a str>>,
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    methods: Vec<(&'a str, i64)>,
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(&'a str, &'a Bytes)>,
}

/// Format 1 as it is read: owned, everything optional that may be absent.
#[derive(Deserialize)]
struct WireIn {
    #[serde(rename = "i")]
    id: ByteBuf,
    #[serde(rename = "p", default)]
    principal: Option<String>,
    #[serde(rename = "r", default)]
    roles: Vec<String>,
    #[serde(rename = "c")]
    created_at: i64,
    #[serde(rename = "t")]
    rotated_at: i64,
    #[serde(rename = "x")]
    absolute_expires_at: i64,
    #[serde(rename = "o")]
    idle_timeout: u64,
    #[serde(rename = "k")]
    tombstone_retention: u64,
    #[serde(rename = "m", default)]
    remembered: bool,
    #[serde(rename = "d", default)]
    device: Option<WireDevice<String>>,
    #[serde(rename = "l", default)]
    level: Option<u8>,
    #[serde(rename = "u", default)]
    methods: Vec<(String, i64)>,
    #[serde(rename = "a", default)]
    attributes: Vec<(String, ByteBuf)>,
}

#[derive(Serialize, Deserialize)]
struct WireDevice<T> {
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(rename = "u", default = "none", skip_serializing_if = "Option::is_none")]
    user_agent: Option<T>,
    #[serde(rename = "l", default = "none", skip_serializing_if = "Option::is_none")]
    label: Option<T>,
}

impl<'a> From<&'a SessionRecord> for WireOut<'a> {
    fn from(record: &'a SessionRecord) -> Self {
        let principal = record.principal.as_deref();
        let authentication = record.authentication.as_deref();
        Self {
            id: Bytes::new(record.id.as_bytes()),
            principal: principal.map(|principal| principal.id().as_str()),
            roles: principal.map_or_else(Vec::new, |p| p.roles().iter().map(Role::as_str).collect()),
            created_at: record.created_at.as_millis(),
            rotated_at: record.rotated_at.as_millis(),
            absolute_expires_at: record.lifetime.absolute_expires_at.as_millis(),
            idle_timeout: millis(record.lifetime.idle_timeout),
            tombstone_retention: millis(record.lifetime.tombstone_retention),
            remembered: record.lifetime.persistence == Persistence::Remembered,
            device: record.device.as_deref().map(|device| WireDevice {
                ip: device.ip(),
                user_agent: device.user_agent(),
                label: device.label(),
            }),
            level: authentication.map(|authentication| authentication.level().as_u8()),
            methods: authentication.map_or_else(Vec::new, |authentication| {
                authentication
                    .methods()
                    .iter()
                    .map(|used| (used.method.as_str(), used.at.as_millis()))
                    .collect()
            }),
            attributes: record
                .attributes
                .iter()
                .map(|(key, bytes)| (key.as_str(), Bytes::new(bytes)))
                .collect(),
        }
    }
}

impl WireIn {
    fn into_record(self) -> Result<SessionRecord, CodecError> {
        let id =
            self.id.as_slice().try_into().map(SessionId::from_bytes).map_err(|_| CodecError::Value("id"))?;
        let persistence = if self.remembered { Persistence::Remembered } else { Persistence::Browser };
        let lifetime = Lifetime::new(
            Duration::from_millis(self.idle_timeout),
            Timestamp::from_millis(self.absolute_expires_at),
            Duration::from_millis(self.tombstone_retention),
        );
        let mut record = SessionRecord::new(
            id,
            Timestamp::from_millis(self.created_at),
            lifetime.with_persistence(persistence),
        );
        record.rotated_at = Timestamp::from_millis(self.rotated_at);
        record.principal = self.principal.map(|id| principal(&id, &self.roles)).transpose()?.map(Arc::new);
        record.device = self.device.map(|wire| Box::new(device(&wire)));
        record.authentication =
            self.level.map(|level| authentication(level, self.methods)).transpose()?.map(Box::new);
        for (key, bytes) in self.attributes {
            let key = AttributeKey::new(&key).map_err(|_| CodecError::Value("attribute key"))?;
            record.attributes.insert_bytes(key, bytes.into_vec().into());
        }
        Ok(record)
    }
}

fn principal(id: &str, roles: &[String]) -> Result<Principal, CodecError> {
    let id = PrincipalId::new(id).map_err(|_| CodecError::Value("principal"))?;
    let roles: Result<Vec<Role>, _> = roles.iter().map(Role::new).collect();
    Principal::new(id)
        .with_roles(roles.map_err(|_| CodecError::Value("role"))?)
        .map_err(|_| CodecError::Value("role"))
}

fn device(wire: &WireDevice<String>) -> Device {
    let mut device = Device::new();
    if let Some(ip) = wire.ip {
        device = device.with_ip(ip);
    }
    if let Some(user_agent) = &wire.user_agent {
        device = device.with_user_agent(user_agent);
    }
    match &wire.label {
        Some(label) => device.with_label(label),
        None => device,
    }
}

fn authentication(level: u8, methods: Vec<(String, i64)>) -> Result<Authentication, CodecError> {
    let level = AuthLevel::from_u8(level).ok_or(CodecError::Value("level"))?;
    let methods: Result<Vec<MethodUse>, CodecError> = methods
        .into_iter()
        .map(|(name, at)| {
            let method = Method::new(name).map_err(|_| CodecError::Value("method"))?;
            Ok(MethodUse { method, at: Timestamp::from_millis(at) })
        })
        .collect();
    Authentication::from_methods(level, methods?).ok_or(CodecError::Value("authentication"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

fn none<T>() -> Option<T> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> SessionRecord {
        let lifetime =
            Lifetime::new(Duration::from_secs(60), Timestamp::from_millis(90_000), Duration::from_secs(5));
        SessionRecord::new(SessionId::from_bytes([7; 16]), Timestamp::from_millis(1_000), lifetime)
    }

    fn full() -> SessionRecord {
        let mut record = bare();
        let roles = [Role::new("admin").unwrap(), Role::new("staff").unwrap()];
        record.principal =
            Some(Arc::new(Principal::new(PrincipalId::new("zoë").unwrap()).with_roles(roles).unwrap()));
        record.rotated_at = Timestamp::from_millis(2_000);
        record.lifetime = record.lifetime.with_persistence(Persistence::Remembered);
        record.device = Some(Box::new(
            Device::new().with_ip([203, 0, 113, 9].into()).with_user_agent("curl/8").with_label("curl"),
        ));
        record.authentication = Some(Box::new(Authentication::new(
            AuthLevel::Two,
            Method::password(),
            Timestamp::from_millis(1_000),
        )));
        record.attributes.insert_bytes(AttributeKey::new("cart").unwrap(), vec![1, 2, 3].into());
        record
    }

    fn encoded(record: &SessionRecord) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_record(record, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn records_read_back_equal() {
        for record in [bare(), full()] {
            assert_eq!(decode_record(&encoded(&record)).unwrap(), record);
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_no_change_of_a_byte_panics() {
        let bytes = encoded(&full());
        for length in 0..bytes.len() {
            assert!(decode_record(&bytes[..length]).is_err(), "cut to {length}");
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                let _ = decode_record(&damaged);
            }
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        #[derive(Serialize)]
        struct Later<'a> {
            #[serde(flatten)]
            known: WireOut<'a>,
            zz: &'a str,
        }
        let record = full();
        let mut bytes = vec![FORMAT_VERSION];
        let later = Later { known: WireOut::from(&record), zz: "new" };
        later.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).unwrap();
        assert_eq!(decode_record(&bytes).unwrap(), record);
    }

    #[test]
    fn a_later_format_is_refused_by_its_number() {
        let error = decode_record(&[FORMAT_VERSION + 1, 0]).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
