//! `cargo xtask tidy`: the rules of house style that no lint knows.
//!
//! Each rule is a function of the repository's text, so that its tests plant a violation in a few lines of text and
//! see it found.

mod habits;
mod layout;
mod manifests;
mod markdown;
mod sizes;
mod source;
mod text;
mod tree;
mod words;

use std::{fmt, fs, path::Path};

use self::tree::Tree;
use crate::{
    error::{Doing as _, Error},
    report::Check,
};

/// A rule's name and the function that finds its violations.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

const RULES: &[Rule] = &[
    ("one word means one thing", words::banned),
    ("what is to do has an issue number", habits::todos_without_issue),
    ("no code is commented out", habits::commented_out_code),
    ("lint exceptions are expected, not allowed", habits::allowed_lints),
    ("every crate says what it is", habits::crates_without_docs),
    ("functions and files stay small", sizes::too_big),
    ("no path of somebody's machine", text::machine_paths),
    ("no stray whitespace", text::stray_whitespace),
    ("every crate takes the workspace's lints", manifests::crates_without_lints),
    ("every dependency has its reason beside it", manifests::dependencies_without_reason),
    ("every workspace dependency is used", manifests::unused_dependencies),
    ("store crates have one layout", layout::store_crates),
    ("every promise is in the README with a link to its proof", layout::promises),
    ("links in documents lead somewhere", markdown::broken_links),
];

/// Checks the repository at `root`, rule by rule.
pub(crate) fn check(root: &Path) -> Result<Vec<Check>, Error> {
    let tree = Tree::read(root)?;
    let outcome =
        |(name, rule): &Rule| Check::new(*name, rule(&tree).iter().map(ToString::to_string).collect());
    Ok(RULES.iter().map(outcome).collect())
}

/// Rewrites the ratchet so that it excuses no more than the code needs today.
pub(crate) fn lower_ratchet(root: &Path) -> Result<(), Error> {
    let lowered = sizes::lowered(&Tree::read(root)?)?;
    fs::write(root.join(sizes::RATCHET), lowered).doing(|| format!("writing {}", sizes::RATCHET))
}

/// A violation and its place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 if the finding is about the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks that `rule` finds exactly `expected` in a repository of these files.
#[cfg(test)]
#[track_caller]
fn check_rule(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)], expected: &[&str]) {
    let found: Vec<_> = rule(&Tree::of(files)).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}
