//! The product in a real browser.

mod harness;
