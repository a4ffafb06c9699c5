//! What can be chosen.

/// How much a [`MemoryStore`](crate::MemoryStore) may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Most bytes for sessions and what is left of them; see the [crate documentation](crate#memory).
    pub max_bytes: usize,
}

impl MemoryOptions {
    /// Room for about a million small sessions.
    pub const DEFAULT_MAX_BYTES: usize = 256 << 20;

    /// The same with room for this many bytes.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { max_bytes: Self::DEFAULT_MAX_BYTES }
    }
}
