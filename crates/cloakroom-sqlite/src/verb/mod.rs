//! What each verb does inside a transaction.

mod change;
mod count;
mod end;
mod find;
mod insert;
mod list;
mod moving;
mod revoke;
mod sweep;
mod touch;

pub(crate) use change::{Change, rekey, replace};
pub(crate) use count::count;
pub(crate) use end::end;
pub(crate) use find::get;
pub(crate) use insert::{Limit, insert};
pub(crate) use list::list;
pub(crate) use moving::{Arrival, export, import};
pub(crate) use revoke::{EntryRow, forget_revoked, last_revoked, revoke, revoked};
pub(crate) use sweep::{ping, sweep};
pub(crate) use touch::{sorted, touch};
