//! What holds of sessions that travel sealed in their cookies, in sentences.

use cloakroom::{ListState, SealedPolicy, SealedState, WhenUnreachable};

use crate::config::{Config, Replay, StoreUrl, format_duration};

/// What is kept where, how an end reaches, and what is lost.
pub(super) fn of_sealed(config: &Config, state: &SealedState) -> Vec<String> {
    let mut sentences = vec![
        "Sessions travel sealed in their cookies: no record of them is kept anywhere.".to_owned(),
        format!(
            "A cookie has {COOKIE_BYTES} bytes for everything in it, some 2,800 of them for attributes: a session that would outgrow \
             it stays as it was, whatever `attributes_max_bytes` says."
        ),
    ];
    match &state.list {
        Some(list) => sentences.extend(of_list(config, list)),
        None => sentences.extend(without_list()),
    }
    sentences.push(match (config.sealed.replay, state.list.is_some()) {
        (_, false) => {
            "A copy of a cookie works whenever it was taken: exchanging a token leaves the old one alive."
                .to_owned()
        }
        (Replay::Rotations, true) => {
            "A copy of a cookie from before its token was exchanged is refused; one from before a mere \
                                      change of attributes brings back the session as it was then."
                .to_owned()
        }
        (Replay::Changes, true) => {
            "A copy of a cookie from before its token was exchanged, or before any change, is refused."
                .to_owned()
        }
    });
    sentences.push(
        "Of changes that a client makes at the same moment, the last answer to reach it holds.".to_owned(),
    );
    sentences.push(
        "Nobody can list or count sessions, or limit those of one person; detection and accounts work as ever.".to_owned(),
    );
    sentences
}

fn of_list(config: &Config, list: &ListState) -> Vec<String> {
    let place = config.store.revocations().map_or_else(|| list.kind.to_owned(), StoreUrl::to_string);
    let lease = format_duration(list.lease);
    let mut sentences = vec![format!(
        "What was ended is written down in {place}, for as long as any cookie may live: {} at most.",
        format_duration(SealedPolicy::default().longest_life(&config.policy))
    )];
    sentences.push(match (list.standing.durable, list.standing.shared) {
        (true, true) if list.kind == "redis" => {
            "Any number of servers may share that list. What it acknowledged is there after a restart as far as its server writes \
             it to disk (AOF)."
        }
        (true, true) if list.kind == "sqlite" => {
            "Any number of servers on this machine may share that list, and it is there after a restart."
        }
        (true, true) => "Any number of servers may share that list, and it is there after a restart.",
        (true, false) => "That list is there after a restart. It serves one server alone.",
        (false, true) => {
            "Any number of servers may share that list. A restart of where it is kept forgets it: servers that run meanwhile write \
             it down again."
        }
        (false, false) => {
            "That list is in this server's memory: a restart forgets it, and everybody signs in again. Another server never knows \
             of it."
        }
    }
    .to_owned());
    sentences.push(
        "The sessions are in cookies, their ends are in the list: keep both, and move both. A list that is found empty ends every \
         session from before: everybody signs in again. An older copy of it revives what it lacks."
            .to_owned(),
    );
    sentences.push(format!(
        "Every server keeps a copy of that list and believes it for {lease} without hearing from the list: a session that was \
         ended is refused by every server within {lease}, and normally within milliseconds. All servers need the same \
         `near_cache.lease`."
    ));
    sentences.push(match list.when_unreachable {
        WhenUnreachable::Closed => format!(
            "While the list cannot be read, sessions are unavailable {lease} later: nobody is signed out, and nobody let in."
        ),
        WhenUnreachable::Open => "While the list cannot be read, sessions go on by what was last known of it: one that was ended \
                                  meanwhile, on another server, is accepted."
            .to_owned(),
    });
    sentences
}

fn without_list() -> Vec<String> {
    vec![
        "There is no list of ends: NOTHING CAN BE ENDED before its time. Signing out removes the cookie from one \
         browser. Another password, other roles and a disabled account reach nobody who is signed in, and neither does an \
         administrator."
            .to_owned(),
        "Only other keys end sessions, and then everybody's: `cloakroom keys rotate --revoke-all`.".to_owned(),
    ]
}

/// Name, value and attributes together.
const COOKIE_BYTES: usize = 4_096;
