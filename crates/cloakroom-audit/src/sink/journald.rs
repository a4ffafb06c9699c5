//! Journald, by its native protocol: fields in one datagram.

use std::io;
use std::path::PathBuf;

use tokio::net::UnixDatagram;

use crate::{AuditRow, EventObject, names};

/// A way to journald.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    pub(super) async fn send(&mut self, row: &AuditRow) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.path)?;
            self.socket = Some(socket);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        socket.send(&entry(row)).await.map(|_| ()).inspect_err(|_| self.socket = None)
    }
}

/// An entry of the journal: the event as JSON for message, and what people look for as fields of their own.
fn entry(row: &AuditRow) -> Vec<u8> {
    let json = serde_json::to_string(&EventObject::from(row)).unwrap_or_default();
    let (priority, seq) = (names::severity(&row.event).as_syslog().to_string(), row.seq.to_string());
    let hash = row.hash.to_string();
    let fields = [
        ("MESSAGE", Some(json.as_str())),
        ("PRIORITY", Some(priority.as_str())),
        ("SYSLOG_FACILITY", Some(FACILITY_AUTHPRIV)),
        ("SYSLOG_IDENTIFIER", Some("cloakroom")),
        ("CLOAKROOM_EVENT", Some(row.event.as_str())),
        ("CLOAKROOM_SEQ", Some(seq.as_str())),
        ("CLOAKROOM_HASH", Some(hash.as_str())),
        ("CLOAKROOM_PRINCIPAL", row.principal.as_deref()),
        ("CLOAKROOM_SESSION", row.session.as_deref()),
        ("CLOAKROOM_ACTOR", Some(row.actor_kind.as_str())),
        ("CLOAKROOM_REASON", row.reason.as_deref()),
    ];
    let mut bytes = Vec::with_capacity(json.len().saturating_add(512));
    for (name, value) in fields {
        if let Some(value) = value {
            push(&mut bytes, name, value);
        }
    }
    bytes
}

/// `NAME=value`, or where the value has line ends its length in between: no value can become another field.
fn push(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

const FACILITY_AUTHPRIV: &str = "10";
