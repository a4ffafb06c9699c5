//! What each verb does, one file for each kind.

mod change;
mod count;
mod desk;
mod end;
mod find;
mod import;
mod insert;
mod ping;
mod quick;
mod settle;
mod sweep;
mod touch;

pub(crate) use change::{rekey, replace};
pub(crate) use end::end;
pub(crate) use find::get;
pub(crate) use import::import;
pub(crate) use insert::insert;
pub(crate) use ping::ping;
pub(crate) use settle::Settling;
pub(crate) use sweep::{Passes, sweep};
pub(crate) use touch::{Noted, touch};
