//! What has to be true of a near cache, whatever happens around it.

mod around;
mod conformance;
mod model;
mod orders;
mod simulation;
