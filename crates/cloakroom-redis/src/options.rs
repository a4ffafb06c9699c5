//! Where the server is, and how much may be spent on asking it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::url::{UrlError, parse};

/// Where the server is, and how much may be spent on asking it.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_redis::RedisOptions;
///
/// let options = RedisOptions::from_url("rediss://shop:secret@redis.example/0?prefix=shop")?
///     .with_deadline(Duration::from_secs(1));
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok::<(), cloakroom_redis::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    pub(crate) servers: Servers,
    pub(crate) hosts: Vec<Host>,
    pub(crate) credentials: Credentials,
    pub(crate) sentinel_credentials: Credentials,
    pub(crate) database: i64,
    pub(crate) tls: Option<Tls>,
    pub(crate) prefix: String,
    pub(crate) deadline: Duration,
    pub(crate) replicas: Option<Replicas>,
}

/// How the servers are arranged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Servers {
    Standalone,
    /// The name by which the sentinels know the primary.
    Sentinel(String),
    Cluster,
}

/// A server's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Whom a connection speaks for.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Credentials {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Credentials").field("user", &self.user).field("password", &password).finish()
    }
}

/// How to recognise the server, and how to be recognised by it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tls {
    /// The authorities to trust; without, those of the operating system.
    pub(crate) ca_file: Option<PathBuf>,
    /// A certificate of our own, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// How many replicas have to know of an end, and how long to wait for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replicas {
    pub(crate) count: u32,
    pub(crate) patience: Duration,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("servers", &self.servers)
            .field("hosts", &self.hosts)
            .field("credentials", &self.credentials)
            .field("sentinel_credentials", &self.sentinel_credentials)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("replicas", &self.replicas)
            .finish()
    }
}

impl RedisOptions {
    /// What a URL says.
    ///
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` for one server, `redis+sentinel://HOST[:PORT],…/NAME[/DATABASE]`
    /// for the primary that sentinels know by this name, `redis+cluster://HOST[:PORT],…` for a Cluster; `rediss` instead
    /// of `redis` for TLS, `valkey` and `valkeys` likewise. Options follow after `?`: `prefix`, `deadline`,
    /// `wait_replicas`, `wait_timeout`, `ca_file`, `cert_file`, `key_file`, `sentinel_user`, `sentinel_password`. What a
    /// user or password cannot contain as it is, is percent-encoded.
    ///
    /// # Errors
    /// [`UrlError`], which says what is wrong and what to do, and never repeats a password.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        parse(url)
    }

    /// The same with keys that begin with `prefix` and a colon; `cloakroom` by default. Stores with different prefixes
    /// know nothing of each other.
    ///
    /// # Errors
    /// [`UrlError`] for a prefix that is empty, longer than 64 bytes, or has other characters than letters, digits,
    /// `-`, `_`, `.` and `:` (a brace would decide in which slot of a Cluster everything lies).
    pub fn with_prefix(self, prefix: impl Into<String>) -> Result<Self, UrlError> {
        let prefix = prefix.into();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !prefix.chars().all(is_plain) {
            return Err(UrlError::new(
                format!("the prefix {prefix:?} cannot begin the names of keys"),
                "use 1 to 64 letters, digits, '-', '_', '.' or ':'",
            ));
        }
        Ok(Self { prefix, ..self })
    }

    /// The same, answering [`Timeout`](cloakroom_store::ErrorKind::Timeout) to whoever has waited for this long; two
    /// seconds by default. Bounds every verb in whatever state the servers are, connecting included.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same, with ends and exchanges of tokens acknowledged only when this many replicas have them too, within
    /// `patience`, which is cut to three quarters of the deadline; none by default. Otherwise they are an
    /// [`Unavailable`](cloakroom_store::ErrorKind::Unavailable) error, after which they may have been applied.
    ///
    /// # Security
    /// Replication is asynchronous. What a primary acknowledged and no replica has heard of is undone by a fail-over:
    /// a session that was ended lives again. With as many as there are replicas, whichever takes over has it.
    #[must_use]
    pub fn with_replicas(self, count: u32, patience: Duration) -> Self {
        Self { replicas: (count > 0).then_some(Replicas { count, patience }), ..self }
    }

    /// The same over TLS, trusting the authorities in a PEM file instead of the operating system's.
    #[must_use]
    pub fn with_ca_file(self, path: impl AsRef<Path>) -> Self {
        let tls = Tls { ca_file: Some(path.as_ref().to_owned()), ..self.tls.unwrap_or_default() };
        Self { tls: Some(tls), ..self }
    }

    /// The same over TLS, showing the server this certificate (PEM files).
    #[must_use]
    pub fn with_certificate(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let identity = Some((certificate.as_ref().to_owned(), key.as_ref().to_owned()));
        let tls = Tls { identity, ..self.tls.unwrap_or_default() };
        Self { tls: Some(tls), ..self }
    }

    /// The same, as this user of the server's access control list.
    #[must_use]
    pub fn with_user(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let credentials = Credentials { user: Some(user.into()), password: Some(password.into()) };
        Self { credentials, ..self }
    }

    /// The longest a verb may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What the names of all keys begin with, without the colon.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Redis answers in a fraction of a millisecond; whoever waits for a page has patience for about this.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// Half of the default deadline: replicas in the same place answer in a millisecond.
pub(crate) const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const DEFAULT_PREFIX: &str = "cloakroom";
/// It is part of every key's name.
const LONGEST_PREFIX: usize = 64;
