//! The session server's own binary, started as people start it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;

use cloakroom_servers::Port;
use reqwest::{Client, Method, StatusCode, header};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::aftermath::last_words;
use crate::clock::PATIENCE;
use crate::output::Output;
use crate::process::Process;
use crate::{Errand, Failure, Outcome, eventually, programs};

/// A running `cloakroom serve` with data of its own. It can be killed and started again on the same data and port.
#[derive(Debug)]
pub struct Server {
    /// What its logs are called.
    name: &'static str,
    /// Held while the server is down, too: its clients go on calling it.
    port: Port,
    output: Arc<Output>,
    client: Client,
    starts: u32,
    arguments: Vec<String>,
    settings: BTreeMap<&'static str, String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    lines: UnboundedReceiver<String>,
}

/// What the server answered outside of any browser.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Every cookie it set or removed.
    pub cookies: Vec<String>,
    /// When to ask again, where it says so.
    pub retry_after: Option<String>,
    /// The body.
    pub body: String,
}

impl Server {
    /// Starts a server on fresh data, with these arguments besides, and waits until it is ready.
    ///
    /// # Errors
    /// Where it is not built, or does not become ready.
    pub(crate) async fn start(output: Arc<Output>, arguments: &[&str]) -> Outcome<Self> {
        Self::start_as("server", output, arguments, &[]).await
    }

    /// The same, by another name, with these settings in its environment: a further server on the same data.
    ///
    /// # Errors
    /// Where it is not built, or does not become ready.
    pub(crate) async fn start_as(
        name: &'static str,
        output: Arc<Output>,
        arguments: &[&str],
        settings: &[(&'static str, String)],
    ) -> Outcome<Self> {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        // The server closes a connection that nothing comes over for a while, perhaps just as something comes.
        let client = client.pool_max_idle_per_host(0).build()?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self {
            name,
            port: Port::free()?,
            output,
            client,
            starts: 0,
            arguments,
            settings: settings.iter().cloned().collect(),
            running: None,
        };
        server.launch().await?;
        Ok(server)
    }

    /// The address of `path` as people type it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port.number())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The set-up link, which is printed when the server starts and nobody can sign in yet.
    ///
    /// # Errors
    /// Where none is printed.
    pub async fn setup_link(&mut self) -> Outcome<String> {
        let running = self.running.as_mut().ok_or_else(|| Failure::new("the server does not run"))?;
        let waiting = async {
            while let Some(line) = running.lines.recv().await {
                if let Some(link) = link_in(&line) {
                    return Ok(link.to_owned());
                }
            }
            Err(Failure::new("the server printed no set-up link"))
        };
        let link = timeout(PATIENCE, waiting).await??;
        self.output.note_secret(key_of(&link))?;
        Ok(link)
    }

    /// Adds an account at the command line, beside the running server.
    ///
    /// # Errors
    /// What the command said, where it refused.
    pub fn add_account(&self, name: &str, password: &str) -> Outcome {
        self.add_account_with_roles(name, password, &[])
    }

    /// The same, with these roles.
    ///
    /// # Errors
    /// What the command said, where it refused.
    pub fn add_account_with_roles(&self, name: &str, password: &str, roles: &[&str]) -> Outcome {
        self.output.note_secret(password)?;
        let mut command = Command::new(programs::cloakroom()?);
        command.args(["users", "add", "--password-stdin", "--data-dir"]).arg(self.data());
        command.args(roles.iter().flat_map(|role| ["--role", role])).args(["--", name]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().ok_or_else(|| Failure::new("a pipe is gone"))?;
        writeln!(stdin, "{password}")?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(String::from_utf8_lossy(&output.stderr))
            .while_doing(format!("adding the account {name}")))
    }

    /// What a command says that is run beside the server, on its data.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub fn command(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(programs::cloakroom()?);
        command.args(arguments).arg("--data-dir").arg(self.data()).envs(&self.settings);
        let output = command.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(Failure::new(String::from_utf8_lossy(&said)).while_doing(arguments.join(" ")))
    }

    /// Begins a command beside the server, on its data; what it says is kept under this name.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn begin(&self, name: &str, arguments: &[&str]) -> Outcome<Errand> {
        let mut command = Command::new(programs::cloakroom()?);
        command.args(arguments).arg("--data-dir").arg(self.data()).envs(&self.settings);
        Errand::start(&mut command, self.output.artifacts().join(name))
    }

    /// Stops the server as whoever runs it would, and starts it again on the same data.
    ///
    /// # Errors
    /// Where it does not stop, or does not become ready again.
    pub async fn restart(&mut self) -> Outcome {
        self.stop().await?;
        self.launch().await
    }

    /// Ends the server as a power cut would, and starts it again on the same data.
    ///
    /// # Errors
    /// Where it does not become ready again.
    pub async fn kill_and_restart(&mut self) -> Outcome {
        if let Some(mut running) = self.running.take() {
            running.process.kill();
        }
        self.launch().await
    }

    /// The same, with this setting from now on, as the environment gives it.
    ///
    /// # Errors
    /// Where it does not become ready again.
    pub async fn kill_and_restart_with(&mut self, key: &'static str, value: &'static str) -> Outcome {
        self.settings.insert(key, value.to_owned());
        self.kill_and_restart().await
    }

    /// Opens a stream outside of any browser, with these headers.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub async fn open_stream(&self, path: &str, headers: &[(&str, &str)]) -> Outcome<reqwest::Response> {
        let request = headers
            .iter()
            .fold(self.client.get(self.url(path)), |request, (name, value)| request.header(*name, *value));
        Ok(request.send().await?.error_for_status()?)
    }

    /// Asks the server to stop, and expects it to do so without complaint.
    ///
    /// # Errors
    /// Where it takes too long or ends otherwise than by itself.
    pub async fn stop(&mut self) -> Outcome {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let status = running.process.terminate(PATIENCE).await?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("the server stopped with {status}"))) }
    }

    /// Asks outside of any browser, with these headers.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Outcome<Reply> {
        self.send(method, path, headers, String::new()).await
    }

    /// Sends a form outside of any browser, with these headers.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn send_form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Outcome<Reply> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, path, &[headers, &kind].concat(), form).await
    }

    /// Sends JSON outside of any browser, with these headers.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn send_json(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Outcome<Reply> {
        let kind = [("content-type", "application/json")];
        self.send(method, path, &[headers, &kind].concat(), body.to_string()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Outcome<Reply> {
        let mut request = self.client.request(method, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let cookies = response.headers().get_all(header::SET_COOKIE).iter();
        let cookies = cookies.map(|cookie| String::from_utf8_lossy(cookie.as_bytes()).into_owned()).collect();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        Ok(Reply { status: response.status().as_u16(), cookies, retry_after, body: response.text().await? })
    }

    /// Keeps what the server tells of itself, for the search for secrets.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn keep_metrics(&self) -> Outcome {
        if self.running.is_none() {
            return Ok(());
        }
        let metrics = self.ask(Method::GET, "/metrics", &[]).await?;
        if metrics.status != StatusCode::OK.as_u16() {
            return Err(Failure::new(format!("/metrics answered {}", metrics.status)));
        }
        self.output.keep("metrics.txt", metrics.body)
    }

    /// Where its logs are, one file for each start.
    pub(crate) fn logs(&self) -> impl Iterator<Item = PathBuf> {
        (1..=self.starts).map(|start| self.log(start))
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.output.artifacts().join("data")
    }

    fn log(&self, start: u32) -> PathBuf {
        self.output.artifacts().join(format!("{}-{start}.log", self.name))
    }

    async fn launch(&mut self) -> Outcome {
        self.starts += 1;
        let told = self.log(self.starts);
        let log = File::create(&told)?;
        let mut command = Command::new(programs::cloakroom()?);
        command
            .args(["serve", "--listen", &self.address(), "--public-url", &self.url("")])
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.arguments)
            .envs(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        let mut process = Process::start(&mut command)?;
        let stdout = process.child().stdout.take().ok_or_else(|| Failure::new("a pipe is gone"))?;
        let lines = read_lines(stdout, log);
        let (client, ready) = (&self.client, self.url("/readyz"));
        let running = self.running.insert(Running { process, lines });
        eventually("the server to be ready", PATIENCE, async || {
            if let Some(status) = running.process.ended()? {
                return Err(Failure::new(format!(
                    "the server ended with {status}: {}",
                    last_words(&told, LAST_WORDS)
                )));
            }
            // Refused until it listens.
            let reply = client.get(&ready).send().await;
            Ok(reply.is_ok_and(|reply| reply.status() == StatusCode::OK).then_some(()))
        })
        .await
    }
}

/// Passes on what the server prints for people, and adds it to the log: without the key that it prints on purpose.
fn read_lines(stdout: ChildStdout, mut log: File) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let kept = link_in(&line).map_or_else(|| line.clone(), |link| line.replace(key_of(link), "…"));
            // A full disk shows elsewhere; a test that has gone wants no more lines.
            let _ = writeln!(log, "{kept}");
            let _ = sender.send(line);
        }
    });
    receiver
}

fn link_in(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with("http") && word.contains("/setup"))
}

/// The secret part of a set-up link: its last word of letters.
fn key_of(link: &str) -> &str {
    link.rsplit(['/', '=', '#']).next().unwrap_or(link)
}

/// Lines of a log that a failure repeats.
const LAST_WORDS: usize = 20;
