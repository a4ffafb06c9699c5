//! Memcached.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use crate::{
    Failure, Outcome,
    daemon::{Daemon, Recipe, verbs},
    failure::Doing as _,
    find::MEMCACHED,
    place::{Place, User},
    surroundings::Surroundings,
};

/// A memcached server. It forgets everything when it is killed, as memcached does.
#[derive(Debug)]
pub struct Memcached {
    daemon: Daemon,
}

verbs!(Memcached);

impl Memcached {
    /// Starts a server. As root, it runs as the user `nobody`: memcached refuses to run as root.
    ///
    /// # Errors
    /// If it is not installed or does not come up.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further options, as on its command line: `&["-m", "8"]` for 8 MB.
    ///
    /// # Errors
    /// If it is not installed, refuses the options, or does not come up.
    pub fn start_with(options: &[&str]) -> Outcome<Self> {
        Self::start_in(&Surroundings::default(), options)
    }

    /// Starts a server with further options, in surroundings that are not the machine's.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with); also if libfaketime is not installed.
    pub fn start_in(surroundings: &Surroundings, options: &[&str]) -> Outcome<Self> {
        let place = Place::within("memcached", User::unless_ordinary()?, surroundings)?;
        let options: Vec<OsString> = options.iter().map(OsString::from).collect();
        let arguments = move |port: u16| {
            let port = port.to_string();
            let own = ["-l", "127.0.0.1", "-U", "0", "-p", &port].map(OsString::from);
            own.into_iter().chain(options.iter().cloned()).collect()
        };
        let recipe = Recipe {
            name: "memcached",
            program: MEMCACHED.find()?,
            arguments: Box::new(arguments),
            ready: Box::new(|port| ask(port, "version", 1).map(|_| ())),
            neighbours: &[],
        };
        Ok(Self { daemon: Daemon::start(recipe, place)? })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// `memcached://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("memcached://{}", self.address())
    }

    /// What `stats` says of `field`.
    ///
    /// # Errors
    /// If the server does not answer within ten seconds, or knows no such field.
    pub fn stat(&self, field: &str) -> Outcome<String> {
        let reply = ask(self.port(), "stats", usize::MAX)?;
        let found =
            reply.iter().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(field)?.strip_prefix(' '));
        found
            .map(ToOwned::to_owned)
            .ok_or_else(|| Failure::new("reading memcached's stats", format!("there is no field {field}")))
    }

    /// Sends one command line and answers with the first line of the reply: `flush_all`, `version`, `mn`.
    ///
    /// # Errors
    /// If the server does not answer within ten seconds.
    pub fn command(&self, line: &str) -> Outcome<String> {
        Ok(ask(self.port(), line, 1)?.join("\n"))
    }
}

/// Sends a line and reads up to `lines` lines, or up to the line `END`.
fn ask(port: u16, line: &str, lines: usize) -> Outcome<Vec<String>> {
    let asking = || format!("asking memcached for `{line}`");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).doing(asking)?;
    stream.set_read_timeout(Some(ANSWER)).doing(asking)?;
    stream.write_all(format!("{line}\r\n").as_bytes()).doing(asking)?;
    let mut replies = Vec::new();
    for reply in BufReader::new(stream).lines().take(lines) {
        let reply = reply.doing(asking)?;
        if reply == "END" {
            return Ok(replies);
        }
        replies.push(reply);
    }
    if replies.len() < lines { Err(Failure::new(asking(), "the connection was closed")) } else { Ok(replies) }
}

/// How long to wait for the reply to one command.
const ANSWER: Duration = Duration::from_secs(10);
