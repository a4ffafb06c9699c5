//! `store …`: moving sessions between stores, and trying a store out.

mod check;
mod migrate;
mod progress;

use cloakroom_store::Capabilities;

use super::{CliError, GlobalArgs, Host, StoreCommand};
use crate::config::{Config, StoreUrl};

/// Runs `store …`.
pub(super) async fn run(
    command: &StoreCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    match command {
        StoreCommand::Migrate { from, to, offline } => {
            let from = match (from, &config.store_moving_from) {
                (Some(text), _) => parse(text, "--from")?,
                (None, Some(url)) => url.clone(),
                (None, None) => {
                    return Err(CliError::usage(
                        "nothing says where sessions live now",
                        "name it with --from, or set `store_moving_from`",
                    ));
                }
            };
            let to = to.as_deref().map_or_else(|| Ok(config.store.clone()), |text| parse(text, "--to"))?;
            if !offline {
                migrate::check_servers(&from, &to, config)?;
            }
            migrate::run(&from, &to, config, global, host).await
        }
        StoreCommand::Check { url } => {
            let url = url.as_deref().map_or_else(|| Ok(config.store.clone()), |text| parse(text, "URL"))?;
            check::run(&url, config, global, host).await
        }
    }
}

/// What a store of these capabilities means for people, one sentence for each.
pub(in crate::cli) fn sentences(store: &str, capabilities: Capabilities) -> Vec<&'static str> {
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

fn parse(text: &str, argument: &str) -> Result<StoreUrl, CliError> {
    StoreUrl::parse(text).map_err(|error| CliError::usage(format!("{argument}: {error}"), error.remedy()))
}
