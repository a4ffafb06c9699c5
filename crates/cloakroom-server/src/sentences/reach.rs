//! How fast the end of a session reaches every server, in sentences.

use cloakroom::{Because, Reach, Sessions};

use crate::config::{Config, format_bytes, format_duration};

/// The bound that is in force for the configured store, and on what it rests.
pub(crate) fn of_reach(config: &Config, sessions: &Sessions) -> Vec<String> {
    let lease = format_duration(config.near_cache.lease());
    match sessions.reach() {
        Reach::NearCache(near) => vec![
            format!(
                "A session that was ended is refused by every server within {lease}, and normally within milliseconds: each keeps up \
                 to {} of sessions in memory and believes them for {lease} at most without hearing from the store.",
                format_bytes(near.max_bytes)
            ),
            "All servers of one store need the same `near_cache.lease`: the longest one is the bound for all.".to_owned(),
        ],
        Reach::Sealed(state) => super::sealed::of_sealed(config, &state),
        Reach::EveryReadAsks { because: Because::SwitchedOff } => vec![format!(
            "The near cache is off: every request of this server asks the store. Other servers of the store may believe their memory \
             for {lease}."
        )],
        Reach::EveryReadAsks { because: Because::Untold } if config.store_moving_from.is_some() => {
            vec!["While a server knows two stores, every request asks them: what was ended is refused at once.".to_owned()]
        }
        Reach::EveryReadAsks { because: Because::Untold } => vec![
            "This store tells nobody of changes: every request asks it, and what was ended is refused at once.".to_owned(),
        ],
        _ => vec!["The store belongs to one server: what was ended is refused at once.".to_owned()],
    }
}
