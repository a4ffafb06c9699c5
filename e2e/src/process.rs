//! Processes that do not outlive their test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Failure, Outcome, eventually};

/// A program in a process group of its own: when this is dropped, by a panic too, it and its children are killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    /// Once its end was taken notice of, its id may belong to somebody else.
    ended: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let child = command.process_group(0).spawn().map_err(|error| {
            Failure::from(error).while_doing(format!("starting {}", command.get_program().display()))
        })?;
        let id = i32::try_from(child.id())?;
        let group = Pid::from_raw(id).ok_or_else(|| Failure::new("a process has no id"))?;
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Ok(Self { child, group, ended: None })
    }

    /// The child's own side of its pipes, to be taken from.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                self.forget();
            }
        }
        Ok(self.ended)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> Outcome<ExitStatus> {
        if self.ended()?.is_none() {
            kill_process_group(self.group, Signal::TERM)?;
        }
        eventually("a process to end after SIGTERM", patience, async || self.ended()).await
    }

    /// Waits until it is the last of its group: what it started has ended, and let go of its files.
    pub(crate) async fn outlives_its_children(&self, patience: Duration) -> Outcome {
        eventually("the children of a process to end", patience, async || {
            Ok(self.children_alive()?.is_empty().then_some(()))
        })
        .await
    }

    /// Who else of its group is alive; nobody, where the system does not tell in files.
    fn children_alive(&self) -> Outcome<Vec<String>> {
        let group = self.group.as_raw_nonzero().to_string();
        let mut alive = Vec::new();
        for process in fs::read_dir("/proc").into_iter().flatten() {
            // One that has ended meanwhile has no file any more.
            let Ok(stat) = fs::read_to_string(process?.path().join("stat")) else { continue };
            // `PID (NAME) STATE PARENT GROUP …`, where a name may hold anything.
            let Some((start, rest)) = stat.rsplit_once(") ") else { continue };
            let mut words = rest.split(' ');
            let (state, of) = (words.next(), words.nth(1));
            let is_itself = start.split(' ').next() == Some(&*group);
            if of == Some(&*group) && !is_itself && state != Some("Z") {
                alive.push(start.to_owned());
            }
        }
        Ok(alive)
    }

    /// Ends it and its children at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // Neither can fail in a way that would leave anything to do: until it is waited for, the id is its own.
        let _ = kill_process_group(self.group, Signal::KILL);
        self.ended = self.child.wait().ok();
        self.forget();
    }

    fn forget(&self) {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.group.as_raw_nonzero().get());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills whatever was started and still runs: for the moment at which a person stops the tests.
pub(crate) fn kill_all() {
    for id in std::mem::take(&mut *GROUPS.lock().unwrap_or_else(PoisonError::into_inner)) {
        if let Some(group) = Pid::from_raw(id) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The process groups that run.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
