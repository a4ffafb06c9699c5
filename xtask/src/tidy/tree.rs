//! The repository's files as text in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::source::Source;
use crate::error::{Doing as _, Error};

/// Files by their path from the root, with `/` between its parts.
#[derive(Debug, Default)]
pub(super) struct Tree {
    texts: BTreeMap<String, String>,
    /// Files that are not text, and directories (ending in `/`): for links to lead to.
    others: BTreeSet<String>,
}

impl Tree {
    /// Reads what is under `root`, except what is built or generated there.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self::default();
        tree.add_directory(root, "")?;
        Ok(tree)
    }

    /// A repository for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { texts, others: BTreeSet::new() }
    }

    /// All text files: path, content.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Text files whose name ends in `.extension`.
    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| extension_of(path) == Some(extension))
    }

    /// Rust files, as tokens.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.with_extension("rs").map(|(path, text)| Source::new(path, text))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or directory at `path`.
    pub(super) fn contains(&self, path: &str) -> bool {
        let directory = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self.texts.contains_key(path)
            || self.others.contains(path)
            || self.others.contains(&directory)
            || self.texts.keys().any(|file| file.starts_with(&directory))
    }

    fn add_directory(&mut self, directory: &Path, prefix: &str) -> Result<(), Error> {
        let listing = || format!("listing {}", directory.display());
        for entry in fs::read_dir(directory).doing(listing)? {
            let entry = entry.doing(listing)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type().doing(listing)?.is_dir() {
                if !LEFT_OUT.contains(&name.as_str()) {
                    self.add_directory(&entry.path(), &format!("{path}/"))?;
                    self.others.insert(format!("{path}/"));
                }
                continue;
            }
            let is_text = extension_of(&name).is_none_or(|extension| TEXT.contains(&extension));
            match fs::read(entry.path()).map(String::from_utf8) {
                Ok(Ok(text)) if is_text => self.texts.insert(path, text).is_some(),
                Ok(_) => self.others.insert(path),
                // A link that leads nowhere, or a file that went away while we looked.
                Err(_) => false,
            };
        }
        Ok(())
    }
}

fn extension_of(path: &str) -> Option<&str> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Directories that hold nothing written by hand.
const LEFT_OUT: &[&str] = &[".git", "target", "cloakroom-data", "corpus"];

/// Endings of files written by hand; a file without any ending is text if it reads as text.
const TEXT: &[&str] = &[
    "rs",
    "toml",
    "md",
    "html",
    "css",
    "js",
    "json",
    "sql",
    "lua",
    "txt",
    "yml",
    "yaml",
    "sh",
    "conf",
    "service",
    "svg",
    "gitignore",
    "gitattributes",
    "env",
    "cfg",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_everything_else_is_known_to_exist() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("src/lib.rs", b"//! Hello.\n");
        write("logo.png", b"\x89PNG");
        write("LICENSE", b"Do.\n");
        write("target/debug/out.rs", b"generated");
        fs::create_dir(root.path().join("empty")).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        assert_eq!(tree.texts().map(|(path, _)| path).collect::<Vec<_>>(), ["LICENSE", "src/lib.rs"]);
        for path in ["src/lib.rs", "src", "src/", "logo.png", "empty", "LICENSE", ""] {
            assert!(tree.contains(path), "{path}");
        }
        for path in ["src/li", "target/debug/out.rs", "logo"] {
            assert!(!tree.contains(path), "{path}");
        }
    }
}
