//! The search for secrets in everything that the tests left behind.
//!
//! Tests write each token and password that they used, one per line, into `secrets/*.txt` of the test output, and
//! leave databases, logs and scraped pages in a folder of their own under `artifacts/`. Promise G1 says that none of
//! the former is in the latter, in whatever encoding, and a search byte by byte is what proves it.

mod disguise;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use aho_corasick::AhoCorasick;

use self::disguise::Disguise;
use crate::{
    error::{Doing as _, Error},
    report::Check,
};

/// Where tests note the secrets they used, in `*.txt`.
pub(crate) fn secrets_directory(output: &Path) -> PathBuf {
    output.join("secrets")
}

/// Where tests leave what must not contain any.
pub(crate) fn artifacts_directory(output: &Path) -> PathBuf {
    output.join("artifacts")
}

/// Searches each folder of artifacts for all secrets; one check each. No secrets, or nothing to search, is a finding.
pub(crate) fn check(output: &Path) -> Result<Vec<Check>, Error> {
    let secrets = match Secrets::read(&secrets_directory(output))? {
        Ok(secrets) => secrets,
        Err(complaint) => {
            return Ok(vec![Check::new("the tests note what they use", vec![complaint])]);
        }
    };
    let search = Search::new(&secrets)?;
    let mut checks = Vec::new();
    for directory in entries(&artifacts_directory(output))? {
        let mut findings = Vec::new();
        let mut searched = Searched::default();
        search.walk(output, &directory, &mut searched, &mut findings)?;
        if searched.bytes == 0 {
            findings.push("there is nothing in it to search".to_owned());
        }
        let place = relative(output, &directory);
        let name = format!(
            "none of {} secrets in {place} ({} files, {} bytes)",
            secrets.lines.len(),
            searched.files,
            searched.bytes
        );
        checks.push(Check::new(name, findings));
    }
    if checks.is_empty() {
        let complaint = "there is nothing in artifacts/: no test left anything to search".to_owned();
        checks.push(Check::new("the tests leave what they wrote", vec![complaint]));
    }
    Ok(checks)
}

/// All secrets, each with the place where a test noted it.
#[derive(Debug)]
struct Secrets {
    lines: BTreeMap<Vec<u8>, String>,
}

impl Secrets {
    /// Reads all of `directory`; the inner error says why its content is of no use.
    fn read(directory: &Path) -> Result<Result<Self, String>, Error> {
        let mut lines = BTreeMap::new();
        for file in
            entries(directory)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "txt"))
        {
            let content = fs::read(&file).doing(|| format!("reading {}", file.display()))?;
            for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
                let secret = line.strip_suffix(b"\r").unwrap_or(line);
                let place = format!("{}:{}", relative(directory, &file), index + 1);
                if (1..SHORTEST).contains(&secret.len()) {
                    return Ok(Err(format!(
                        "{place} is shorter than {SHORTEST} bytes and would be found by chance"
                    )));
                }
                if !secret.is_empty() {
                    lines.entry(secret.to_vec()).or_insert(place);
                }
            }
        }
        if lines.is_empty() {
            return Ok(Err("there is nothing in secrets/: no test noted a secret".to_owned()));
        }
        Ok(Ok(Self { lines }))
    }
}

/// How much was searched.
#[derive(Debug, Default)]
struct Searched {
    files: usize,
    bytes: u64,
}

/// All disguises of all secrets, ready to be looked for at once.
struct Search {
    automaton: AhoCorasick,
    /// What each pattern of the automaton means: whose secret, and in which disguise.
    meanings: Vec<(String, Disguise)>,
}

impl Search {
    fn new(secrets: &Secrets) -> Result<Self, Error> {
        let mut patterns = Vec::new();
        let mut meanings = Vec::new();
        for (secret, place) in &secrets.lines {
            for (disguise, pattern) in disguise::all(secret) {
                patterns.push(pattern);
                meanings.push((place.clone(), disguise));
            }
        }
        let automaton =
            AhoCorasick::new(&patterns).doing(|| "preparing the search for secrets".to_owned())?;
        Ok(Self { automaton, meanings })
    }

    fn walk(
        &self,
        output: &Path,
        path: &Path,
        searched: &mut Searched,
        findings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let reading = || format!("searching {}", path.display());
        let kind = fs::symlink_metadata(path).doing(reading)?.file_type();
        if kind.is_dir() {
            for entry in entries(path)? {
                self.walk(output, &entry, searched, findings)?;
            }
        } else if kind.is_file() {
            searched.files += 1;
            searched.bytes += self.file(path, &relative(output, path), findings).doing(reading)?;
        }
        Ok(())
    }

    /// Searches one file piece by piece; a pattern across two pieces is found because pieces overlap.
    fn file(&self, path: &Path, name: &str, findings: &mut Vec<String>) -> std::io::Result<u64> {
        let mut file = File::open(path)?;
        let overlap = self.automaton.max_pattern_len().saturating_sub(1);
        let mut window = Vec::new();
        let mut window_at = 0;
        let mut found = BTreeMap::new();
        loop {
            let read = file.by_ref().take(PIECE).read_to_end(&mut window)?;
            if read == 0 {
                break;
            }
            for hit in self.automaton.find_overlapping_iter(&window) {
                found.entry(hit.pattern()).or_insert(window_at + to_u64(hit.start()));
            }
            let done = window.len().saturating_sub(overlap);
            window.drain(..done);
            window_at += to_u64(done);
        }
        for (pattern, offset) in found {
            if let Some((place, disguise)) = self.meanings.get(pattern.as_usize()) {
                findings.push(format!("{name} at byte {offset}: the secret of {place}, as {disguise}"));
            }
        }
        Ok(window_at + to_u64(window.len()))
    }
}

/// What is in `directory`, in a stable order; nothing if it does not exist.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = || format!("listing {}", directory.display());
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).doing(listing)? {
        paths.push(entry.doing(listing)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn relative(base: &Path, path: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits into 64 bits")
}

/// Shorter secrets occur by chance, and a search for them proves nothing.
const SHORTEST: usize = 8;

/// How much of a file is searched at a time, in bytes.
const PIECE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
