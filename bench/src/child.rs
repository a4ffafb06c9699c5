//! This program in another role, and the lines of JSON that pass between the two.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Doing as _, Error, Outcome};
use crate::machine::processor_nanoseconds;

/// This program in another role, or another program. It ends when this is dropped: by itself, since its input ends, or else by force.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start<S: AsRef<OsStr>>(
        role: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Outcome<Self> {
        let own = std::env::current_exe().doing("finding this program")?;
        Self::spawn(Command::new(own).arg(role).args(arguments))
    }

    /// Another program, which speaks as this one does.
    pub(crate) fn start_program<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Outcome<Self> {
        Self::spawn(Command::new(program).args(arguments))
    }

    fn spawn(command: &mut Command) -> Outcome<Self> {
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.doing("starting another process")?;
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().doing("taking a pipe")?);
        Ok(Self { process, stdin, stdout })
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, message: &impl Serialize) -> Outcome {
        let line = serde_json::to_string(message).doing("writing a message")?;
        let stdin = self.stdin.as_mut().doing("taking a pipe")?;
        writeln!(stdin, "{line}").doing("telling another process")
    }

    /// Waits for what it says next.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Outcome<T> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).doing("hearing another process")?;
        if line.is_empty() {
            return Err(Error::new("hearing another process", "it has ended; its error is above"));
        }
        serde_json::from_str(&line).doing("reading a message")
    }

    /// Its processor time so far, in nanoseconds.
    pub(crate) fn processor_nanoseconds(&self) -> Outcome<u64> {
        processor_nanoseconds(self.process.id()).doing("reading the processor time of another process")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It may have ended by itself; either way it has to be waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says something to the process that started this one.
pub(crate) fn say(message: &impl Serialize) -> Outcome {
    println!("{}", serde_json::to_string(message).doing("writing a message")?);
    Ok(())
}
