//! Sealed sessions.
