//! The engine, over a store in memory and over stores that misbehave.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod attributes;
mod ending;
mod guarded;
mod issuing;
mod limits;
mod measured;
mod near;
mod outage;
mod rotation;
mod sealed;
mod searching;
mod spans;
mod streams;
mod support;
mod telling;
mod time;
mod told_of_outages;
mod touches;
