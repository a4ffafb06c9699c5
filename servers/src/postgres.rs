//! PostgreSQL.

use std::{ffi::OsString, path::PathBuf, process::Command, time::Duration};

use crate::{
    Outcome,
    daemon::{Daemon, Recipe, kept_on_disk, verbs},
    find::{INITDB, POSTGRES, PSQL},
    place::{Place, User},
    run::run,
    surroundings::Surroundings,
};

/// A PostgreSQL server with a database `cloakroom`, which belongs to the role `cloakroom`: that one may log in without a
/// password, may create databases, and is nobody's superuser. What is committed survives `kill -9` (`fsync` is on).
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    client: PathBuf,
    parameters: &'static str,
}

verbs!(Postgres);
kept_on_disk!(Postgres);

impl Postgres {
    /// Starts a server. As root, it runs as the user `nobody`: PostgreSQL refuses to run as root.
    ///
    /// # Errors
    /// If it is not installed or does not come up.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further options, as on its command line: `&["-c", "max_connections=20"]`.
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
        let place = Place::within("postgres", User::unless_ordinary()?, surroundings)?;
        Self::launch(place, strings(options), "")
    }

    /// Starts a server that takes connections by TLS only, with a certificate of `authority`; its URLs say
    /// `?sslmode=require`.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with).
    #[cfg(feature = "tls")]
    pub fn start_tls(authority: &crate::Authority, options: &[&str]) -> Outcome<Self> {
        use std::path::Path;

        let place = Place::new("postgres", User::unless_ordinary()?)?;
        let identity = authority.issue()?;
        let set = |name: &str, file: &Path| format!("{name}={}", file.display());
        let certificate = place.write("server.pem", identity.certificate_pem())?;
        let key = place.write("server.key", identity.key_pem())?;
        let rules = place.write("hba.conf", TLS_ONLY)?;
        let settings = [
            "ssl=on".to_owned(),
            set("ssl_cert_file", &certificate),
            set("ssl_key_file", &key),
            set("hba_file", &rules),
        ];
        let mut all: Vec<OsString> = settings.into_iter().flat_map(|one| ["-c".into(), one.into()]).collect();
        all.extend(strings(options));
        Self::launch(place, all, "?sslmode=require")
    }

    /// Where the database `cloakroom` is: `postgres://cloakroom@127.0.0.1:PORT/cloakroom`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Makes the empty database `name`, which belongs to the role `cloakroom`, and answers with its URL.
    ///
    /// # Errors
    /// If there is one already, or the server does not answer.
    pub fn database(&self, name: &str) -> Outcome<String> {
        self.sql("postgres", &format!("CREATE DATABASE {} OWNER {ROLE};", quoted(name)))?;
        Ok(self.url_of(name))
    }

    /// Runs statements in `database` as the superuser and answers with the rows: columns divided by `|`, a row a line.
    ///
    /// # Errors
    /// If a statement fails (those before it are done), or the server does not answer within thirty seconds.
    pub fn sql(&self, database: &str, statements: &str) -> Outcome<String> {
        sql(&self.client, self.port(), database, statements)
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}{}", self.port(), self.parameters)
    }

    fn launch(place: Place, options: Vec<OsString>, parameters: &'static str) -> Outcome<Self> {
        let data = place.data().join("data");
        let mut initdb = Command::new(INITDB.find()?);
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username"]);
        initdb.arg(SUPERUSER).arg("--pgdata").arg(&data);
        place.prepare(&initdb)?;
        let client = PSQL.find()?;
        let asking = client.clone();
        let arguments = move |port: u16| {
            let mut all = strings(&["-D"]);
            all.push(data.clone().into());
            all.extend(strings(&["-c", &format!("port={port}")]));
            all.extend(SETTINGS.iter().flat_map(|setting| ["-c".into(), OsString::from(setting)]));
            all.extend(options.iter().cloned());
            all
        };
        let recipe = Recipe {
            name: "postgres",
            program: POSTGRES.find()?,
            arguments: Box::new(arguments),
            ready: Box::new(move |port| sql(&asking, port, "postgres", "SELECT 1;").map(|_| ())),
            neighbours: &[],
        };
        let server = Self { daemon: Daemon::start(recipe, place)?, client, parameters };
        server.sql("postgres", &format!("CREATE ROLE {ROLE} LOGIN CREATEDB;"))?;
        server.database(DATABASE)?;
        Ok(server)
    }
}

fn sql(client: &PathBuf, port: u16, database: &str, statements: &str) -> Outcome<String> {
    let mut command = Command::new(client);
    command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
    command.args(["--set", "ON_ERROR_STOP=1", "--host", "127.0.0.1", "--username", SUPERUSER]);
    command.args(["--port", &port.to_string(), "--dbname", database, "--file", "-"]);
    run(&mut command, statements, ANSWER)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn strings(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

const ROLE: &str = "cloakroom";
const DATABASE: &str = "cloakroom";
const SUPERUSER: &str = "postgres";

/// Reached by TCP only, and by many tests at once. Shared memory is in files of the data directory and goes with it: in
/// `/dev/shm` each server that is killed would leave a megabyte behind.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "dynamic_shared_memory_type=mmap",
];

/// Who may connect, and how.
#[cfg(feature = "tls")]
const TLS_ONLY: &str = "hostssl all all 127.0.0.1/32 trust\n";

/// How long to wait for one call of the client.
const ANSWER: Duration = Duration::from_secs(30);
