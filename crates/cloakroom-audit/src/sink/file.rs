//! JSON lines in a file.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{AuditRow, EventObject};

/// A file that grows by a line for each event. Whoever rotates it moves it away: the next event opens a new one.
#[derive(Debug)]
pub(super) struct Lines {
    path: Arc<PathBuf>,
    open: Arc<Mutex<Option<File>>>,
}

impl Lines {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), open: Arc::default() }
    }

    pub(super) async fn append(&self, rows: Arc<[AuditRow]>) -> io::Result<()> {
        let (path, open) = (Arc::clone(&self.path), Arc::clone(&self.open));
        let written = tokio::task::spawn_blocking(move || append(&path, &mut open.lock(), &rows));
        written.await.map_err(io::Error::other)?
    }
}

fn append(path: &Path, open: &mut Option<File>, rows: &[AuditRow]) -> io::Result<()> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &EventObject::from(row))?;
        text.push(b'\n');
    }
    if !open.as_ref().is_some_and(|file| is_at(file, path)) {
        *open = Some(appendable(path)?);
    }
    let Some(file) = open else { return Err(io::ErrorKind::NotFound.into()) };
    // One call for whole lines: another process that appends to the same file does so between them.
    file.write_all(&text).inspect_err(|_| *open = None)
}

fn appendable(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether the open file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
