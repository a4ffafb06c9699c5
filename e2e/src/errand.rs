//! Commands that take a while.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Process;
use crate::{Failure, Outcome, eventually};

/// A command that runs beside the server, and ends with the test at the latest.
#[derive(Debug)]
pub struct Errand {
    process: Process,
    answer: PathBuf,
    complaints: PathBuf,
}

impl Errand {
    /// Starts it; what it says goes to files whose names begin with `told`.
    pub(crate) fn start(command: &mut Command, told: PathBuf) -> Outcome<Self> {
        let (answer, complaints) = (told.with_extension("out"), told.with_extension("err"));
        command.stdin(Stdio::null()).stdout(File::create(&answer)?).stderr(File::create(&complaints)?);
        Ok(Self { process: Process::start(command)?, answer, complaints })
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn has_ended(&mut self) -> Outcome<bool> {
        Ok(self.process.ended()?.is_some())
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// What it answers, once it has ended well.
    ///
    /// # Errors
    /// What it said, where it failed, or took longer than `patience`.
    pub async fn done(&mut self, patience: Duration) -> Outcome<String> {
        let status = eventually("a command to end", patience, async || self.process.ended()).await?;
        if status.success() {
            return Ok(fs::read_to_string(&self.answer)?);
        }
        let said = [&self.answer, &self.complaints].map(|file| fs::read_to_string(file).unwrap_or_default());
        Err(Failure::new(format!("the command ended with {status}: {}", said.concat())))
    }
}
