//! The one suite that every backend of the log passes.
