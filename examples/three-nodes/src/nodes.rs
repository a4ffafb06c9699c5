//! Three session servers: the product's own binary, started as people start it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cloakroom_servers::{Port, Program};
use reqwest::Client;
use tempfile::TempDir;

use crate::{Outcome, Trouble};

/// Three nodes behind one address.
///
/// They share a data directory, and so the accounts: all of them run on one machine. Their sessions are wherever `store`
/// says.
pub(crate) struct Nodes {
    program: PathBuf,
    // Killed before their directory is removed: fields are dropped in this order.
    running: [Option<Program>; 3],
    ports: [Port; 3],
    directory: TempDir,
}

impl Nodes {
    /// Starts three nodes that the world knows as `public_url`, with these accounts.
    pub(crate) async fn start(
        program: &Path,
        public_url: &str,
        store: &str,
        accounts: &[String],
    ) -> Outcome<Self> {
        let directory = TempDir::with_prefix("three-nodes-")?;
        let ports = [Port::free()?, Port::free()?, Port::free()?];
        let mut nodes = Self { program: program.to_owned(), running: [const { None }; 3], ports, directory };
        for port in nodes.ports() {
            fs::write(
                nodes.configuration(port),
                configuration(port, public_url, store, nodes.directory.path()),
            )?;
        }
        for account in accounts {
            nodes.add_account(account)?;
        }
        for node in 0..nodes.ports.len() {
            nodes.launch(node)?;
        }
        for port in nodes.ports() {
            nodes.ready(port).await?;
        }
        Ok(nodes)
    }

    /// Where they listen.
    pub(crate) fn ports(&self) -> [u16; 3] {
        self.ports.each_ref().map(Port::number)
    }

    /// Ends a node as a power cut would.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(program) = self.running.get_mut(node).and_then(Option::take) {
            program.kill();
        }
    }

    /// Starts a node that was killed.
    pub(crate) async fn start_again(&mut self, node: usize) -> Outcome {
        let port = self.launch(node)?;
        self.ready(port).await
    }

    fn launch(&mut self, node: usize) -> Outcome<u16> {
        let Some(port) = self.ports.get(node).map(Port::number) else {
            return Err(Trouble::new("there is no such node"));
        };
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(self.configuration(port));
        let program = Program::start(&command, &self.log(port))?;
        if let Some(place) = self.running.get_mut(node) {
            *place = Some(program);
        }
        Ok(port)
    }

    fn add_account(&self, name: &str) -> Outcome {
        let [first, ..] = self.ports();
        let mut child = Command::new(&self.program)
            .args(["users", "add", name, "--password-stdin", "--config"])
            .arg(self.configuration(first))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{PASSWORD}")?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(Trouble::new(format!("adding {name}: {}", String::from_utf8_lossy(&output.stderr))))
    }

    async fn ready(&self, port: u16) -> Outcome {
        let client = Client::builder().no_proxy().build()?;
        let url = format!("http://127.0.0.1:{port}/readyz");
        let asking = async {
            while !client.get(&url).send().await.is_ok_and(|reply| reply.status().is_success()) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| {
            let log = fs::read_to_string(self.log(port)).unwrap_or_default();
            Trouble::new(format!("the node on port {port} did not become ready; it says:\n{log}"))
        })
    }

    fn log(&self, port: u16) -> PathBuf {
        self.directory.path().join(format!("{port}.log"))
    }

    fn configuration(&self, port: u16) -> PathBuf {
        self.directory.path().join(format!("{port}.toml"))
    }
}

fn configuration(port: u16, public_url: &str, store: &str, directory: &Path) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\npublic_url = \"{public_url}\"\ndata_dir = \"{}\"\nstore = \"{store}\"\n\
         [trust]\nproxies = [\"127.0.0.1\"]\n",
        directory.join("data").display()
    )
}

/// Everybody's.
pub(crate) const PASSWORD: &str = "a quiet umbrella stand";
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
