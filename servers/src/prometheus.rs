//! Prometheus, with the configuration that a test gives it.

use std::{ffi::OsString, fs, path::Path, process::Command};

use crate::{
    Failure, Outcome, Port,
    daemon::{Daemon, Recipe, verbs},
    failure::Doing as _,
    find::{PROMETHEUS, PROMTOOL},
    place::Place,
    proxies::answers_http,
};

/// A Prometheus server with a configuration of the caller's.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
}

verbs!(Prometheus);

impl Prometheus {
    /// Starts it with `configuration`, a whole file, and with `files` beside it, by name; returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, refuses the configuration, or does not answer.
    pub fn start(configuration: &str, files: &[(&str, &str)]) -> Outcome<Self> {
        let place = Place::new("prometheus", None)?;
        for (name, content) in files {
            place.write(name, content)?;
        }
        let file = place.write("prometheus.yml", configuration)?;
        let data = place.path().join("data");
        let arguments = move |port: u16| {
            let own = [
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--log.level=warn".to_owned(),
            ];
            own.map(OsString::from).into()
        };
        let recipe = Recipe {
            name: "prometheus",
            program: PROMETHEUS.find()?,
            arguments: Box::new(arguments),
            ready: Box::new(answers_http),
            neighbours: &[],
        };
        Ok(Self { daemon: Daemon::start_on(Port::free()?, recipe, place)? })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}

/// Runs `promtool` with these arguments in `directory`, with `input` on its standard input; what it printed.
///
/// # Errors
/// If it is not installed, or finds fault: then with everything that it printed.
pub fn promtool(arguments: &[&str], directory: &Path, input: &str) -> Outcome<String> {
    let running = || format!("running promtool {}", arguments.join(" "));
    let file = tempfile::NamedTempFile::new().doing(running)?;
    fs::write(file.path(), input).doing(running)?;
    let input = fs::File::open(file.path()).doing(running)?;
    let mut command = Command::new(PROMTOOL.find()?);
    let output = command.args(arguments).current_dir(directory).stdin(input).output().doing(running)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(Failure::new(running(), said)) }
}
