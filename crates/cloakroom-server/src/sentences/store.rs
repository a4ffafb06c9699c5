//! What a store is like, in sentences.

use cloakroom_store::Capabilities;

/// What a store of these capabilities means for people, one sentence for each. Nothing of sealed sessions, which no store
/// keeps: what holds of these is how far an end reaches.
pub(crate) fn of_store(store: &str, capabilities: Capabilities) -> Vec<&'static str> {
    if store == "sealed" {
        return Vec::new();
    }
    let Capabilities { durable, shared, listing, limits, .. } = capabilities;
    let sentence = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
    vec![
        sentence(
            durable,
            if store == "redis" {
                "What it acknowledged is there after a restart as far as its server writes it to disk (AOF)."
            } else {
                "What it acknowledged is there after a restart."
            },
            "It may forget sessions, at a restart or before: their users sign in again. What has ended stays ended.",
        ),
        sentence(
            shared,
            if store == "sqlite" {
                "Any number of servers on this machine may share it."
            } else {
                "Any number of servers may share it."
            },
            "It serves one server alone: behind a load balancer each user would have to stay with one server.",
        ),
        sentence(
            listing,
            "It can list and count sessions.",
            "It cannot list or count sessions: nobody can be shown who is signed in; ending them works.",
        ),
        sentence(
            limits,
            "It can limit the sessions of one person.",
            "It cannot limit the sessions of one person: `per_principal_max` has to be 0.",
        ),
    ]
}
