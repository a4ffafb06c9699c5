//! A program that never outlives us, however we end.
//!
//! Two small shells see to that. The first holds the program back until everything is in place: it waits for a line on
//! its standard input, then becomes the program; if we die before that, the line never comes and nothing is started.
//! The second, the warden, waits for the end of a pipe whose other end only we hold. The kernel closes it when we end,
//! by `kill -9` as well, and the warden kills the program. The program itself is a direct child of ours, in a process
//! group of its own: killing, stopping and waiting for it goes past both shells.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::{
    Failure, Outcome,
    failure::Doing as _,
    family::{self, State},
    patience::{Look, PATIENCE, until},
    place::User,
    surroundings::remove_traces,
};

/// A running program. When this is dropped, by a panic too, the program and all that it started are killed; when our own
/// process ends in any way, they are killed as well.
pub struct Program {
    name: String,
    log: PathBuf,
    pid: Pid,
    id: u32,
    reins: Mutex<Reins>,
}

/// What takes both hands to hold: only one thread at a time stops, kills or waits.
struct Reins {
    child: Child,
    warden: Child,
    /// Set once the program was waited for: from then on its id may be somebody else's.
    ended: Option<ExitStatus>,
}

impl Program {
    /// Starts the program of `command`, with its arguments, environment and directory; what it prints is added to `log`.
    ///
    /// Anything else of `command` is ignored: standard input is empty, user and process group are ours to choose.
    ///
    /// # Errors
    /// If there is no such program, or the log cannot be written.
    pub fn start(command: &Command, log: &Path) -> Outcome<Self> {
        Self::start_as(command, log, None, None)
    }

    /// Like [`start`](Self::start), as another user; the warden also removes `directory` if we end without doing so.
    pub(crate) fn start_as(
        command: &Command,
        log: &Path,
        user: Option<User>,
        directory: Option<&Path>,
    ) -> Outcome<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        let starting = || format!("starting {name}");
        let output = open_log(log)?;
        let complaints = output.try_clone().doing(starting)?;
        let mut gate = gate(command);
        gate.stdout(output).stderr(complaints);
        if let Some(user) = user {
            user.runs(&mut gate);
        }
        let mut child = gate.spawn().doing(starting)?;
        let id = child.id();
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Failure::new(starting(), "no id"))?;
        let mut go = child.stdin.take();
        let warden = match warden(id, directory) {
            Ok(warden) => warden,
            Err(failure) => {
                // Without its line the gate ends by itself.
                drop(go);
                let _ = child.wait();
                return Err(failure);
            }
        };
        let reins = Mutex::new(Reins { child, warden, ended: None });
        let program = Self { name, log: log.to_owned(), pid, id, reins };
        if let Some(go) = &mut go {
            go.write_all(b"go\n").doing(|| format!("starting {}", program.name))?;
        }
        Ok(program)
    }

    /// Its process id, which is also that of its process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.id
    }

    /// The file to which it prints.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the kernel does not know our own child.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        let reins = self.reins();
        if reins.ended.is_some() {
            return reins.ended;
        }
        // Looked at, not waited for: its id stays its own until `kill`, which also ends what it may have left behind.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = waitid(WaitId::Pid(self.pid), options).expect("a child that was not waited for exists")?;
        let code = seen.exit_status().map(|code| code << 8);
        Some(ExitStatus::from_raw(code.or_else(|| seen.terminating_signal()).unwrap_or_default()))
    }

    /// Ends it and all that it started at once, as `kill -9` does, and returns when they are gone. Does nothing if it was
    /// killed before.
    ///
    /// # Panics
    /// If one of them will not go.
    pub fn kill(&self) {
        let mut reins = self.reins();
        if reins.ended.is_some() {
            return;
        }
        // Stopped first, so that it cannot start others while we look for those that it did.
        let _ = kill_process(self.pid, Signal::STOP);
        let children = family::descendants(self.id);
        // None of these can fail in a way that leaves something to do: until it is waited for, the id is its own.
        let _ = kill_process_group(self.pid, Signal::KILL);
        signal_all(&children, Signal::KILL);
        let _ = reins.warden.kill();
        let _ = reins.warden.wait();
        reins.ended = Some(reins.child.wait().expect("a child that was not waited for exists"));
        drop(reins);
        remove_traces(self.id);
        // Their memory and their ports are theirs until they are gone.
        self.wait_for(&children, "be gone", |state| state == State::Gone);
    }

    /// Asks it to end by SIGTERM and waits until it has.
    ///
    /// # Errors
    /// If it still runs after `patience`; it is left running.
    pub fn terminate(&self, patience: Duration) -> Outcome<ExitStatus> {
        if self.ended().is_none() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
        let look = || self.ended().map_or_else(|| Look::NotYet("it runs".to_owned()), Look::Done);
        until(&format!("{} to end after SIGTERM", self.name), patience, look)
    }

    /// Stops it and all that it started in their tracks (`SIGSTOP`), and returns when none of them moves. Its sockets
    /// stay open: the kernel still accepts connections for it.
    ///
    /// # Panics
    /// If it has ended, or does not stop.
    pub fn pause(&self) {
        let _reins = self.expect_running("paused");
        let stopped = |state| state != State::Running;
        let _ = kill_process(self.pid, Signal::STOP);
        self.wait_for(&[self.id], "stop", stopped);
        let children = family::descendants(self.id);
        let _ = kill_process_group(self.pid, Signal::STOP);
        signal_all(&children, Signal::STOP);
        self.wait_for(&children, "stop", stopped);
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Panics
    /// If it has ended, or does not go on.
    pub fn resume(&self) {
        let _reins = self.expect_running("resumed");
        let children = family::descendants(self.id);
        signal_all(&children, Signal::CONT);
        let _ = kill_process_group(self.pid, Signal::CONT);
        self.wait_for(&children, "go on", |state| state != State::Stopped);
        self.wait_for(&[self.id], "go on", |state| state != State::Stopped);
    }

    fn expect_running(&self, what: &str) -> MutexGuard<'_, Reins> {
        assert!(self.ended().is_none(), "{} has ended and cannot be {what}", self.name);
        self.reins()
    }

    fn wait_for(&self, ids: &[u32], what: &str, is_so: impl Fn(State) -> bool) {
        let waiting = until(&format!("{} to {what}", self.name), PATIENCE, || {
            match ids.iter().find(|id| !is_so(family::state(**id))) {
                Some(id) => Look::NotYet(format!("process {id} does not")),
                None => Look::Done(()),
            }
        });
        waiting.expect("the kernel carries out signals that cannot be ignored");
    }

    fn reins(&self) -> MutexGuard<'_, Reins> {
        self.reins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).field("pid", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal_all(ids: &[u32], signal: Signal) {
    for pid in ids.iter().filter_map(|id| i32::try_from(*id).ok().and_then(Pid::from_raw)) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

fn open_log(path: &Path) -> Outcome<File> {
    OpenOptions::new().create(true).append(true).open(path).doing(|| format!("opening {}", path.display()))
}

/// The shell that becomes the program once it is told to.
fn gate(command: &Command) -> Command {
    let mut gate = Command::new(SHELL);
    gate.args(["-c", GATE, "gate"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => gate.env(name, value),
            None => gate.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        gate.current_dir(directory);
    }
    gate.process_group(0).stdin(Stdio::piped());
    gate
}

/// The shell that kills process group `id` when we are no more.
fn warden(id: u32, directory: Option<&Path>) -> Outcome<Child> {
    let mut warden = Command::new(SHELL);
    warden.args(["-c", WARDEN, "warden"]).arg(id.to_string());
    warden.arg(directory.unwrap_or(Path::new("")));
    // Away from our terminal's process group, so that Ctrl-C does not end the warden before its work is done.
    warden.current_dir("/").process_group(0);
    warden.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    warden.spawn().doing(|| "starting a warden".to_owned())
}

const SHELL: &str = "/bin/sh";

/// Waits for the word, then becomes the program.
const GATE: &str = r#"read -r word && exec "$@" </dev/null"#;

/// Waits until the pipe is closed; then kills the group `$1`, the children of its leader that left the group (those of
/// PostgreSQL do), removes what libfaketime leaves of it, unmounts the disk in the directory `$2`, and removes that.
const WARDEN: &str = r#"
trap '' HUP INT QUIT TERM
read -r word
kill -s STOP "$1"
children=
for stat in /proc/[0-9]*/stat; do
    { read -r id name state parent rest <"$stat"; } && [ "$parent" = "$1" ] && children="$children $id"
done
kill -s KILL -- "-$1" $children
rm -f "/dev/shm/faketime_shm_$1" "/dev/shm/sem.faketime_sem_$1"
[ -z "$2" ] || [ ! -d "$2/disk" ] || umount -l "$2/disk"
[ -z "$2" ] || rm -rf -- "$2" || rm -rf -- "$2"
"#;
