//! `store …`: moving sessions between stores, and trying a store out.

mod check;
#[cfg(feature = "sealed")]
mod check_list;
mod finding;
mod migrate;
mod patience;
mod progress;

use super::{CliError, ExitCode, GlobalArgs, Host, StoreCommand};
use crate::config::{Config, StoreUrl};

/// Runs `store …`.
pub(super) async fn run(
    command: &StoreCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<ExitCode, CliError> {
    match command {
        StoreCommand::Migrate { from, to, offline } => {
            if global.store.is_some() {
                let cause = "--store names one store, and a move has two";
                return Err(CliError::usage(cause, "name them with --from and --to"));
            }
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
            if let (Some(url), Some(other)) = (url, &global.store)
                && url != other
            {
                let cause = "two stores are named: which is to be tried out?";
                return Err(CliError::usage(cause, "name one, without --store"));
            }
            let url = url.as_deref().map_or_else(|| Ok(config.store.clone()), |text| parse(text, "URL"))?;
            #[cfg(feature = "sealed")]
            if url.is_sealed() {
                return check_list::run(&url, config, global, host).await.map(|()| ExitCode::Done);
            }
            check::run(&url, config, global, host).await.map(|()| ExitCode::Done)
        }
    }
}

fn parse(text: &str, argument: &str) -> Result<StoreUrl, CliError> {
    StoreUrl::parse(text).map_err(|error| CliError::usage(format!("{argument}: {error}"), error.remedy()))
}
