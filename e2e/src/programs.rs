//! Where the programs are that a test needs.

#![expect(clippy::disallowed_methods, reason = "tests are told by the environment where things are")]

use std::env;
use std::path::{Path, PathBuf};

use crate::{Failure, Outcome};

/// The server's binary: the one `cargo xtask test` has built, else the one an ordinary build left.
pub(crate) fn cloakroom() -> Outcome<PathBuf> {
    if let Ok(path) = env::var("CLOAKROOM_BIN") {
        return existing(PathBuf::from(path), "CLOAKROOM_BIN names it, but it is not there");
    }
    existing(
        target_directory()?.join("debug/cloakroom"),
        "run `cargo build --bin cloakroom`, or set CLOAKROOM_BIN",
    )
}

/// Chromium, under whatever name.
pub(crate) fn chromium() -> Outcome<PathBuf> {
    first_of(&["chromium", "chromium-browser", "google-chrome", "chrome"])
}

/// The driver that comes with Chromium.
pub(crate) fn chromedriver() -> Outcome<PathBuf> {
    first_of(&["chromedriver", "chromium.chromedriver"])
}

/// Fetches what tests use and the repository does not hold.
pub(crate) fn npm() -> Outcome<PathBuf> {
    first_of(&["npm"])
}

/// Where what was fetched is kept from one run to the next.
pub(crate) fn cache_directory() -> Outcome<PathBuf> {
    Ok(target_directory()?.join("test-cache"))
}

/// Where tests leave what they leave: as told, else beside the build.
pub(crate) fn output_directory() -> Outcome<PathBuf> {
    match env::var("CLOAKROOM_TEST_OUTPUT") {
        Ok(path) => Ok(PathBuf::from(path)),
        Err(_) => Ok(target_directory()?.join("test-output")),
    }
}

fn target_directory() -> Outcome<PathBuf> {
    if let Ok(path) = env::var("CARGO_TARGET_DIR") {
        return Ok(PathBuf::from(path));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(workspace.ok_or_else(|| Failure::new("this package lies in no workspace"))?.join("target"))
}

fn first_of(names: &[&str]) -> Outcome<PathBuf> {
    let directories: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let candidates =
        names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(format!(
            "{} is not installed; run: apt-get install -y --no-install-recommends chromium chromium-driver npm",
            names.first().copied().unwrap_or_default()
        ))
    })
}

fn existing(path: PathBuf, remedy: &str) -> Outcome<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("there is no {}: {remedy}", path.display())))
}
