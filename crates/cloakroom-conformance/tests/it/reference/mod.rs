//! A store that is simple enough to be obviously right, and a switch for each way to be wrong.

mod change;
mod clear;
mod defect;
mod feed;
mod finish;
mod handle;
mod moving;
mod shelf;

pub(crate) use defect::{Defect, defects};
pub(crate) use handle::{Clearing, ReferenceHarness};
