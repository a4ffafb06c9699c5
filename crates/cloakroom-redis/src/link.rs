//! One connection to one server, made anew whenever it broke.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};

use crate::error::Problem;
use crate::options::{Credentials, Host, RedisOptions, Servers, Tls};

/// How to reach any server of a store.
#[derive(Clone)]
pub(crate) struct Dialer {
    settings: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
    /// The longest it may take to connect.
    patience: Duration,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Dialer {
    /// How to reach the servers that keep sessions.
    pub(crate) fn to_servers(options: &RedisOptions) -> Result<Self, Problem> {
        Self::new(options, &options.credentials, options.database)
    }

    /// How to reach the sentinels.
    pub(crate) fn to_sentinels(options: &RedisOptions) -> Result<Self, Problem> {
        Self::new(options, &options.sentinel_credentials, 0)
    }

    fn new(options: &RedisOptions, credentials: &Credentials, database: i64) -> Result<Self, Problem> {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(database)
            .set_lib_name("cloakroom", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &credentials.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &credentials.password {
            settings = settings.set_password(password);
        }
        let tls = options.tls.as_ref().map(certificates).transpose()?;
        if tls.is_some() {
            // The driver asks the process for its cryptography; whoever has chosen one already keeps it.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        // In a Cluster the call that is refused a connection still tells that it is one node's: half of its time is left.
        let patience = match options.servers {
            Servers::Cluster => options.deadline / 2,
            Servers::Standalone | Servers::Sentinel(_) => options.deadline,
        };
        Ok(Self { settings, tls, patience })
    }

    /// The server at `host`, not connected yet.
    pub(crate) fn link(&self, host: &Host) -> Result<Link, Problem> {
        let address = host.to_string();
        let unusable =
            |source: RedisError| Problem::Connect { address: address.clone(), source: source.into() };
        let name = host.name.clone();
        let to = match &self.tls {
            None => ConnectionAddr::Tcp(name, host.port),
            Some(_) => {
                ConnectionAddr::TcpTls { host: name, port: host.port, insecure: false, tls_params: None }
            }
        };
        let info = to
            .into_connection_info()
            .map_err(unusable)?
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = match &self.tls {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        };
        let client = client.map_err(unusable)?;
        Ok(Link {
            address,
            client,
            patience: self.patience,
            present: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
            failures: AtomicU64::new(0),
        })
    }
}

fn certificates(tls: &Tls) -> Result<TlsCertificates, Problem> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|source| Problem::File { path: path.display().to_string(), source })
    };
    let client_tls = match &tls.identity {
        None => None,
        Some((certificate, key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.ca_file.as_ref().map(read).transpose()? })
}

/// One connection to one server, made anew whenever it broke. Calls share it: they are sent one after the other, without
/// waiting for each other's answers.
pub(crate) struct Link {
    address: String,
    client: Client,
    patience: Duration,
    present: Mutex<Option<Connection>>,
    /// Held by whoever connects, so that an outage is not met by a herd.
    dialing: tokio::sync::Mutex<()>,
    /// How often nobody was reached.
    failures: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Link").field(&self.address).finish()
    }
}

/// A connection as long as it holds.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    wire: MultiplexedConnection,
    /// Set as soon as the other end is gone, before anything is sent into the void.
    is_broken: Arc<AtomicBool>,
    /// Which run of which server is at the other end, once somebody has asked.
    process: Arc<OnceLock<String>>,
}

impl Link {
    /// Where it leads to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The connection, made if there is none.
    pub(crate) async fn connection(&self) -> Result<Connection, Problem> {
        if let Some(connection) = self.present() {
            return Ok(connection);
        }
        let failures = self.failures.load(Ordering::Acquire);
        let _dialing = self.dialing.lock().await;
        if let Some(connection) = self.present() {
            return Ok(connection);
        }
        if self.failures.load(Ordering::Acquire) != failures {
            // Whoever dialed meanwhile has found out for all who waited: one after the other would wait too long.
            return Err(Problem::Away { address: self.address.clone() });
        }
        let connection = self.dial().await.inspect_err(|_| {
            self.failures.fetch_add(1, Ordering::AcqRel);
        })?;
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    /// Takes care that the next call connects anew, unless somebody else has seen to it already.
    pub(crate) fn give_up(&self, connection: &Connection) {
        connection.is_broken.store(true, Ordering::Release);
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|present| present.is(connection)) {
            *slot = None;
        }
    }

    /// The same whatever connection there is: its other end is no more what it was.
    pub(crate) fn hang_up(&self) {
        *self.slot() = None;
    }

    /// Which run of which server is at the other end of the present connection; nothing where there is none.
    ///
    /// Behind one address there may be several servers, one after the other (a name that moves, a balancer), and two
    /// connections may lead to two of them. Asked once for each connection.
    pub(crate) async fn process(&self, patience: Duration) -> Result<Option<String>, Problem> {
        let Some(mut connection) = self.present() else { return Ok(None) };
        if let Some(known) = connection.process.get() {
            return Ok(Some(known.clone()));
        }
        let mut question = redis::cmd("INFO");
        question.arg("server");
        let answer = tokio::time::timeout(patience, connection.ask(&question)).await;
        let answer = answer.map_err(|_| Problem::Overdue(patience))?.map_err(|error| self.problem(error))?;
        let text = prose(answer).ok_or(Problem::Answer("INFO"))?;
        let process = field(&text, "run_id").ok_or(Problem::Answer("INFO"))?;
        Ok(Some(connection.process.get_or_init(|| process.to_owned()).clone()))
    }

    fn present(&self) -> Option<Connection> {
        self.slot().as_ref().filter(|connection| !connection.is_broken.load(Ordering::Acquire)).cloned()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        // Nothing in here panics while it holds the lock.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self) -> Result<Connection, Problem> {
        let is_broken = Arc::new(AtomicBool::new(false));
        let ears = Arc::clone(&is_broken);
        let listen = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                ears.store(true, Ordering::Release);
            }
        };
        Ok(Connection { wire: self.open(listen).await?, is_broken, process: Arc::default() })
    }

    /// A connection of its own that nobody else uses, and whose pushes `listen` hears: on the task that reads the
    /// connection, in the order in which the server sent them, and before any answer that the server sent later is given
    /// to whoever waits for it (`PipelineSink::send_result` of the driver does one after the other).
    pub(crate) async fn open(
        &self,
        listen: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Problem> {
        let listen = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
            listen(push);
            Ok(())
        };
        // How long an answer may take is decided around the whole verb, not here.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(None)
            .set_push_sender(listen);
        let wire = self.client.get_multiplexed_async_connection_with_config(&config).await;
        wire.map_err(|source| match source.code() {
            Some("WRONGPASS" | "NOAUTH" | "NOPERM") => {
                Problem::Refused { address: self.address.clone(), source: source.into() }
            }
            _ if source.kind() == redis::ErrorKind::AuthenticationFailed => {
                Problem::Refused { address: self.address.clone(), source: source.into() }
            }
            _ => Problem::Connect { address: self.address.clone(), source: source.into() },
        })
    }

    /// The problem that an error of this server is.
    pub(crate) fn problem(&self, source: RedisError) -> Problem {
        let address = self.address.clone();
        if is_answer(&source) {
            Problem::Server { address, source: source.into() }
        } else {
            Problem::Broken { address, source: source.into() }
        }
    }
}

impl Connection {
    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.is_broken, &other.is_broken)
    }

    /// Sends a command and waits for its answer, however long that takes.
    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        self.wire.send_packed_command(command).await.and_then(Value::extract_error)
    }

    /// Sends commands one after the other; each has an answer or an error of its own.
    pub(crate) async fn ask_all(
        &mut self,
        commands: &Pipeline,
        count: usize,
    ) -> Result<Vec<Value>, RedisError> {
        self.wire.send_packed_commands(commands, 0, count).await
    }
}

/// An answer in sentences: `INFO`, `CLUSTER NODES`.
pub(crate) fn prose(answer: Value) -> Option<String> {
    match answer {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// What `INFO` says of `name`.
pub(crate) fn field<'a>(information: &'a str, name: &str) -> Option<&'a str> {
    information.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// Whether the server answered, with an error; else it is not known what became of the command.
pub(crate) fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), redis::ErrorKind::Server(_) | redis::ErrorKind::Extension)
}
