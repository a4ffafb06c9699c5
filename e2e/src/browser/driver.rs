//! Chromium and the program that drives it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::{Capabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::PATIENCE;
use crate::process::Process;
use crate::{Failure, Outcome, Scripts, programs};

/// A Chromium and its own driver, in one process group: dropping this kills both.
pub(super) struct Driver {
    web: WebDriver,
    process: Process,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Else the session would ask its driver, which is being killed, to end it, and wait for the answer.
        let _ = self.web.clone().leak();
    }
}

impl Driver {
    pub(super) async fn start(profile: &Path, scripts: Scripts) -> Outcome<Self> {
        let mut command = Command::new(programs::chromedriver()?);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut command)?;
        let port = port_of(&mut process).await?;
        let web = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(profile, scripts)?).await;
        let web = web.map_err(|error| Failure::from(error).while_doing("starting Chromium"))?;
        Ok(Self { web, process })
    }

    pub(super) fn web(&self) -> &WebDriver {
        &self.web
    }

    /// Closes the browser as its owner would: what its profile remembers is written down.
    pub(super) async fn quit(&self) -> Outcome {
        self.web.clone().quit().await?;
        // Its profile may be opened again at once, and what still writes to it would have it locked.
        self.process.outlives_its_children(PATIENCE).await
    }
}

/// The port on which the driver says it listens.
async fn port_of(process: &mut Process) -> Outcome<u16> {
    let stdout = process.child().stdout.take().ok_or_else(|| Failure::new("a pipe is gone"))?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Some((_, port)) = line.rsplit_once("successfully on port ") else { continue };
            if let Some(sender) = sender.take() {
                // Whoever asked may have given up.
                let _ = sender.send(port.trim_end_matches('.').to_owned());
            }
        }
    });
    let port =
        timeout(PATIENCE, receiver).await?.map_err(|_| Failure::new("chromedriver ended without a port"))?;
    Ok(port.parse()?)
}

fn capabilities(profile: &Path, scripts: Scripts) -> Outcome<Capabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_binary(&programs::chromium()?.to_string_lossy())?;
    for argument in ARGUMENTS {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.display()))?;
    if scripts == Scripts::Blocked {
        let preferences = json!({ "profile.managed_default_content_settings.javascript": BLOCK });
        capabilities.add_experimental_option("prefs", preferences)?;
    }
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    Ok(capabilities.into())
}

/// How every browser is started: unseen, and without business of its own.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
    "--window-size=1280,900",
];

/// Chromium's number for what a person has forbidden.
const BLOCK: u8 = 2;
