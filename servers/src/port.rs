//! Ports of our own on 127.0.0.1, which stay ours while the server that uses them is down.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher as _,
    net::{Ipv4Addr, TcpListener},
};

use crate::{Failure, Outcome};

/// A port on 127.0.0.1 that nobody listened on when it was taken, and that no other `Port` of any process names while
/// this one lives.
///
/// It lies outside of the range from which the kernel picks ports for outgoing connections. Otherwise a client that
/// tries again and again to reach a server that is down could be given that very port, and be connected to itself.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Held for its name's sake: the kernel gives the name back when the process ends, however it ends.
    _claims: Vec<Claim>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn free() -> Outcome<Self> {
        Self::free_with(&[])
    }

    /// A free port whose neighbours at these distances are free and taken with it.
    pub(crate) fn free_with(distances: &[u16]) -> Outcome<Self> {
        let last = last_port();
        let span = u64::from(last - FIRST);
        // Any start will do, as long as processes that begin at the same instant do not all begin at the same port.
        let start = RandomState::new().hash_one(std::process::id()) % span;
        for step in 0..span {
            let offset = u16::try_from((start + step) % span).unwrap_or_default();
            let number = FIRST + offset;
            let mut all = vec![number];
            all.extend(distances.iter().filter_map(|distance| number.checked_add(*distance)));
            if all.len() <= distances.len() || all.iter().any(|port| *port > last) {
                continue;
            }
            let claims: Option<Vec<Claim>> = all.iter().map(|port| Claim::on(*port)).collect();
            if let Some(claims) = claims.filter(|_| all.iter().all(|port| is_free(*port))) {
                return Ok(Self { number, _claims: claims });
            }
        }
        Err(Failure::new("looking for a free port", format!("none between {FIRST} and {last}")))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whether nobody listens on it at this moment.
    #[must_use]
    pub fn is_free(&self) -> bool {
        is_free(self.number)
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

/// The last port below those that the kernel gives to outgoing connections.
fn last_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest = range.split_whitespace().next().and_then(|word| word.parse::<u16>().ok());
    match lowest {
        Some(lowest) if lowest > FIRST + ENOUGH => lowest - 1,
        _ => LAST,
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Claim(#[expect(dead_code, reason = "held, never used")] std::os::unix::net::UnixListener);

#[cfg(target_os = "linux")]
impl Claim {
    /// Claims a port's number by a name that only one process at a time can hold. `None` if another holds it.
    fn on(number: u16) -> Option<Self> {
        use std::os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixListener},
        };
        let name = SocketAddr::from_abstract_name(format!("cloakroom-servers-port-{number}")).ok()?;
        UnixListener::bind_addr(&name).ok().map(Self)
    }
}

/// Elsewhere there are no such names: the window between finding a port and using it stays open.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Claim;

#[cfg(not(target_os = "linux"))]
impl Claim {
    #[expect(clippy::unnecessary_wraps, reason = "on Linux a claim can fail")]
    fn on(_number: u16) -> Option<Self> {
        Some(Self)
    }
}

/// The first port that we take: above what services usually listen on.
const FIRST: u16 = 12_000;

/// The last one, where the kernel does not say: below the range that IANA sets aside for outgoing connections.
const LAST: u16 = 49_151;

/// Fewer ports than these would not be worth keeping out of the kernel's range.
const ENOUGH: u16 = 11_000;
