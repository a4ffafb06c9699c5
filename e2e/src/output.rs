//! What a test leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Outcome, programs};

/// The places a test writes to, emptied when it starts.
#[derive(Debug)]
pub struct Output {
    artifacts: PathBuf,
    screenshots: PathBuf,
    secrets: PathBuf,
    noted: Mutex<BTreeSet<String>>,
}

impl Output {
    pub(crate) fn of(test: &str) -> Outcome<Self> {
        let root = programs::output_directory()?;
        let output = Self {
            artifacts: root.join("artifacts").join(test),
            screenshots: root.join("screenshots"),
            secrets: root.join("secrets").join(format!("{test}.txt")),
            noted: Mutex::default(),
        };
        if output.artifacts.exists() {
            fs::remove_dir_all(&output.artifacts)?;
        }
        for directory in [Some(&*output.artifacts), Some(&*output.screenshots), output.secrets.parent()] {
            fs::create_dir_all(directory.unwrap_or(Path::new(".")))?;
        }
        fs::write(&output.secrets, "")?;
        Ok(output)
    }

    /// Where the server's data, logs and scraped pages go: none of it may contain a secret.
    #[must_use]
    pub fn artifacts(&self) -> &Path {
        &self.artifacts
    }

    /// Where screenshots go.
    #[must_use]
    pub fn screenshots(&self) -> &Path {
        &self.screenshots
    }

    /// Notes a secret that was used, so that the artifacts are searched for it.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn note_secret(&self, secret: &str) -> Outcome {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.insert(secret.to_owned()) {
            let lines: String = noted.iter().flat_map(|secret| [secret, "\n"]).collect();
            fs::write(&self.secrets, lines)?;
        }
        Ok(())
    }

    /// Keeps something a server said, for the search.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep(&self, name: &str, content: impl AsRef<[u8]>) -> Outcome {
        Ok(fs::write(self.artifacts.join(name), content)?)
    }
}
