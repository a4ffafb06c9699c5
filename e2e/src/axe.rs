//! What a page is to people who cannot see it, or not well: examined by axe-core.
//!
//! axe-core is no part of the repository. It is fetched once with npm, as npm is set up on this machine, kept beside the
//! build, and used only if it has the digest below.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

use crate::{Browser, Failure, Outcome, programs};

impl Browser {
    /// Fails if axe-core finds fault with the page as it is shown now.
    ///
    /// # Errors
    /// Each finding: the rule, what it asks for, and the elements; or that axe-core cannot be had.
    #[track_caller]
    pub fn check_accessible(&self) -> impl Future<Output = Outcome> {
        crate::failure::from_here(async move {
            let source = source()?;
            let run = "
                const done = arguments[arguments.length - 1];
                axe.run(document, { resultTypes: ['violations'] }).then(
                    found => done(found.violations.map(it => ({
                        rule: it.id, help: it.help, at: it.nodes.map(node => node.html.slice(0, 300) + ' — ' + node.failureSummary),
                    }))),
                    error => done([{ rule: 'axe-core itself', help: String(error), at: [] }]));";
            // The driver's scripts are not held to the page's policy.
            let found = self.script_async(&format!("{source}\n;{run}")).await?;
            let found = found.as_array().ok_or_else(|| Failure::new("axe-core gave no answer"))?;
            if found.is_empty() {
                return Ok(());
            }
            Err(Failure::new(format!("{} is not accessible: {}", self.path().await?, told(found))))
        })
    }
}

fn told(found: &[Value]) -> String {
    let mut text = String::new();
    for finding in found {
        let of = |key| finding.get(key).and_then(Value::as_str).unwrap_or_default();
        let _ = write!(text, "\n  {}: {}", of("rule"), of("help"));
        for place in finding.get("at").and_then(Value::as_array).into_iter().flatten() {
            let _ = write!(text, "\n    {}", place.as_str().unwrap_or_default().replace('\n', " "));
        }
    }
    text
}

/// The script, read once for all tests of a program.
fn source() -> Outcome<&'static str> {
    static SOURCE: Mutex<Option<&'static str>> = Mutex::new(None);
    let mut kept = SOURCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(source) = *kept {
        return Ok(source);
    }
    let package = package()?;
    let source: &'static str = Box::leak(unpacked(&package)?.into_boxed_str());
    *kept = Some(source);
    Ok(source)
}

/// The package, as it was kept or as it comes.
fn package() -> Outcome<PathBuf> {
    let cache = programs::cache_directory()?;
    let package = cache.join(format!("axe-core-{VERSION}.tgz"));
    if package.is_file() && digest(&package)? == DIGEST {
        return Ok(package);
    }
    fs::create_dir_all(&cache)?;
    // Another test program may be at it too: each fetches for itself, and what is right takes the place at once.
    let room = TempDir::with_prefix_in("axe-core-", &cache)?;
    let output = Command::new(programs::npm()?)
        .args(["pack", "--silent", "--ignore-scripts", &format!("axe-core@{VERSION}")])
        .current_dir(room.path())
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::new(said).while_doing(format!("fetching axe-core {VERSION} with npm")));
    }
    let fetched = room.path().join(format!("axe-core-{VERSION}.tgz"));
    let found = digest(&fetched)?;
    if found != DIGEST {
        return Err(Failure::new(format!("axe-core {VERSION} came with the digest {found}, not {DIGEST}")));
    }
    fs::rename(&fetched, &package)?;
    Ok(package)
}

fn digest(file: &Path) -> Outcome<String> {
    let mut text = String::new();
    for byte in Sha512::digest(fs::read(file)?) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

fn unpacked(package: &Path) -> Outcome<String> {
    let output = Command::new("tar")
        .args(["--extract", "--gzip", "--to-stdout", "--file"])
        .arg(package)
        .arg("package/axe.min.js")
        .output()?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr)).while_doing("unpacking axe-core"));
    }
    Ok(String::from_utf8(output.stdout)?)
}

const VERSION: &str = "4.14.1";

/// SHA-512 of the package, as the registry tells it (`npm view axe-core@VERSION dist.integrity`).
const DIGEST: &str = "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5";
