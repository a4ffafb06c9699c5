//! What can go wrong with the log.

use std::error::Error;

/// The log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("audit log: {op} failed")]
pub struct AuditError {
    op: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl AuditError {
    /// `op` failed because of `source`.
    pub fn new(op: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { op, source: Some(source.into()) }
    }
}
