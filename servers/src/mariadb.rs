//! MariaDB.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Outcome,
    daemon::{Daemon, Recipe, kept_on_disk, verbs},
    find::{MARIADB_CLIENT, MARIADB_INSTALL, MARIADB_SERVER},
    place::{Place, User},
    run::run,
    surroundings::Surroundings,
};

/// A MariaDB server with a database `cloakroom` and an account `cloakroom` without password, which may do anything with any
/// database, but nothing with the server. What is committed survives `kill -9`.
#[derive(Debug)]
pub struct Mariadb {
    daemon: Daemon,
    client: PathBuf,
}

verbs!(Mariadb);
kept_on_disk!(Mariadb);

impl Mariadb {
    /// Starts a server. As root, it runs as the user `nobody`.
    ///
    /// # Errors
    /// If it is not installed or does not come up.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further options, as on its command line: `&["--max-connections=20"]`.
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
        let place = Place::within("mariadb", User::unless_ordinary()?, surroundings)?;
        let data = place.data().join("data");
        let mut install = Command::new(MARIADB_INSTALL.find()?);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(option("--datadir", &data)).args(SMALL);
        place.prepare(&install)?;
        let client = MARIADB_CLIENT.find()?;
        let asking = client.clone();
        let options: Vec<OsString> = options.iter().map(OsString::from).collect();
        let arguments = move |port: u16| {
            let mut all = vec!["--no-defaults".into(), option("--datadir", &data)];
            all.push(format!("--port={port}").into());
            all.extend(SMALL.iter().chain(SETTINGS).map(OsString::from));
            all.extend(options.iter().cloned());
            all
        };
        let recipe = Recipe {
            name: "mariadbd",
            program: MARIADB_SERVER.find()?,
            arguments: Box::new(arguments),
            ready: Box::new(move |port| sql(&asking, port, "mysql", "SELECT 1;").map(|_| ())),
            neighbours: &[],
        };
        let server = Self { daemon: Daemon::start(recipe, place)?, client };
        server.sql("mysql", ACCOUNT)?;
        server.database(DATABASE)?;
        Ok(server)
    }

    /// Where the database `cloakroom` is: `mysql://cloakroom@127.0.0.1:PORT/cloakroom`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Makes the empty database `name` and answers with its URL.
    ///
    /// # Errors
    /// If there is one already, or the server does not answer.
    pub fn database(&self, name: &str) -> Outcome<String> {
        self.sql("mysql", &format!("CREATE DATABASE `{}`;", name.replace('`', "``")))?;
        Ok(self.url_of(name))
    }

    /// Runs statements in `database` as root and answers with the rows: columns divided by tabs, a row a line, no heads.
    ///
    /// # Errors
    /// If a statement fails (those before it are done), or the server does not answer within thirty seconds.
    pub fn sql(&self, database: &str, statements: &str) -> Outcome<String> {
        sql(&self.client, self.port(), database, statements)
    }

    fn url_of(&self, database: &str) -> String {
        format!("mysql://cloakroom@127.0.0.1:{}/{database}", self.port())
    }
}

fn sql(client: &PathBuf, port: u16, database: &str, statements: &str) -> Outcome<String> {
    let mut command = Command::new(client);
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--batch"]);
    command.args(["--skip-column-names", "--connect-timeout=10"]).arg(format!("--port={port}")).arg(database);
    run(&mut command, statements, ANSWER)
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(path);
    option
}

const DATABASE: &str = "cloakroom";

const ACCOUNT: &str = "CREATE USER cloakroom@'%' IDENTIFIED BY ''; GRANT ALL ON *.* TO cloakroom@'%';
REVOKE SUPER, SHUTDOWN, FILE, CREATE USER ON *.* FROM cloakroom@'%';";

/// A data directory of megabytes, made in a second or two.
const SMALL: &[&str] = &["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M"];

/// Reached by many tests at once; the socket, which nobody uses, is in the data directory; a commit is on the disk when it returns; addresses are not looked up.
const SETTINGS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--socket=socket",
    "--skip-networking=0",
    "--skip-name-resolve",
    "--max-connections=300",
    "--innodb-flush-log-at-trx-commit=1",
];

/// How long to wait for one call of the client.
const ANSWER: Duration = Duration::from_secs(30);
