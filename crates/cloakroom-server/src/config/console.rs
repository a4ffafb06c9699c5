//! `[console]`: what staff sees.

use super::read::Reader;

/// What staff sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// Whether the role `support` sees from which addresses people signed in.
    pub support_sees_addresses: bool,
}

/// Reads the section.
pub(super) fn read_console(r: &mut Reader<'_>) -> ConsoleConfig {
    ConsoleConfig { support_sees_addresses: r.get("console.support_sees_addresses").unwrap_or_default() }
}
