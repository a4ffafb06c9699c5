//! The console: what those who run this server see and do.
//!
//! Pages are thin: what they show and do comes from the service functions of `web::admin`, which the API uses too.

pub(in crate::web) mod accounts;
pub(in crate::web) mod acts;
pub(in crate::web) mod audit;
pub(in crate::web) mod changes;
mod chart;
mod ending;
mod events;
mod filter;
pub(in crate::web) mod live;
mod notices;
pub(in crate::web) mod overview;
mod paths;
pub(in crate::web) mod person;
mod proof;
mod rows;
pub(in crate::web) mod session;
pub(in crate::web) mod sessions;
pub(in crate::web) mod settings;
mod shell;
mod words;

pub(in crate::web::pages) use self::shell::staff_duty;
use self::shell::{Section, Shell};
