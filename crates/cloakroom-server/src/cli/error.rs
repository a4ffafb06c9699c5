//! How commands fail: one line of cause, one line of remedy, and an exit code.

use std::fmt::Write as _;

use cloakroom_audit::AuditError;
use cloakroom_store::{ErrorKind, StoreError};

use crate::accounts::AccountError;
use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    code: ExitCode,
    /// Causes, and what to do about each where its words do not say so themselves.
    lines: Vec<(String, Option<String>)>,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitCode {
    /// It did what was asked.
    Done,
    /// It could not.
    Failed,
    /// It was asked something that makes no sense.
    Usage,
    /// It began what only time finishes, and said when that will be.
    Begun,
}

impl ExitCode {
    /// The number for the system: 0, 1, 2 or 3.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Begun => 3,
        }
    }
}

impl CliError {
    pub(super) fn failed(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: ExitCode::Failed, lines: vec![(cause.into(), Some(remedy.into()))] }
    }

    pub(super) fn usage(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, lines: vec![(cause.into(), Some(remedy.into()))] }
    }

    /// Several failures as one.
    pub(super) fn all(errors: Vec<Self>) -> Self {
        let lines = errors.into_iter().flat_map(|error| error.lines).collect();
        Self { code: ExitCode::Failed, lines }
    }

    /// The same failure, of a command that had done this much.
    pub(super) fn after(mut self, done: &str) -> Self {
        if let Some((cause, _)) = self.lines.first_mut() {
            *cause = format!("{done}, but then: {cause}");
        }
        self
    }

    /// How the command ends.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// The lines for standard error.
    #[must_use]
    pub fn render(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, (cause, remedy)| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "error: {cause}");
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "  help: {remedy}");
            }
            text
        })
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let lines =
            error.problems().iter().map(|problem| (problem.to_string(), Some(problem.remedy().to_owned())));
        Self { code: ExitCode::Failed, lines: lines.collect() }
    }
}

impl From<AccountError> for CliError {
    fn from(error: AccountError) -> Self {
        Self::failed(with_sources(&error), error.remedy())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        if error.kind() == ErrorKind::Unsupported {
            let cause = format!("the {} store cannot {} sessions", error.store(), error.verb());
            return Self::failed(
                cause,
                "use a store that can; `cloakroom store check` says what this one lacks",
            );
        }
        if error.has_remedy() {
            return Self { code: ExitCode::Failed, lines: vec![(with_sources(&error), None)] };
        }
        Self::failed(
            with_sources(&error),
            "check the store's address, its disk and its permissions; see `cloakroom doctor`",
        )
    }
}

impl From<AuditError> for CliError {
    fn from(error: AuditError) -> Self {
        Self::failed(
            with_sources(&error),
            "check the audit log's database, its disk and its permissions; see `cloakroom doctor`",
        )
    }
}

impl From<std::io::Error> for CliError {
    /// Whoever reads the output and has enough of it (`cloakroom … | head`) closes the pipe: nothing failed.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: ExitCode::Done, lines: Vec::new() };
        }
        Self::failed(
            format!("input or output failed: {error}"),
            "check where this command reads from and writes to",
        )
    }
}

/// An error and what caused it, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text.replace('\n', " ")
}
