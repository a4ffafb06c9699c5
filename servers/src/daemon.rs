//! What all servers have in common: started on a port of their own, ready when they say so, harmed and started again.

use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Failure, Outcome,
    patience::{Look, PATIENCE, until},
    place::Place,
    port::Port,
    program::Program,
    surroundings::{Clock, Disk},
};

/// How a kind of server is started on a port, and asked whether it is ready.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Box<dyn Fn(u16) -> Vec<OsString> + Send + Sync>,
    /// Asks the server itself; an error says what was missing.
    pub(crate) ready: Box<dyn Fn(u16) -> Outcome + Send + Sync>,
    /// Distances of further ports that it listens on.
    pub(crate) neighbours: &'static [u16],
}

/// A server: running, paused, or killed and ready to be started again on its port and its data.
pub(crate) struct Daemon {
    recipe: Recipe,
    /// Killed before its directory is removed: fields are dropped in this order.
    program: Mutex<Option<Program>>,
    port: Port,
    place: Place,
}

impl Daemon {
    /// Starts a server and returns when it answers. If somebody took the port between our choice and its start, another
    /// port is tried.
    pub(crate) fn start(recipe: Recipe, place: Place) -> Outcome<Self> {
        let port = Port::free_with(recipe.neighbours)?;
        let mut daemon = Self::idle(recipe, place, port);
        for _ in 0..CHANCES {
            let Err(failure) = daemon.restart() else { return Ok(daemon) };
            daemon.kill();
            if daemon.port.is_free() {
                return Err(failure);
            }
            daemon.port = Port::free_with(daemon.recipe.neighbours)?;
        }
        let doing = format!("starting {}", daemon.recipe.name);
        Err(Failure::new(doing, "each port that was free was then taken by somebody"))
    }

    /// Starts a server on a port that the caller chose, because it stands in a configuration of the caller's.
    pub(crate) fn start_on(port: Port, recipe: Recipe, place: Place) -> Outcome<Self> {
        let daemon = Self::idle(recipe, place, port);
        daemon.restart()?;
        Ok(daemon)
    }

    fn idle(recipe: Recipe, place: Place, port: Port) -> Self {
        Self { recipe, program: Mutex::new(None), port, place }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.log()).unwrap_or_default()).into_owned()
    }

    /// The process id, while it was not killed.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.program().as_ref().map(Program::pid)
    }

    pub(crate) fn kill(&self) {
        drop(self.program().take());
    }

    /// Starts it on the same port and the same data, and returns when it answers. Kills it first if it still runs.
    pub(crate) fn restart(&self) -> Outcome {
        let mut slot = self.program();
        drop(slot.take());
        let port = self.port();
        let mut command = Command::new(&self.recipe.program);
        command.args((self.recipe.arguments)(port));
        let program = self.place.start(&command)?;
        let program = slot.insert(program);
        let waiting = format!("{} to be ready", self.recipe.name);
        until(&waiting, PATIENCE, || match program.ended() {
            Some(status) => Look::Hopeless(Failure::new(
                format!("starting {}", self.recipe.name),
                format!("it ended with {status}"),
            )),
            None => (self.recipe.ready)(port).into(),
        })
        .map_err(|failure| failure.with_log(&self.place.log()))
    }

    pub(crate) fn set_clock(&self, clock: Clock) -> Outcome {
        self.place.set_clock(clock)
    }

    pub(crate) fn disk(&self) -> &Disk {
        self.place.disk()
    }

    pub(crate) fn pause(&self) {
        self.running().pause();
    }

    pub(crate) fn resume(&self) {
        self.running().resume();
    }

    fn running(&self) -> Running<'_> {
        let guard = self.program();
        assert!(guard.is_some(), "{} was killed: restart it first", self.recipe.name);
        Running(guard)
    }

    fn program(&self) -> MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.recipe.name)
            .field("port", &self.port())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

/// The program of a server that was not killed.
struct Running<'a>(MutexGuard<'a, Option<Program>>);

impl Running<'_> {
    fn pause(&self) {
        self.0.iter().for_each(Program::pause);
    }

    fn resume(&self) {
        self.0.iter().for_each(Program::resume);
    }
}

/// Gives a server the verbs that all of them share.
macro_rules! verbs {
    ($server:ty) => {
        impl $server {
            /// Its port on 127.0.0.1, the same after a restart.
            #[must_use]
            pub fn port(&self) -> u16 {
                self.daemon.port()
            }

            /// Its process id; `None` after [`kill`](Self::kill).
            #[must_use]
            pub fn pid(&self) -> Option<u32> {
                self.daemon.pid()
            }

            /// Its private directory.
            #[must_use]
            pub fn directory(&self) -> &std::path::Path {
                self.daemon.directory()
            }

            /// What it has printed so far.
            #[must_use]
            pub fn log(&self) -> String {
                self.daemon.log()
            }

            /// Kills it with all its processes (SIGKILL) and returns when they are gone. Its port stays reserved.
            pub fn kill(&self) {
                self.daemon.kill();
            }

            /// Starts it again on the same port and the same data, and returns when it answers.
            ///
            /// # Errors
            /// If it does not come up; the end of its log is in the failure.
            pub fn restart(&self) -> $crate::Outcome {
                self.daemon.restart()
            }

            /// Sets its clock while it runs, or before it is started again.
            ///
            /// # Errors
            /// If the file cannot be written by which it is set.
            ///
            /// # Panics
            /// If it was not started with a clock of its own.
            pub fn set_clock(&self, clock: $crate::Clock) -> $crate::Outcome {
                self.daemon.set_clock(clock)
            }

            /// Stops all its processes (SIGSTOP), and returns when none of them moves: it accepts and never answers.
            ///
            /// # Panics
            /// If it does not run.
            pub fn pause(&self) {
                self.daemon.pause();
            }

            /// Lets it go on after [`pause`](Self::pause).
            ///
            /// # Panics
            /// If it does not run.
            pub fn resume(&self) {
                self.daemon.resume();
            }
        }
    };
}
pub(crate) use verbs;

/// Gives a server that keeps data the disk that it keeps them on.
macro_rules! kept_on_disk {
    ($server:ty) => {
        impl $server {
            /// Its small disk, to be filled.
            ///
            /// # Panics
            /// If it was not started with one.
            #[must_use]
            pub fn disk(&self) -> &$crate::Disk {
                self.daemon.disk()
            }
        }
    };
}
pub(crate) use kept_on_disk;

/// How often to try another port.
const CHANCES: u32 = 5;
