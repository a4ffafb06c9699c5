//! The last seal of a node, kept outside of the database.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cloakroom_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AuditError, KeyId, Seal, Signature};

/// A small file with the last seal of this node. Whoever puts an older copy of the database in its place, or cuts its end
/// off with the seals for it, cannot make the log reach this seal again.
#[derive(Clone, Debug)]
pub struct Anchor(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    seq: u64,
    hash: String,
    at: String,
    key: String,
    signature: String,
}

impl Anchor {
    /// The anchor at `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The seal in it; `None` where there is no file.
    ///
    /// # Errors
    /// [`AuditError`] where the file cannot be read, or is none.
    pub async fn read(&self) -> Result<Option<Seal>, AuditError> {
        let path = self.0.clone();
        on_a_thread(move || read(&path)).await
    }

    pub(crate) async fn write(&self, seal: &Seal) -> Result<(), AuditError> {
        let (path, seal) = (self.0.clone(), seal.clone());
        on_a_thread(move || write(&path, &seal)).await
    }
}

fn read(path: &Path) -> Result<Option<Seal>, AuditError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuditError::new(READ, error)),
    };
    let broken = || AuditError::new(READ, "the file holds no seal");
    let written: Written = serde_json::from_str(&text).map_err(|e| AuditError::new(READ, e))?;
    let mut signature = [0; Signature::LENGTH];
    for (index, byte) in signature.iter_mut().enumerate() {
        let digits = written.signature.get(index * 2..index * 2 + 2).ok_or_else(broken)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| broken())?;
    }
    Ok(Some(Seal {
        seq: written.seq,
        hash: written.hash.parse().map_err(|e| AuditError::new(READ, e))?,
        at: written.at.parse::<Timestamp>().map_err(|e| AuditError::new(READ, e))?,
        key: KeyId::from_stored(written.key),
        signature: Signature::from_bytes(signature),
    }))
}

fn write(path: &Path, seal: &Seal) -> Result<(), AuditError> {
    let written = Written {
        seq: seal.seq,
        hash: seal.hash.to_string(),
        at: seal.at.to_string(),
        key: seal.key.to_string(),
        signature: seal.signature.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let text = serde_json::to_vec(&written).map_err(|e| AuditError::new(WRITE, e))?;
    let fresh = path.with_extension("new");
    let written = std::fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    let done = written.and_then(|()| std::fs::rename(&fresh, path));
    done.map_err(|e| AuditError::new(WRITE, e))
}

/// Runs what blocks on the disk where that is allowed.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(AuditError::new("working on a thread", error)),
    }
}

const READ: &str = "reading the last seal";
const WRITE: &str = "writing the last seal";
