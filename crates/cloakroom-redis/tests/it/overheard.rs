//! What clients ask of servers, overheard by `MONITOR`: every command but those that scripts give.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cloakroom_servers::Redis;

/// One server, listened to.
pub(crate) struct Overheard {
    monitor: BufReader<TcpStream>,
    marker: TcpStream,
    marks: u64,
    /// Ports of servers: what comes from there is replication.
    servers: Vec<u16>,
}

impl Overheard {
    pub(crate) fn at(server: &Redis, servers: &[Redis]) -> Self {
        let connect = || {
            let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream
        };
        let mut monitor = connect();
        monitor.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = BufReader::new(monitor);
        let mut line = String::new();
        monitor.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), "+OK");
        let servers = servers.iter().map(Redis::port).collect();
        Self { monitor, marker: connect(), marks: 0, servers }
    }

    /// What was asked since the last time, the verb of each command.
    pub(crate) fn verbs(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        self.marker.write_all(format!("ECHO {mark}\r\n").as_bytes()).unwrap();
        let mut verbs = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.monitor.read_line(&mut line).unwrap() > 0, "the server runs on");
            // +1795284319.157198 [0 127.0.0.1:54826] "get" "a"
            let (_, rest) = line.split_once('[').unwrap();
            let (source, command) = rest.split_once("] ").unwrap();
            if command.contains(&mark) {
                return verbs;
            }
            let port = source.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
            let is_replication = port.is_some_and(|port| self.servers.contains(&port));
            if !source.ends_with(" lua") && !is_replication {
                verbs.push(command.split('"').nth(1).unwrap().to_lowercase());
            }
        }
    }
}

/// What was asked of any of them.
pub(crate) fn verbs(all: &mut [Overheard]) -> Vec<String> {
    all.iter_mut().flat_map(Overheard::verbs).collect()
}
