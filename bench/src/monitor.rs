//! The commands that Redis is sent, as Redis tells them: `MONITOR` shows each one, and tells what a script does inside the
//! server from what was sent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use cloakroom_servers::find_program;

use crate::error::{Doing as _, Error, Outcome};

/// Listens to a Redis server for as long as it lives.
#[derive(Debug)]
pub(crate) struct Monitor {
    port: u16,
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Monitor {
    /// Listens to the one on this port from now on.
    pub(crate) fn start(port: u16) -> Outcome<Self> {
        let mut process = redis_cli(port)?
            .arg("MONITOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .doing("starting redis-cli")?;
        let mut lines = BufReader::new(process.stdout.take().doing("taking a pipe")?);
        let mut first = String::new();
        lines.read_line(&mut first).doing("hearing redis-cli")?;
        let monitor = Self { port, process, lines };
        if first.trim() == "OK" { Ok(monitor) } else { Err(Error::new("asking for MONITOR", first.trim())) }
    }

    /// How often each command was sent until now.
    ///
    /// What a client says on its own account, to keep a connection or a lease, is left out: it does not grow with what is
    /// asked of it.
    pub(crate) fn finish(&mut self) -> Outcome<BTreeMap<String, u64>> {
        let end = redis_cli(self.port)?.args(["ECHO", END]).output().doing("starting redis-cli")?;
        if !end.status.success() {
            return Err(Error::new("asking Redis for ECHO", String::from_utf8_lossy(&end.stderr)));
        }
        let mut counted = BTreeMap::new();
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).doing("hearing redis-cli")? == 0 {
                return Err(Error::new("hearing redis-cli", "it has ended"));
            }
            if line.contains(END) {
                return Ok(counted);
            }
            if let Some(command) = sent(&line).filter(|command| !BY_ITSELF.contains(&command.as_str())) {
                *counted.entry(command).or_default() += 1;
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It would listen for ever.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn redis_cli(port: u16) -> Outcome<Command> {
    let mut command = Command::new(find_program("redis-cli").doing("finding redis-cli")?);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Ok(command)
}

/// The command that a line of `MONITOR` tells of, if a client sent it: `1700000000.123456 [0 127.0.0.1:40000] "get" "key"`.
fn sent(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" [")?;
    let (whence, rest) = rest.split_once("] \"")?;
    let (command, _) = rest.split_once('"')?;
    (!whence.ends_with(" lua")).then(|| command.to_ascii_lowercase())
}

/// Says that everything has been asked.
const END: &str = "cloakroom-bench-has-counted";
/// What clients say whether or not they are asked anything: the probes of a near cache, greetings of new connections.
const BY_ITSELF: &[&str] = &["ping", "info", "hello", "client", "select", "auth", "command"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_does_is_not_sent() {
        assert_eq!(sent(r#"1700000000.123456 [0 127.0.0.1:40000] "GET" "key""#).as_deref(), Some("get"));
        assert_eq!(sent(r#"1700000000.123456 [0 lua] "get" "key""#), None);
        assert_eq!(sent("OK"), None);
    }
}
