//! The rules, one file for each verb.

pub(crate) mod cancel;
mod corrupt;
mod count;
mod duel;
mod durable;
mod end;
mod end_all;
mod export;
mod get;
mod golden;
mod import;
mod insert;
mod limit;
mod list;
mod list_search;
mod race;
mod rekey;
mod replace;
mod shapes;
mod shared;
mod sweep;
mod touch;
mod unsupported;
mod watch;

use crate::case::Case;

/// Every rule there is.
pub(crate) const FILES: &[&[Case]] = &[
    insert::CASES,
    limit::CASES,
    get::CASES,
    replace::CASES,
    rekey::CASES,
    touch::CASES,
    end::CASES,
    end::OF_PRINCIPAL,
    end_all::CASES,
    list::CASES,
    list_search::CASES,
    count::CASES,
    sweep::CASES,
    import::CASES,
    import::LIMITED,
    export::CASES,
    shapes::CASES,
    golden::CASES,
    corrupt::CASES,
    corrupt::LISTED,
    durable::CASES,
    durable::NOT,
    shared::CASES,
    shared::LISTED,
    shared::LIMITED,
    shared::NOT,
    unsupported::LISTING,
    unsupported::LIMITS,
    unsupported::WATCH,
    watch::CASES,
    watch::LIMITED,
    watch::DURABLE,
    cancel::CASES,
    race::CASES,
    crate::model::CASES,
];
