//! Where the database is, and how much may be asked of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::url;

/// Where the database is, how the way to it is protected, and how much may be asked of it.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_mysql::MysqlOptions;
///
/// let options = MysqlOptions::from_url("mysql://shop:secret@db.example.org/sessions?sslrootcert=/etc/shop/ca.pem")?
///     .with_deadline(Duration::from_secs(1));
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok::<(), cloakroom_mysql::UrlError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct MysqlOptions {
    pub(crate) place: Place,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) tls: TlsMode,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) deadline: Duration,
    pub(crate) connections: NonZeroUsize,
    pub(crate) migrate: Migrate,
}

/// How the connection is protected: `sslmode` in the URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlsMode {
    /// No TLS. The default on a Unix socket or a loopback address.
    Disable,
    /// TLS, with anybody who answers: keeps out whoever only listens.
    Require,
    /// TLS with a certificate of a known authority for the host's name. The default everywhere else.
    VerifyFull,
}

/// Where the server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Host { name: String, port: u16 },
    Socket(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Whether [`MysqlStore::connect`](crate::MysqlStore::connect) may create and upgrade the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migrate {
    On,
    Off,
}

/// Options that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{cause}: {remedy}")]
#[non_exhaustive]
pub struct UrlError {
    /// What is wrong. Never contains the password.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl UrlError {
    pub(crate) fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }
}

impl MysqlOptions {
    /// The options in a URL: `mysql://user:password@host:port/database?key=value&…`, or `mariadb://…`.
    ///
    /// Keys: `sslmode` (`disable`, `require`, `verify-full`), `sslrootcert`, `socket`, `deadline`
    /// (`1500ms`, `2s`), `connections`, `migrate` (`on`, `off`).
    ///
    /// # Errors
    /// [`UrlError`] with a cause and a remedy; never with the password.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    pub(crate) fn new(place: Place, user: String, password: Option<String>, database: String) -> Self {
        let tls = if is_local(&place) { TlsMode::Disable } else { TlsMode::VerifyFull };
        Self {
            place,
            user,
            password,
            database,
            tls,
            authorities: None,
            deadline: DEFAULT_DEADLINE,
            connections: DEFAULT_CONNECTIONS,
            migrate: Migrate::On,
        }
    }

    /// The same, answering within this time whatever the server does; two seconds by default. The server itself gives a
    /// lock up after half of it, though not before a second: that is its unit.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: deadline.clamp(*DEADLINES.start(), *DEADLINES.end()), ..self }
    }

    /// The same with at most this many connections; ten by default. Each does one thing at a time.
    #[must_use]
    pub fn with_connections(self, connections: NonZeroUsize) -> Self {
        Self { connections, ..self }
    }

    /// The same with this protection of the way to the server.
    #[must_use]
    pub fn with_tls(self, tls: TlsMode) -> Self {
        Self { tls, ..self }
    }

    /// The same, trusting the authorities in this PEM file instead of those of the operating system.
    #[must_use]
    pub fn with_authorities(self, file: impl Into<PathBuf>) -> Self {
        Self { authorities: Some(file.into()), ..self }
    }

    /// The same, without creating or changing tables: for a user who may only use them.
    #[must_use]
    pub fn without_migration(self) -> Self {
        Self { migrate: Migrate::Off, ..self }
    }

    /// How the way to the server is protected.
    #[must_use]
    pub fn tls(&self) -> TlsMode {
        self.tls
    }

    /// Within which time every verb answers.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// In which database the tables are.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    pub(crate) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }
}

impl fmt::Debug for MysqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlOptions")
            .field("place", &self.place)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("authorities", &self.authorities)
            .field("deadline", &self.deadline)
            .field("connections", &self.connections)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

/// Whether the server is this computer.
fn is_local(place: &Place) -> bool {
    match place {
        Place::Host { name, .. } => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Place::Socket(_) => true,
    }
}

/// Long enough for a fail-over inside one machine room to be a slow request, short enough for a person to wait.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// A statement needs time to be sent.
pub(crate) const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(3600);
/// Ten nodes fit a server as it is installed (`max_connections` 151).
const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");
