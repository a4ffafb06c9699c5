//! What a command gets from the process it runs in.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use cloakroom::{Clock, Random};
use zeroize::Zeroizing;

/// The process as commands see it: only the binary touches the real one.
pub struct Host<'a> {
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes random bytes.
    pub random: Arc<dyn Random>,
    /// How many cores there are.
    pub cores: usize,
    /// Standard input.
    pub stdin: &'a mut dyn BufRead,
    /// Standard output: what was asked for.
    pub stdout: &'a mut dyn Write,
    /// Standard error: everything else.
    pub stderr: &'a mut dyn Write,
    /// Whether somebody watches standard error: then long commands show how far they are.
    pub is_watched: bool,
    /// Asks for a secret without echo; `None` where nobody sits at a terminal.
    pub ask: Option<AskSecret>,
}

/// Shows a prompt and reads a line without echo.
pub type AskSecret = fn(&str) -> io::Result<String>;

impl Host<'_> {
    /// The first line of standard input, without its end.
    pub(super) fn read_secret_line(&mut self) -> io::Result<Zeroizing<String>> {
        // With room for any password: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_LINE_MAX_BYTES));
        let mut limited =
            io::Read::take(&mut *self.stdin, u64::try_from(SECRET_LINE_MAX_BYTES).unwrap_or(u64::MAX));
        limited.read_until(b'\n', &mut bytes)?;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(e) => Err(io::Error::new(io::ErrorKind::InvalidData, e)),
        }
    }
}

impl std::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Longer than any password that is accepted, with its line end.
const SECRET_LINE_MAX_BYTES: usize = 4_096;
