//! Syslog: RFC 5424 messages in datagrams, to the machine's own daemon or over UDP (RFC 5426).

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::{UdpSocket, UnixDatagram};

use crate::{AuditRow, EventObject, names};

/// Where syslog messages are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SyslogAddress {
    /// The socket of the machine's own daemon, such as `/dev/log`.
    Unix(PathBuf),
    /// Another machine: host and port.
    Udp(String),
}

impl FromStr for SyslogAddress {
    type Err = MalformedSyslogAddress;

    fn from_str(text: &str) -> Result<Self, MalformedSyslogAddress> {
        if let Some(host) = text.strip_prefix("udp://") {
            let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                host.to_owned()
            } else {
                format!("{host}:{UDP_PORT}")
            };
            return if host.is_empty() || host.contains('/') {
                Err(MalformedSyslogAddress)
            } else {
                Ok(Self::Udp(with_port))
            };
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(MalformedSyslogAddress) }
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(host) => write!(f, "udp://{host}"),
        }
    }
}

/// A text is no address of a syslog daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a path, such as `/dev/log`, nor `udp://HOST:PORT`")]
pub struct MalformedSyslogAddress;

/// A way to a syslog daemon.
pub(super) struct Syslog {
    to: SyslogAddress,
    host: String,
    open: Option<Socket>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    pub(super) fn new(to: SyslogAddress, host: &str) -> Self {
        // A host name in a message is printable and has no spaces (RFC 5424 §6.2.4).
        let is_name =
            !host.is_empty() && host.len() <= 255 && host.bytes().all(|byte| byte.is_ascii_graphic());
        let host = if is_name { host.to_owned() } else { NIL.to_owned() };
        Self { to, host, open: None }
    }

    pub(super) async fn send(&mut self, row: &AuditRow) -> io::Result<()> {
        let message = message(row, &self.host);
        if self.open.is_none() {
            self.open = Some(Socket::connect(&self.to).await?);
        }
        let sent = match &self.open {
            Some(Socket::Unix(socket)) => socket.send(message.as_bytes()).await,
            Some(Socket::Udp(socket)) => socket.send(message.as_bytes()).await,
            None => return Ok(()),
        };
        // The daemon was restarted perhaps: the next event looks for it again.
        sent.map(|_| ()).inspect_err(|_| self.open = None)
    }
}

impl Socket {
    async fn connect(to: &SyslogAddress) -> io::Result<Self> {
        match to {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Self::Unix(socket))
            }
            SyslogAddress::Udp(host) => {
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                for address in tokio::net::lookup_host(host.clone()).await? {
                    let any = if address.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { ANY_V4 };
                    let socket = UdpSocket::bind(any).await?;
                    match socket.connect(address).await {
                        Ok(()) => return Ok(Self::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

/// The message for an event: facility `authpriv`, the event's name as message id, the event as JSON for text. JSON has no
/// line ends and no control characters: nothing that a client sent can begin another message.
fn message(row: &AuditRow, host: &str) -> String {
    let priority = FACILITY_AUTHPRIV * 8 + names::severity(&row.event).as_syslog();
    let json = serde_json::to_string(&EventObject::from(row)).unwrap_or_default();
    let id: String = row.event.chars().filter(char::is_ascii_graphic).take(MOST_ID_CHARS).collect();
    format!("<{priority}>1 {} {host} cloakroom {} {id} {NIL} {json}", row.at, std::process::id())
}

const UDP_PORT: u16 = 514;
const ANY_V4: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
const NIL: &str = "-";
const FACILITY_AUTHPRIV: u8 = 10;
/// The longest message id that RFC 5424 §6 has room for.
const MOST_ID_CHARS: usize = 32;
