//! `store …`: moving sessions between stores, and trying a store out.

mod check;
#[cfg(feature = "sealed")]
mod check_list;
mod finding;
mod migrate;
mod progress;

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
            #[cfg(feature = "sealed")]
            if url.is_sealed() {
                return check_list::run(&url, config, global, host).await;
            }
            check::run(&url, config, global, host).await
        }
    }
}

fn parse(text: &str, argument: &str) -> Result<StoreUrl, CliError> {
    StoreUrl::parse(text).map_err(|error| CliError::usage(format!("{argument}: {error}"), error.remedy()))
}
