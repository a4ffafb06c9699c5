//! The product in a real browser.

use std::time::Duration;

mod coming_and_going;
mod console;
mod cookie;
mod harness;
mod keyboard;
mod other_sites;
mod pages;
mod people;
mod restart;
mod sealed;
mod size;
mod still_there;
mod story;
mod without_script;

/// Longest wait for a browser to do what was asked of it.
const PATIENCE: Duration = Duration::from_secs(20);
