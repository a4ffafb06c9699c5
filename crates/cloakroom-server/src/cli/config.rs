//! `config show`, `config check`.

use serde_json::{Map, Value, json};

use super::files;
use super::output::counted;
use super::{CliError, ConfigCommand, GlobalArgs, Host};
use crate::config::Loaded;

/// Runs `config …`. A configuration that cannot be used has been refused before; `check` opens the files that it names as well,
/// as the user who runs it.
pub(super) async fn run(
    command: ConfigCommand,
    loaded: &Loaded,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let unusable = match command {
        ConfigCommand::Check => files::unusable(&loaded.config).await,
        ConfigCommand::Show => Vec::new(),
    };
    match (command, global.json) {
        (ConfigCommand::Show, false) => write!(host.stdout, "{}", loaded.to_toml())?,
        (ConfigCommand::Show, true) => writeln!(host.stdout, "{:#}", effective_json(loaded))?,
        (ConfigCommand::Check, _) if !unusable.is_empty() => return Err(CliError::all(unusable)),
        (ConfigCommand::Check, false) => {
            let warnings = loaded.config.warnings();
            for warning in &warnings {
                writeln!(
                    host.stdout,
                    "warning: {}: {}\n  help: {}",
                    warning.key(),
                    warning.cause(),
                    warning.remedy()
                )?;
            }
            let count = u64::try_from(warnings.len()).unwrap_or(u64::MAX);
            writeln!(host.stdout, "The configuration can be used; {}.", counted(count, "warning"))?;
        }
        (ConfigCommand::Check, true) => {
            writeln!(host.stdout, "{:#}", json!({ "warnings": warnings_json(loaded) }))?
        }
    }
    Ok(())
}

/// What is weak, for programs.
pub(super) fn warnings_json(loaded: &Loaded) -> Vec<Value> {
    let warnings = loaded.config.warnings();
    let object =
        |w: &crate::config::Warning| json!({ "key": w.key(), "cause": w.cause(), "remedy": w.remedy() });
    warnings.iter().map(object).collect()
}

fn effective_json(loaded: &Loaded) -> Value {
    let keys = loaded.effective().into_iter().map(|key| {
        let value =
            key.value().map_or(Value::Null, |value| serde_json::to_value(value).unwrap_or(Value::Null));
        (key.key(), json!({ "value": value, "source": key.source().to_string() }))
    });
    Value::Object(keys.collect::<Map<_, _>>())
}
