//! What a server finds around it: a clock that is wrong, a disk that is small.

use std::{
    ffi::CString,
    fs,
    fs::OpenOptions,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

use crate::{Failure, Outcome, failure::Doing as _, find::find_faketime, place::User};

/// How a server's surroundings differ from the machine's.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Surroundings {
    clock: Option<Clock>,
    disk: Option<u32>,
}

impl Surroundings {
    /// With a clock of its own, which can be set while the server runs. Only what tells the time of day is wrong;
    /// monotonic clocks, by which servers measure how long they wait, are the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// With all its data on a file system of its own, of so many MiB, which needs the right to mount one. It is kept in
    /// memory, and survives the server's end like a disk, but not ours.
    #[must_use]
    pub fn with_disk(self, mebibytes: u32) -> Self {
        Self { disk: Some(mebibytes), ..self }
    }

    pub(crate) fn clock(&self) -> Option<Clock> {
        self.clock
    }

    pub(crate) fn disk(&self) -> Option<u32> {
        self.disk
    }
}

/// What a server's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds that it is ahead of the machine's.
    ahead: i64,
}

impl Clock {
    /// The machine's time.
    #[must_use]
    pub const fn right() -> Self {
        Self { ahead: 0 }
    }

    /// Later than it is by so many seconds, or earlier.
    #[must_use]
    pub const fn ahead_by(seconds: i64) -> Self {
        Self { ahead: seconds }
    }

    /// Later than it is, by whole seconds.
    #[must_use]
    pub fn ahead(by: Duration) -> Self {
        Self { ahead: i64::try_from(by.as_secs()).unwrap_or(i64::MAX) }
    }

    /// Earlier than it is, by whole seconds.
    #[must_use]
    pub fn behind(by: Duration) -> Self {
        Self { ahead: -Self::ahead(by).ahead }
    }
}

/// The clock on a server's wall: libfaketime, which reads a file each time that somebody asks for the time.
#[derive(Debug)]
pub(crate) struct Dial {
    file: PathBuf,
    library: PathBuf,
}

impl Dial {
    pub(crate) fn new(directory: &Path, clock: Clock) -> Outcome<Self> {
        let dial = Self { file: directory.join("clock"), library: library()? };
        dial.set(clock)?;
        Ok(dial)
    }

    /// Takes effect on the next look at the clock. Nobody ever reads half of it.
    pub(crate) fn set(&self, clock: Clock) -> Outcome {
        let setting = || format!("setting {}", self.file.display());
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{:+}\n", clock.ahead)).doing(setting)?;
        fs::rename(&next, &self.file).doing(setting)
    }

    /// The same command by this clock. It goes through `env`, so that only the program itself, and not the shell that
    /// starts it, is preloaded.
    pub(crate) fn by(&self, command: &Command) -> Command {
        let mut by = Command::new("env");
        // The C library behind libfaketime takes precedence over jemalloc, which Redis is linked with: jemalloc asks for the
        // time while libfaketime is still starting, and libfaketime then gives up.
        by.arg(format!("LD_PRELOAD={} libc.so.6", self.library.display()));
        by.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()));
        by.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"]);
        by.arg(command.get_program()).args(command.get_args());
        by
    }
}

fn library() -> Outcome<PathBuf> {
    find_faketime().ok_or_else(|| {
        Failure::new("looking for libfaketime", "it is not installed")
            .with_remedy("install the Debian package libfaketime: apt-get install libfaketime")
    })
}

/// What libfaketime leaves in shared memory of a process that was killed. Whoever gets its id next, and is preloaded too,
/// would refuse to start.
pub(crate) fn remove_traces(pid: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        // Most processes have none.
        let _ = fs::remove_file(format!("/dev/shm/{name}{pid}"));
    }
}

/// A server's own small file system.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of so many MiB in `directory`, which belongs to `user`.
    pub(crate) fn new(directory: &Path, mebibytes: u32, user: Option<User>) -> Outcome<Self> {
        let path = directory.join(DISK);
        let mounting = || format!("mounting a small file system at {}", path.display());
        fs::create_dir(&path).doing(mounting)?;
        let options = CString::new(format!("size={mebibytes}m,mode=0700")).doing(mounting)?;
        let none = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", &path, "tmpfs", none, options.as_c_str()).map_err(|error| {
            Failure::new(mounting(), error)
                .with_remedy("tests of full disks need the right to mount: run them as root, in a container with CAP_SYS_ADMIN")
        })?;
        let disk = Self { path };
        if let Some(user) = user {
            let (id, group) = user.ids();
            chown(&disk.path, Some(id), Some(group)).doing(|| "giving a disk to its user".to_owned())?;
        }
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn room(&self) -> Outcome<u64> {
        let found = statvfs(&self.path).doing(|| format!("asking how full {} is", self.path.display()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Takes all the room but so many bytes, as somebody else's files on the same disk do.
    ///
    /// # Errors
    /// If there is a ballast already, or it cannot be written.
    pub fn fill(&self, leaving: u64) -> Outcome {
        let filling = || format!("filling {}", self.path.display());
        let ballast = OpenOptions::new().write(true).create_new(true).open(self.ballast()).doing(filling)?;
        let Some(length) = self.room()?.checked_sub(leaving).filter(|length| *length > 0) else {
            return Ok(());
        };
        fallocate(&ballast, FallocateFlags::empty(), 0, length).doing(filling)
    }

    /// Gives back the room that [`fill`](Self::fill) took.
    ///
    /// # Errors
    /// If nothing was filled.
    pub fn make_room(&self) -> Outcome {
        fs::remove_file(self.ballast()).doing(|| format!("making room in {}", self.path.display()))
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once for everybody who looks; for the kernel when the last file there is closed. A failure shows when the
        // directory cannot be removed.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// The name of a disk in its server's directory: the warden unmounts it if we cannot.
pub(crate) const DISK: &str = "disk";
