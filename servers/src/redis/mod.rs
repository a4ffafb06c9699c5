//! Redis, or Valkey.

mod cluster;
mod sentinel;

use std::{ffi::OsString, path::PathBuf, process::Command};

pub use self::{
    cluster::{ClusterNode, Migration, RedisCluster, Role},
    sentinel::RedisSentinel,
};
use crate::{
    Failure, Outcome,
    daemon::{Daemon, Recipe, kept_on_disk, verbs},
    find::{REDIS_CLI, REDIS_SERVER},
    patience::PATIENCE,
    place::Place,
    run::run,
    surroundings::Surroundings,
};

/// One Redis server. It appends each write to its file before it answers, so that `kill -9` loses nothing.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    client: Client,
}

verbs!(Redis);
kept_on_disk!(Redis);

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// If it is not installed or does not come up.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further options, as on its command line: `&["--maxmemory", "2mb"]`, or
    /// `&["--user", "alice", "on", ">secret", "~*", "&*", "+@all"]` for an ACL user. They come last and so win.
    ///
    /// # Errors
    /// If it is not installed, refuses the options, or does not come up.
    pub fn start_with(options: &[&str]) -> Outcome<Self> {
        Self::start_in(&Surroundings::default(), options)
    }

    /// Starts a server with further options, in surroundings that are not the machine's.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with); also if libfaketime is not installed, or nothing may be mounted.
    pub fn start_in(surroundings: &Surroundings, options: &[&str]) -> Outcome<Self> {
        let place = Place::within("redis", None, surroundings)?;
        Self::launch(place, Listening::to_servers(None), &[], strings(options))
    }

    /// Starts a server that speaks TLS only, with the certificate of `authority`; the URL's scheme is `rediss`.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with).
    #[cfg(feature = "tls")]
    pub fn start_tls(authority: &crate::Authority, options: &[&str]) -> Outcome<Self> {
        let place = Place::new("redis", None)?;
        let files = Files::issued_by(authority, &place)?;
        let all = [&["--tls-auth-clients", "no"], options].concat();
        Self::launch(place, Listening::to_servers(Some(files)), &[], strings(&all))
    }

    /// Where it is: `redis://127.0.0.1:PORT`, or `rediss://…` if it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.client.files.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// Sends one command with `redis-cli` and answers with the reply as it prints it into a pipe: one element a line.
    ///
    /// # Errors
    /// If the server does not answer within ten seconds, or answers with an error.
    pub fn command(&self, words: &[&str]) -> Outcome<String> {
        self.client.ask(self.port(), words)
    }

    /// What `INFO` says of `field`.
    ///
    /// # Errors
    /// If the server does not answer, or knows no such field.
    pub fn info(&self, field: &str) -> Outcome<String> {
        let info = self.command(&["INFO", "everything"])?;
        let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::trim));
        found
            .map(ToOwned::to_owned)
            .ok_or_else(|| Failure::new("reading INFO of Redis", format!("there is no field {field}")))
    }

    fn launch(
        place: Place,
        listening: Listening,
        neighbours: &'static [u16],
        options: Vec<OsString>,
    ) -> Outcome<Self> {
        let client = Client { program: REDIS_CLI.find()?, files: listening.files.clone() };
        let directory = place.data().to_owned();
        let asking = client.clone();
        let arguments = move |port: u16| {
            let port = port.to_string();
            let mut all = Vec::new();
            if let Some(file) = &listening.sentinel {
                all.push(file.clone().into_os_string());
                all.push("--sentinel".into());
            }
            match &listening.files {
                None => all.extend(strings(&["--port", &port])),
                Some(files) => {
                    all.extend(strings(&["--port", "0", "--tls-port", &port]));
                    all.extend(files.options(["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"]));
                }
            }
            all.extend(strings(&["--bind", "127.0.0.1", "--daemonize", "no", "--logfile", "", "--dir"]));
            all.push(directory.clone().into());
            if listening.sentinel.is_none() {
                all.extend(strings(DURABLE));
            }
            all.extend(options.iter().cloned());
            all
        };
        let recipe = Recipe {
            name: "redis-server",
            program: REDIS_SERVER.find()?,
            arguments: Box::new(arguments),
            ready: Box::new(move |port| asking.is_up(port)),
            neighbours,
        };
        Ok(Self { daemon: Daemon::start(recipe, place)?, client })
    }
}

/// What a server listens as.
struct Listening {
    /// The file that configures it, and that it writes to, where it is a Sentinel.
    sentinel: Option<PathBuf>,
    /// Where it speaks TLS only.
    files: Option<Files>,
}

impl Listening {
    fn to_servers(files: Option<Files>) -> Self {
        Self { sentinel: None, files }
    }
}

/// By what a server proves who it is, and knows whom to believe.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    authority: PathBuf,
}

impl Files {
    #[cfg(feature = "tls")]
    fn issued_by(authority: &crate::Authority, place: &Place) -> Outcome<Self> {
        let identity = authority.issue()?;
        Ok(Self {
            certificate: place.write("server.pem", identity.certificate_pem())?,
            key: place.write("server.key", identity.key_pem())?,
            authority: place.write("authority.pem", authority.certificate_pem())?,
        })
    }

    /// The options by which a program is given the certificate, its key, and the authority.
    fn options(&self, names: [&str; 3]) -> Vec<OsString> {
        let files = [&self.certificate, &self.key, &self.authority];
        names.into_iter().zip(files).flat_map(|(name, file)| [name.into(), file.clone().into()]).collect()
    }
}

/// What makes servers that keep data, and those that watch them, speak TLS with each other, too, and demand a certificate
/// of whoever connects.
#[cfg(feature = "tls")]
const MUTUAL: &[&str] = &["--tls-auth-clients", "yes", "--tls-replication", "yes"];

/// `redis-cli`.
#[derive(Debug, Clone)]
struct Client {
    program: PathBuf,
    files: Option<Files>,
}

impl Client {
    fn ask(&self, port: u16, words: &[&str]) -> Outcome<String> {
        let mut command = self.command();
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-e"]);
        run(command.args(words), "", ANSWER)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(files) = &self.files {
            command.arg("--tls").args(files.options(["--cert", "--key", "--cacert"]));
        }
        command
    }

    fn is_up(&self, port: u16) -> Outcome {
        let reply = self.ask(port, &["PING"])?;
        // With a password demanded of everybody it is up as well.
        if reply == "PONG" { Ok(()) } else { Err(Failure::new("asking Redis for PING", reply)) }
    }
}

fn strings(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Each write is handed to the kernel before it is answered, and so survives the end of the process. Nothing waits for the
/// disk: on a busy machine that can take seconds, in which Redis answers nobody and is taken for dead. No snapshots, so that
/// nothing forks in the middle of a test; replicas are synchronised without waiting for others.
const DURABLE: &[&str] = &[
    "--save",
    "",
    "--appendonly",
    "yes",
    "--appendfsync",
    "no",
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "1",
];

/// How long to wait for the reply to one command.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);

/// How long fail-over and discovery may take on a busy machine.
const SETTLING: std::time::Duration = PATIENCE;
