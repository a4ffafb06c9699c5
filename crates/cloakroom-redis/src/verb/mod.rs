//! One file for each verb: what a script is called with, and what its answer means.

mod change;
mod count;
mod end;
mod export;
mod get;
mod import;
mod insert;
mod list;
mod ping;
mod sweep;
mod touch;

pub(crate) use change::{rekey, replace};
pub(crate) use count::count;
pub(crate) use end::end;
pub(crate) use export::export;
pub(crate) use get::get;
pub(crate) use import::import;
pub(crate) use insert::insert;
pub(crate) use list::list;
pub(crate) use ping::{clock, ping, ping_each};
pub(crate) use sweep::sweep;
pub(crate) use touch::touch;
