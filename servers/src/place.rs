//! A server's own directory, and whose it is.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    Failure, Outcome,
    failure::Doing as _,
    find::is_open_to_all,
    patience::{Look, PATIENCE, until},
    program::Program,
    surroundings::{Clock, Dial, Disk, Surroundings},
};

/// The user as whom a server runs that refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    id: u32,
    group: u32,
}

impl User {
    /// `nobody`, if we are root; `None` if we are an ordinary user already.
    pub(crate) fn unless_ordinary() -> Outcome<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let looking = || "looking up the user nobody".to_owned();
        let accounts = fs::read_to_string("/etc/passwd").doing(looking)?;
        let nobody = accounts.lines().find_map(|line| {
            let mut fields = line.strip_prefix("nobody:")?.split(':').skip(1);
            Some(Self { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
        });
        nobody.map(Some).ok_or_else(|| {
            Failure::new(looking(), "there is no such user")
                .with_remedy("this server refuses to run as root: run the tests as an ordinary user")
        })
    }

    /// Its id, and its group's.
    pub(crate) fn ids(self) -> (u32, u32) {
        (self.id, self.group)
    }

    /// Makes `command` run as this user.
    pub(crate) fn runs(self, command: &mut Command) {
        command.uid(self.id).gid(self.group);
    }
}

/// A directory of one server's own, removed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    dial: Option<Dial>,
    /// Unmounted before the directory is removed: fields are dropped in this order.
    disk: Option<Disk>,
    directory: TempDir,
    user: Option<User>,
}

impl Place {
    /// A new directory for `server`, which belongs to `user`, or to us.
    pub(crate) fn new(server: &str, user: Option<User>) -> Outcome<Self> {
        let making = || format!("making a directory for {server}");
        let directory =
            tempfile::Builder::new().prefix(&format!("cloakroom-{server}-")).tempdir().doing(making)?;
        if let Some(user) = user {
            let parent = directory.path().parent().unwrap_or(Path::new("/"));
            if !is_open_to_all(parent) {
                return Err(Failure::new(
                    making(),
                    format!("{} is closed to the user nobody", parent.display()),
                )
                .with_remedy("set TMPDIR to a directory that everybody may pass, such as /tmp"));
            }
            chown(directory.path(), Some(user.id), Some(user.group)).doing(making)?;
        }
        Ok(Self { dial: None, disk: None, directory, user })
    }

    /// A new directory with surroundings of its own.
    pub(crate) fn within(server: &str, user: Option<User>, surroundings: &Surroundings) -> Outcome<Self> {
        let mut place = Self::new(server, user)?;
        place.dial = surroundings.clock().map(|clock| Dial::new(place.path(), clock)).transpose()?;
        place.disk = surroundings.disk().map(|size| Disk::new(place.path(), size, user)).transpose()?;
        Ok(place)
    }

    /// Where data go: onto the small disk, if there is one.
    pub(crate) fn data(&self) -> &Path {
        self.disk.as_ref().map_or(self.path(), Disk::path)
    }

    /// # Panics
    /// If there is none.
    pub(crate) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a server that was started with a small disk")
    }

    /// # Panics
    /// If it goes by the machine's clock.
    pub(crate) fn set_clock(&self, clock: Clock) -> Outcome {
        self.dial.as_ref().expect("a server that was started with a clock of its own").set(clock)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the program of `command` there, by the clock that is there, as the user whose it is; temporary files go there
    /// as well. What it prints is added to [`log`](Self::log), and if we die, the directory is removed with the program's
    /// death.
    pub(crate) fn start(&self, command: &Command) -> Outcome<Program> {
        match &self.dial {
            Some(dial) => self.start_now(&dial.by(command)),
            None => self.start_now(command),
        }
    }

    fn start_now(&self, command: &Command) -> Outcome<Program> {
        let mut own = Command::new(command.get_program());
        own.args(command.get_args()).current_dir(self.path()).env("TMPDIR", self.path());
        Program::start_as(&own, &self.log(), self.user, Some(self.path()))
    }

    /// Runs the program of `command` there to its end, by the machine's clock; it must be a success.
    pub(crate) fn prepare(&self, command: &Command) -> Outcome {
        let program = self.start_now(command)?;
        let name = command.get_program().display();
        let ending = until(&format!("the end of {name}"), PATIENCE, || {
            program.ended().map_or_else(|| Look::NotYet("it runs".to_owned()), Look::Done)
        });
        match ending {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(format!("running {name}"), format!("it ended with {status}"))),
            Err(failure) => Err(failure),
        }
        .map_err(|failure| failure.with_log(&self.log()))
    }

    /// The file to which everything here prints.
    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Writes a file there, which only its owner can read.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Outcome<PathBuf> {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
        let path = self.path().join(name);
        let writing = || format!("writing {}", path.display());
        fs::write(&path, text).doing(writing)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).doing(writing)?;
        if let Some(user) = self.user {
            chown(&path, Some(user.id), Some(user.group)).doing(writing)?;
        }
        Ok(path)
    }
}
