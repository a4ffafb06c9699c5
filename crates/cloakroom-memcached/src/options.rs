//! Where the servers are, and for how long to wait for them.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::url::{self, UrlError};

/// Where the servers are, and for how long to wait for them.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_memcached::MemcachedOptions;
///
/// let options = MemcachedOptions::new(["cache1:11211", "cache2:11211"])
///     .with_prefix("shop:")
///     .with_deadline(Duration::from_secs(1));
/// assert_eq!(MemcachedOptions::from_url("memcached://cache1,cache2?prefix=shop:&deadline=1s")?, options);
/// # Ok::<(), cloakroom_memcached::UrlError>(())
/// ```
///
/// # Security
/// memcached neither encrypts nor asks who is there: whoever reaches a server can read every record and end or forge any
/// session. Servers belong on a network of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemcachedOptions {
    pub(crate) servers: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) connections: NonZeroUsize,
    pub(crate) deadline: Duration,
}

impl MemcachedOptions {
    /// These servers, each `host:port`. Every node has to be given the same ones, spelled alike: the spelling decides
    /// which sessions are looked for where.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            prefix: DEFAULT_PREFIX.to_owned(),
            connections: DEFAULT_CONNECTIONS,
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// Reads `memcached://a:11211,b,[::1]:11212?prefix=shop:&connections=2&deadline=2s`. The port is 11211 where none is
    /// given.
    ///
    /// # Errors
    /// [`UrlError`] where it is no such URL: what is wrong, and what to do.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    /// The same with this in front of every key; `cloakroom:` by default. It sets applications on one server apart.
    /// At most 64 visible ASCII characters: [`connect`](crate::MemcachedStore::connect) refuses another.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// The same with this many connections to each server; two by default, sixteen at most. Tasks share them, and one is
    /// enough for a hundred thousand look-ups a second; more help where records are large.
    #[must_use]
    pub fn with_connections(self, connections: NonZeroUsize) -> Self {
        Self { connections: connections.min(MOST_CONNECTIONS), ..self }
    }

    /// The same, waiting for at most this long in each call; two seconds by default. A server that is silent for a quarter
    /// of it while somebody waits is given up.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// How long a server may be silent, about.
    pub(crate) fn patience(&self) -> Duration {
        self.deadline / 4
    }

    /// What is wrong with these options, if anything is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let mut names: Vec<&String> = self.servers.iter().collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            Some("no server")
        } else if names.len() != self.servers.len() {
            Some("a server that is named twice")
        } else if !is_prefix(&self.prefix) {
            Some("a prefix that is not at most 64 visible ASCII characters")
        } else {
            None
        }
    }
}

/// Whether this can stand in front of a key.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.len() <= LONGEST_PREFIX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) const DEFAULT_PREFIX: &str = "cloakroom:";
pub(crate) const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// A server has a thousand to give by default, and there may be many nodes.
pub(crate) const MOST_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");
/// memcached takes keys of 250 bytes, and ours have 69 after the prefix.
pub(crate) const LONGEST_PREFIX: usize = 64;
