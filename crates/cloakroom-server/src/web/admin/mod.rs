//! What staff sees and does. API and console both come through here, and nowhere else.
//!
//! Every function takes the [`Staff`](super::staff::Staff) who asks and demands their right again; hides what they may
//! not see; and writes what they do to the audit log, before and after ([`act`]).

mod accounts;
mod act;
mod count;
mod end;
mod export;
mod latency;
mod live;
mod look;
mod places;
mod principal;
mod stats;
mod why;

pub(in crate::web) use accounts::{AccountChanged, AccountQuery, NewPerson, NewSecret};
pub(in crate::web) use act::AUDIT_UNAVAILABLE;
pub(in crate::web) use count::Expected;
pub(in crate::web) use end::{Revocations, Selection, Settle};
pub(in crate::web) use latency::Latency;
pub(in crate::web) use live::LiveEvent;
pub(in crate::web) use look::{AttributeSize, SessionLook, Values};
pub(in crate::web) use places::OpenStreams;
pub(in crate::web) use principal::{PrincipalLook, PrincipalQuery};
pub(in crate::web) use stats::{Health, Stats, StatsMemory, StoreHealth, Window};
pub(in crate::web) use why::Why;
