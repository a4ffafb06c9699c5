//! Running other programs: loudly, and never for ever.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Doing as _, Error};

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(environment("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root);
    command
}

/// Runs `command` on our own terminal; says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool, Error> {
    Ok(command.status().doing(|| format!("starting {}", describe(command)))?.success())
}

/// How a streamed program came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(ExitStatus),
    /// It was still running at the deadline and was killed.
    TimedOut,
}

/// Runs `command` and shows each line of its standard output to `on_line` as it comes, line end included.
///
/// Returns once the program itself has ended, even if a child that it left behind still holds its output open.
pub(crate) fn stream(
    command: &mut Command,
    deadline: Duration,
    mut on_line: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Ending, Error> {
    let started = Stopwatch::start();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing(|| format!("starting {}", describe(command)))?;
    let lines = lines_of(&mut child);
    let mut ending = None;
    loop {
        match lines.recv_timeout(if ending.is_some() { GRACE } else { PATIENCE }) {
            Ok(line) => on_line(&line)?,
            Err(silence) => {
                if let Some(ending) = ending {
                    return Ok(ending);
                }
                if silence == RecvTimeoutError::Disconnected {
                    thread::park_timeout(GLANCE);
                }
                ending = child.try_wait().doing(waiting)?.map(Ending::Exited);
            }
        }
        if ending.is_none() && started.elapsed() > deadline {
            child.kill().doing(waiting)?;
            child.wait().doing(waiting)?;
            ending = Some(Ending::TimedOut);
        }
    }
}

/// Where `program` lies in the search path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = environment("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this tool is a binary, and this its only look at the environment"
)]
fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Elapsed time, for progress lines and deadlines of programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this tool is a binary, and this its only clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The lines that `child` writes, line ends included, read by a thread of their own.
fn lines_of(child: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match reader.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        if sender.send(line).is_err() {
                            break;
                        }
                    }
                }
            }
        });
    }
    receiver
}

fn waiting() -> String {
    "waiting for a program".to_owned()
}

/// The command as one would type it, for messages.
fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// How long to listen before looking whether the program still runs.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long to wait between two looks at a program that has closed its output, and so is about to end.
const GLANCE: Duration = Duration::from_millis(5);

/// How long an ended program's output may stay silent before we stop listening: on a busy machine the last lines can
/// be late, and a child that it left behind can hold the output open for ever.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn lines(script: &str, deadline: Duration) -> (Vec<String>, Ending) {
        let mut seen = Vec::new();
        let ending = stream(&mut shell(script), deadline, |line| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        })
        .unwrap();
        (seen, ending)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn every_line_is_seen_and_the_exit_code_kept() {
        let (seen, ending) = lines("echo one; printf two; exit 3", LONG);
        assert_eq!(seen, ["one\n", "two"]);
        assert!(matches!(ending, Ending::Exited(status) if status.code() == Some(3)), "{ending:?}");
    }

    #[test]
    fn a_child_left_behind_does_not_hold_us() {
        let watch = Stopwatch::start();
        let (seen, ending) = lines("sleep 30 & echo done", LONG);
        assert_eq!(seen, ["done\n"]);
        assert!(matches!(ending, Ending::Exited(status) if status.success()), "{ending:?}");
        assert!(watch.elapsed() < Duration::from_secs(20), "waited for the child left behind");
    }

    #[test]
    fn a_program_past_its_deadline_is_killed() {
        let (_, ending) = lines("exec sleep 30", Duration::from_millis(50));
        assert_eq!(ending, Ending::TimedOut);
    }

    #[test]
    fn a_program_past_its_deadline_is_killed_even_if_it_closed_its_output() {
        let (_, ending) = lines("exec sleep 30 >&-", Duration::from_millis(50));
        assert_eq!(ending, Ending::TimedOut);
    }

    #[test]
    fn programs_are_found_in_the_search_path() {
        assert!(which("sh").is_some());
        assert_eq!(which("no-such-program-as-this"), None);
    }
}
