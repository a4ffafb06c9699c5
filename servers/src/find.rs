//! Where the servers' programs are.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{Failure, Outcome};

/// Where `program` lies: in the search path, among the programs for administrators, or where Debian keeps PostgreSQL's.
#[must_use]
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = search_path().unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories.extend(ADMINISTRATORS.iter().map(PathBuf::from));
    directories.extend(postgres_directories());
    directories.into_iter().map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Where libfaketime lies, whatever this machine's architecture is: Debian keeps it in a directory of that name, others do
/// not. `None` if it is not installed.
#[must_use]
pub fn find_faketime() -> Option<PathBuf> {
    let among = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let roots: Vec<PathBuf> = LIBRARIES.iter().map(PathBuf::from).collect();
    let nested = roots.iter().flat_map(|root| among(root));
    // The program's own dynamic loader only takes a library of its own architecture, so this one's comes first.
    let (ours, others): (Vec<_>, Vec<_>) = roots.iter().cloned().chain(nested).partition(|directory| {
        directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(env::consts::ARCH))
    });
    let mut candidates =
        ours.into_iter().chain(others).map(|directory| directory.join("faketime").join(FAKETIME));
    candidates.find(|candidate| candidate.is_file())
}

/// A program that a test cannot do without.
#[derive(Debug)]
pub(crate) struct Needed {
    /// Any of these will do.
    pub(crate) names: &'static [&'static str],
    /// The Debian package that brings it.
    pub(crate) package: &'static str,
}

impl Needed {
    pub(crate) fn find(&self) -> Outcome<PathBuf> {
        self.names.iter().find_map(|name| find_program(name)).ok_or_else(|| {
            let name = self.names.first().copied().unwrap_or(self.package);
            Failure::new(format!("looking for the program {name}"), "it is not installed")
                .with_remedy(format!("install the Debian package {0}: apt-get install {0}", self.package))
        })
    }
}

pub(crate) const REDIS_SERVER: Needed =
    Needed { names: &["redis-server", "valkey-server"], package: "redis-server" };
pub(crate) const REDIS_CLI: Needed = Needed { names: &["redis-cli", "valkey-cli"], package: "redis-tools" };
pub(crate) const POSTGRES: Needed = Needed { names: &["postgres"], package: "postgresql" };
pub(crate) const INITDB: Needed = Needed { names: &["initdb"], package: "postgresql" };
pub(crate) const PSQL: Needed = Needed { names: &["psql"], package: "postgresql-client" };
pub(crate) const MARIADB_SERVER: Needed =
    Needed { names: &["mariadbd", "mysqld"], package: "mariadb-server" };
pub(crate) const MARIADB_INSTALL: Needed =
    Needed { names: &["mariadb-install-db", "mysql_install_db"], package: "mariadb-server" };
pub(crate) const MARIADB_CLIENT: Needed = Needed { names: &["mariadb", "mysql"], package: "mariadb-client" };
pub(crate) const MEMCACHED: Needed = Needed { names: &["memcached"], package: "memcached" };
pub(crate) const HAPROXY: Needed = Needed { names: &["haproxy"], package: "haproxy" };
pub(crate) const PROMETHEUS: Needed = Needed { names: &["prometheus"], package: "prometheus" };
pub(crate) const PROMTOOL: Needed = Needed { names: &["promtool"], package: "prometheus" };
pub(crate) const NGINX: Needed = Needed { names: &["nginx"], package: "nginx" };

/// Debian does not put PostgreSQL's server into the search path: several versions may be installed. Newest first.
fn postgres_directories() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, directory)| directory).collect()
}

#[expect(clippy::disallowed_methods, reason = "a tool for tests, and its only look at the environment")]
fn search_path() -> Option<OsString> {
    env::var_os("PATH")
}

/// Whether others than the owner may pass through every directory above and at `path`, as servers have to that do not run
/// as root.
#[must_use]
pub fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.ancestors()
        .all(|directory| fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}

/// Where libraries are kept.
const LIBRARIES: &[&str] = &["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// The variant for programs of several threads.
const FAKETIME: &str = "libfaketimeMT.so.1";

/// Left out of an ordinary user's search path by some systems.
const ADMINISTRATORS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];
