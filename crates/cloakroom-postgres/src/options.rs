//! Where the database is, and how much may be asked of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::url;

/// Where the database is, how the way to it is protected, and how much may be asked of it.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_postgres::PostgresOptions;
///
/// let options = PostgresOptions::from_url("postgres://shop:secret@db1,db2/shop?sslrootcert=/etc/shop/ca.pem")?
///     .with_deadline(Duration::from_secs(1));
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok::<(), cloakroom_postgres::UrlError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// One for each host, in the order of the URL; the same but for that.
    pub(crate) hosts: Vec<Config>,
    pub(crate) schema: String,
    pub(crate) tls: TlsMode,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) deadline: Duration,
    pub(crate) readers: NonZeroUsize,
    pub(crate) writers: NonZeroUsize,
    pub(crate) migrate: Migrate,
    pub(crate) settings: Settings,
}

/// How the connection is protected: `sslmode` in the URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlsMode {
    /// No TLS. The default on a Unix socket or a loopback address.
    Disable,
    /// TLS where the server offers it, with anybody who answers. Keeps out whoever only listens, and only sometimes.
    Prefer,
    /// TLS, with anybody who answers unless `sslrootcert` is given: then like [`VerifyCa`](Self::VerifyCa), as in libpq.
    Require,
    /// TLS with a certificate of a known authority, whatever name is in it.
    VerifyCa,
    /// TLS with a certificate of a known authority for the host's name. The default everywhere else.
    VerifyFull,
}

/// Whether [`PostgresStore::connect`](crate::PostgresStore::connect) may create and upgrade the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migrate {
    On,
    Off,
}

/// Whether connections are given settings of their own at their start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Settings {
    Own,
    /// Behind a pooler that hands a connection to somebody else after each transaction.
    OfTheServer,
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

impl PostgresOptions {
    /// The options in a URL: `postgres://user:password@host:port,host2/database?key=value&…`.
    ///
    /// Keys of libpq: `sslmode`, `sslrootcert`, `target_session_attrs`, `application_name`, `options`,
    /// `connect_timeout`, `keepalives…`, `channel_binding`, `hostaddr`. Of several hosts the first that answers is taken;
    /// the first that can be written to, unless `target_session_attrs` says otherwise.
    ///
    /// Keys of Cloakroom: `schema`, `deadline` (`1500ms`, `2s`), `readers`, `writers`, `migrate` (`on`, `off`),
    /// `pooler=transaction`.
    ///
    /// # Errors
    /// [`UrlError`] with a cause and a remedy; never with the password.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        url::parse(url)
    }

    pub(crate) fn new(mut hosts: Vec<Config>) -> Self {
        for host in &mut hosts {
            if host.get_application_name().is_none() {
                host.application_name("cloakroom");
            }
        }
        let tls = if hosts.iter().all(is_local) { TlsMode::Disable } else { TlsMode::VerifyFull };
        Self {
            hosts,
            schema: DEFAULT_SCHEMA.to_owned(),
            tls,
            authorities: None,
            deadline: DEFAULT_DEADLINE,
            readers: DEFAULT_READERS,
            writers: DEFAULT_WRITERS,
            migrate: Migrate::On,
            settings: Settings::Own,
        }
    }

    /// The same with the tables in this schema; `cloakroom` by default. It is created where it does not exist.
    ///
    /// # Errors
    /// [`UrlError`] where it is not a lower-case name of letters, digits and underscores, at most 48 long.
    pub fn with_schema(self, schema: &str) -> Result<Self, UrlError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = schema.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !starts || !schema.bytes().all(fits) || schema.len() > 48 || schema.starts_with("pg_") {
            return Err(UrlError::new(
                format!("{schema:?} cannot be the name of a schema"),
                "use up to 48 lower-case letters, digits and underscores, not pg_…",
            ));
        }
        Ok(Self { schema: schema.to_owned(), ..self })
    }

    /// The same, answering within this time whatever the server does; two seconds by default. The server itself gives a
    /// statement up after three quarters of it, and a lock after half of it.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: deadline.clamp(*DEADLINES.start(), *DEADLINES.end()), ..self }
    }

    /// The same with this many connections for look-ups; two by default. Many look-ups share each, one behind the other.
    #[must_use]
    pub fn with_readers(self, readers: NonZeroUsize) -> Self {
        Self { readers, ..self }
    }

    /// The same with at most this many connections for everything else; six by default. Each does one thing at a time.
    #[must_use]
    pub fn with_writers(self, writers: NonZeroUsize) -> Self {
        Self { writers, ..self }
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

    /// The same, without creating or changing tables: for a role that may only use them.
    #[must_use]
    pub fn without_migration(self) -> Self {
        Self { migrate: Migrate::Off, ..self }
    }

    /// The same for a pooler such as PgBouncer in transaction mode: connections get no settings of their own, so that
    /// nothing bounds a statement on the server unless its role has a `statement_timeout`.
    #[must_use]
    pub fn behind_transaction_pooler(self) -> Self {
        Self { settings: Settings::OfTheServer, ..self }
    }

    /// In which schema the tables are.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
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

    pub(crate) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }

    /// The same for pages that have to be stretches of an index: a server that finds a table too small to bother would
    /// collect all of it and sort.
    pub(crate) fn along_indexes(mut self) -> Self {
        if self.settings == Settings::Own {
            for host in &mut self.hosts {
                let theirs = host.get_options().unwrap_or_default().to_owned();
                host.options(format!("-c enable_bitmapscan=off -c enable_sort=off {theirs}"));
            }
        }
        self
    }

    /// Whether every host is this computer.
    pub(crate) fn is_local(&self) -> bool {
        self.hosts.iter().all(is_local)
    }

    /// The hosts, for a message.
    pub(crate) fn place(&self) -> String {
        let places: Vec<String> = self.hosts.iter().map(place).collect();
        places.join(", ")
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("hosts", &self.place())
            .field("user", &self.hosts.first().and_then(Config::get_user))
            .field("database", &self.hosts.first().and_then(Config::get_dbname))
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .field("authorities", &self.authorities)
            .field("deadline", &self.deadline)
            .field("readers", &self.readers)
            .field("writers", &self.writers)
            .field("migrate", &self.migrate)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A host and its port, or a socket; several where the URL has them in `host` or `hostaddr`.
fn place(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(DEFAULT_PORT);
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => format!("{name}:{port}"),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    hosts.collect::<Vec<_>>().join(", ")
}

/// Whether every host is this computer.
fn is_local(config: &Config) -> bool {
    let mut addresses = config.get_hostaddrs().iter();
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }) && addresses.all(std::net::IpAddr::is_loopback)
}

/// Registered with IANA.
const DEFAULT_PORT: u16 = 5432;
const DEFAULT_SCHEMA: &str = "cloakroom";
/// Long enough for a fail-over inside one machine room to be a slow request, short enough for a person to wait.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// A statement needs time to be sent, and half of this is a lock's.
pub(crate) const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(3600);
/// One pipelined connection answers 60 000 look-ups a second; the second one is for when the first has to be replaced.
const DEFAULT_READERS: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");
/// With the readers and a watch nine a node: ten nodes fit a server as it is installed (`max_connections` 100, three reserved).
const DEFAULT_WRITERS: NonZeroUsize = NonZeroUsize::new(6).expect("not zero");
