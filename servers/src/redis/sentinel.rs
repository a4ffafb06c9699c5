//! Redis behind Sentinel.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Files, Listening, Redis, SETTLING, strings};
use crate::{
    Failure, Outcome,
    patience::{Look, until},
    place::Place,
};

/// A primary, two replicas, and three Sentinels that watch them under the name `mymaster`.
///
/// A primary that is silent for one and a half seconds is replaced, which takes two to four seconds in all.
#[derive(Debug)]
pub struct RedisSentinel {
    sentinels: Vec<Redis>,
    data: Vec<Redis>,
}

impl RedisSentinel {
    /// Starts all six, and returns when each Sentinel knows the others and both replicas, and the replicas are in step.
    ///
    /// # Errors
    /// If Redis is not installed, or they do not find each other.
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// Starts all six, the three that hold data with further options.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(options: &[&str]) -> Outcome<Self> {
        Self::start_with_each(options, &[])
    }

    /// Starts all six with further options: the three that hold data with the former, the Sentinels with the latter.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_each(data: &[&str], sentinels: &[&str]) -> Outcome<Self> {
        Self::launch(data, sentinels, |_| Ok(None))
    }

    /// The same, such that all six speak TLS only, with each other, too, by certificates of `authority`, and demand one of
    /// whoever connects; the URL's scheme is `rediss+sentinel`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "tls")]
    pub fn start_tls(authority: &crate::Authority, data: &[&str], sentinels: &[&str]) -> Outcome<Self> {
        let [data, sentinels] = [data, sentinels].map(|options| [super::MUTUAL, options].concat());
        Self::launch(&data, &sentinels, |place| Files::issued_by(authority, place).map(Some))
    }

    fn launch(
        data: &[&str],
        sentinels: &[&str],
        files: impl Fn(&Place) -> Outcome<Option<Files>>,
    ) -> Outcome<Self> {
        let data_server = |more: &[&str]| {
            let place = Place::new("redis", None)?;
            let listening = Listening::to_servers(files(&place)?);
            Redis::launch(place, listening, &[], strings(&[more, data].concat()))
        };
        let primary = data_server(&[])?;
        let port = primary.port();
        let mut data = vec![primary];
        for _ in 0..REPLICAS {
            data.push(data_server(&["--replicaof", &format!("127.0.0.1 {port}")])?);
        }
        let sentinel = |_| {
            let place = Place::new("sentinel", None)?;
            let listening = Listening { sentinel: Some(configured(&place, port)?), files: files(&place)? };
            Redis::launch(place, listening, &[], strings(sentinels))
        };
        let sentinels = (0..SENTINELS).map(sentinel).collect::<Outcome<Vec<_>>>()?;
        let all = Self { sentinels, data };
        all.settle()?;
        Ok(all)
    }

    /// `redis+sentinel://127.0.0.1:S1,127.0.0.1:S2,127.0.0.1:S3/mymaster`.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        let is_tls = self.sentinels.iter().any(|sentinel| sentinel.client.files.is_some());
        format!("{}+sentinel://{}/{NAME}", if is_tls { "rediss" } else { "redis" }, addresses.join(","))
    }

    /// The Sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The servers that hold data: those that were killed, too, in the order in which they were first started.
    #[must_use]
    pub fn data(&self) -> &[Redis] {
        &self.data
    }

    /// The port of the primary, as most Sentinels see it.
    ///
    /// # Errors
    /// If they do not agree.
    pub fn primary_port(&self) -> Outcome<u16> {
        let seen: Vec<_> =
            self.sentinels.iter().filter_map(|sentinel| primary_seen_by(sentinel).ok()).collect();
        let majority =
            seen.iter().find(|port| seen.iter().filter(|other| other == port).count() * 2 > SENTINELS);
        majority
            .copied()
            .ok_or_else(|| Failure::new("asking the Sentinels for the primary", format!("they say {seen:?}")))
    }

    /// The server that is the primary.
    ///
    /// # Errors
    /// If the Sentinels do not agree, or name a server that is not ours.
    pub fn primary(&self) -> Outcome<&Redis> {
        let port = self.primary_port()?;
        self.server(port)
    }

    /// The ports of the other two servers, running or not.
    ///
    /// # Errors
    /// If the Sentinels do not agree on the primary.
    pub fn replicas(&self) -> Outcome<Vec<u16>> {
        let primary = self.primary_port()?;
        Ok(self.data.iter().map(Redis::port).filter(|port| *port != primary).collect())
    }

    /// The server that holds data on `port`.
    ///
    /// # Errors
    /// If there is none.
    pub fn server(&self, port: u16) -> Outcome<&Redis> {
        let found = self.data.iter().find(|server| server.port() == port);
        found.ok_or_else(|| {
            Failure::new("looking for a Redis server", format!("none of ours is on port {port}"))
        })
    }

    /// Kills the primary and answers with its port. Returns at once: [`wait_for_failover`](Self::wait_for_failover).
    ///
    /// # Errors
    /// If the Sentinels do not agree on the primary.
    pub fn kill_primary(&self) -> Outcome<u16> {
        let primary = self.primary()?;
        primary.kill();
        Ok(primary.port())
    }

    /// Returns when all Sentinels name another primary than `old` and it takes writes; answers with its port.
    ///
    /// # Errors
    /// If that does not happen within a minute.
    pub fn wait_for_failover(&self, old: u16) -> Outcome<u16> {
        until("Sentinel's fail-over", SETTLING, || {
            let seen: Outcome<Vec<_>> = self.sentinels.iter().map(primary_seen_by).collect();
            match seen {
                Err(failure) => Look::NotYet(failure.to_string()),
                Ok(ports) => match ports.as_slice() {
                    [first, others @ ..] if *first != old && others.iter().all(|port| port == first) => {
                        self.role(*first, "master").map(|()| *first).into()
                    }
                    _ => Look::NotYet(format!("the Sentinels name {ports:?}")),
                },
            }
        })
    }

    /// Starts every server that was killed, and returns when one is the primary and the others are its replicas in step.
    ///
    /// # Errors
    /// If one does not come up, or they do not find together within a minute.
    pub fn heal(&self) -> Outcome {
        for server in self.data.iter().chain(&self.sentinels).filter(|server| server.pid().is_none()) {
            server.restart()?;
        }
        self.settle()
    }

    fn settle(&self) -> Outcome {
        until("the Sentinels to know everybody", SETTLING, || self.is_settled().into())
    }

    fn is_settled(&self) -> Outcome {
        let primary = self.primary_port()?;
        self.role(primary, "master")?;
        for port in self.replicas()? {
            self.role(port, "slave")?;
            let link = self.server(port)?.info("master_link_status")?;
            let of = self.server(port)?.info("master_port")?;
            if link != "up" || of != primary.to_string() {
                return Err(Failure::new(
                    format!("asking replica {port}"),
                    format!("its link to {of} is {link}"),
                ));
            }
        }
        for sentinel in &self.sentinels {
            sentinel.command(&["SENTINEL", "CKQUORUM", NAME])?;
            let state = sentinel.command(&["SENTINEL", "MASTER", NAME])?;
            let field = |name: &str| field_of(&state, name).and_then(|value| value.parse::<usize>().ok());
            let known = (field("num-slaves"), field("num-other-sentinels"));
            if known != (Some(REPLICAS), Some(SENTINELS - 1)) || field_of(&state, "flags") != Some("master") {
                let flags = field_of(&state, "flags").unwrap_or_default();
                return Err(Failure::new(
                    "asking a Sentinel",
                    format!("it knows {known:?} others, flags {flags}"),
                ));
            }
        }
        Ok(())
    }

    fn role(&self, port: u16, expected: &str) -> Outcome {
        let role = self.server(port)?.info("role")?;
        if role == expected {
            return Ok(());
        }
        Err(Failure::new(
            format!("asking the server on port {port}"),
            format!("its role is {role}, not {expected}"),
        ))
    }
}

/// A Sentinel's file.
fn configured(place: &Place, primary: u16) -> Outcome<PathBuf> {
    let mut file = String::new();
    for line in [
        format!("monitor {NAME} 127.0.0.1 {primary} {QUORUM}"),
        format!("down-after-milliseconds {NAME} {SILENCE_MS}"),
        format!("failover-timeout {NAME} {FAILOVER_MS}"),
        format!("parallel-syncs {NAME} {REPLICAS}"),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(file, "sentinel {line}");
    }
    place.write("sentinel.conf", file)
}

fn primary_seen_by(sentinel: &Redis) -> Outcome<u16> {
    let reply = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
    let port = reply.lines().nth(1).and_then(|port| port.parse().ok());
    port.ok_or_else(|| Failure::new("asking a Sentinel for the primary", reply))
}

/// The value after the line `name` in a reply of names and values.
fn field_of<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = reply.lines();
    while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
        if key == name {
            return Some(value);
        }
    }
    None
}

/// The name that Redis's own documentation gives to a group that Sentinel watches.
const NAME: &str = "mymaster";
const SENTINELS: usize = 3;
const REPLICAS: usize = 2;
/// Sentinels that must agree that the primary is down.
const QUORUM: usize = 2;
/// Shorter than any test wants to wait, longer than a machine that is busy with other tests keeps a server from running.
const SILENCE_MS: u32 = 1_500;
/// After a fail-over that failed, Sentinel waits for twice this before the next.
const FAILOVER_MS: u32 = 3_000;
