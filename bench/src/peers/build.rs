//! The programs, built: their own workspace, their own lock file, beside this program's own build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Doing as _, Error, Outcome};
use crate::report::target_directory;

/// Builds all programs, if that has not been done; answers where they are.
pub(super) fn build() -> Outcome<PathBuf> {
    eprintln!("building the peers' programs …");
    cargo_build(&[])
}

/// Builds the program of this package alone; answers where it is.
pub(crate) fn build_program(package: &str) -> Outcome<PathBuf> {
    eprintln!("building {package} …");
    cargo_build(&["--package", package]).map(|programs| programs.join(package))
}

fn cargo_build(what: &[&str]) -> Outcome<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    let target = target_directory().join("peers");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .args(what)
        .stdin(Stdio::null())
        .status()
        .doing("starting cargo")?;
    if built.success() {
        Ok(target.join("release"))
    } else {
        Err(Error::new("building the peers' programs", "cargo has said why"))
    }
}
