//! How far a move is: for whoever watches, and for the next run.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom::Carried;
use cloakroom_store::ExportCursor;
use serde::{Deserialize, Serialize};

use crate::config::StoreUrl;

/// Where a move stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Bookmark {
    /// Both addresses as they are shown: without secrets, and enough to tell one move from another.
    from: String,
    to: String,
    /// The page to go on with, in the first pass.
    pub(super) cursor: Option<String>,
}

/// The file of a [`Bookmark`].
#[derive(Debug)]
pub(super) struct BookmarkFile {
    path: PathBuf,
    from: String,
    to: String,
}

impl BookmarkFile {
    pub(super) fn new(data_dir: &Path, from: &StoreUrl, to: &StoreUrl) -> Self {
        Self { path: data_dir.join("store-migration.json"), from: from.to_string(), to: to.to_string() }
    }

    /// Where the same move stopped; `None` where it has not begun. A file that cannot be read costs a pass, no session.
    pub(super) fn read(&self) -> Option<Bookmark> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let bookmark: Bookmark = serde_json::from_str(&text).ok()?;
        (bookmark.from == self.from && bookmark.to == self.to).then_some(bookmark)
    }

    pub(super) fn write(&self, next: Option<&ExportCursor>) -> std::io::Result<()> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let bookmark = Bookmark {
            from: self.from.clone(),
            to: self.to.clone(),
            cursor: next.map(|cursor| cursor.as_str().to_owned()),
        };
        let text = serde_json::to_vec(&bookmark)?;
        let fresh = self.path.with_extension("json.new");
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, &self.path)
    }

    pub(super) fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// One line that is written again and again.
#[derive(Debug)]
pub(super) struct ProgressLine {
    is_watched: bool,
    /// How many entries there are, about, where that is known.
    expected: Option<u64>,
    began: Duration,
    shown: Duration,
}

impl ProgressLine {
    pub(super) fn new(is_watched: bool, expected: Option<u64>, now: Duration) -> Self {
        Self { is_watched, expected, began: now, shown: now }
    }

    /// Shows how far it is, at most a few times a second.
    pub(super) fn show(&mut self, done: &Carried, now: Duration, out: &mut dyn Write) -> std::io::Result<()> {
        if !self.is_watched || now.saturating_sub(self.shown) < EVERY {
            return Ok(());
        }
        self.shown = now;
        write!(out, "\r\x1b[K{}", self.text(done.seen(), now))?;
        out.flush()
    }

    /// Leaves the line free for what comes.
    pub(super) fn clear(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.is_watched { write!(out, "\r\x1b[K") } else { Ok(()) }
    }

    fn text(&self, seen: u64, now: Duration) -> String {
        let millis = u64::try_from(now.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = seen.saturating_mul(1_000) / millis;
        let Some(expected) = self.expected else { return format!("{seen} entries, {rate} a second") };
        let left = expected.saturating_sub(seen);
        let ahead = match left.checked_div(rate) {
            Some(seconds) if left > 0 => format!(", about {seconds} s to go"),
            _ => String::new(),
        };
        format!("{seen} of about {} entries, {rate} a second{ahead}", expected.max(seen))
    }
}

const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_many_how_fast_and_how_long() {
        let line = ProgressLine::new(true, Some(10_000), Duration::from_secs(5));
        assert_eq!(
            line.text(2_000, Duration::from_secs(7)),
            "2000 of about 10000 entries, 1000 a second, about 8 s to go"
        );
        assert_eq!(line.text(10_001, Duration::from_secs(6)), "10001 of about 10001 entries, 10001 a second");
        assert_eq!(line.text(0, Duration::from_secs(5)), "0 of about 10000 entries, 0 a second");
        let line = ProgressLine::new(true, None, Duration::from_secs(5));
        assert_eq!(line.text(2_000, Duration::from_secs(7)), "2000 entries, 1000 a second");
    }

    #[test]
    fn a_bookmark_is_that_of_the_same_move_and_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let url = |path: &str| StoreUrl::Sqlite { path: Some(path.into()) };
        let file = BookmarkFile::new(dir.path(), &url("a"), &url("b"));
        assert_eq!(file.read(), None);
        file.write(Some(&ExportCursor::new("17").unwrap())).unwrap();
        assert_eq!(file.read().unwrap().cursor.as_deref(), Some("17"));
        assert_eq!(BookmarkFile::new(dir.path(), &url("a"), &url("c")).read(), None);
        std::fs::write(dir.path().join("store-migration.json"), "{").unwrap();
        assert_eq!(file.read(), None, "a damaged one is none");
        file.remove().unwrap();
        file.remove().unwrap();
    }
}
