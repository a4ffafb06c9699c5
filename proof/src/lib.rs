//! The promise of reach (G5) on real servers.
