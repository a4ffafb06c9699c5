//! The command line: `serve`, `users`, `sessions`, `keys`, `store`, `audit`, `doctor`, `config`, `openapi`.
//!
//! Output is for people, or with `--json` for programs. Errors go to standard error, one line of cause and one of
//! remedy. Exit codes: 0 done, 1 failed, 2 wrong usage; from `store migrate` also 3, begun: a time that it names has
//! to pass first.

mod args;
mod audit;
mod config;
mod doctor;
mod error;
mod files;
mod host;
mod journal;
#[cfg(feature = "sealed")]
mod keys;
mod nearest;
mod output;
mod sessions;
mod store;
mod users;

pub use args::{
    AuditCommand, AuditFormat, Cli, Command, ConfigCommand, ExportArgs, GlobalArgs, PasswordArgs, ServeArgs,
    SessionsCommand, SettlingArgs, StoreCommand, UsersCommand,
};
pub(crate) use error::with_sources;
pub use error::{CliError, ExitCode};
pub use host::{AskSecret, Host};
#[cfg(feature = "sealed")]
pub use keys::KeysCommand;
pub(crate) use output::counted;

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::config::{DEFAULT_FILE, Loaded, Overrides, Sources};

/// Runs one command to its end.
pub fn run(cli: &Cli, host: &mut Host<'_>) -> ExitCode {
    dispatch(cli, host).unwrap_or_else(|error| fail(&error, host))
}

/// Says why a command failed, and how the process ends.
pub fn fail(error: &CliError, host: &mut Host<'_>) -> ExitCode {
    // Where not even standard error takes anything, the exit code is all that is left.
    let _ = host.stderr.write_all(error.render().as_bytes());
    error.code()
}

/// Loads the configuration that a command runs under: the file that `global` names or the default one, the
/// environment, and flags.
///
/// # Errors
/// [`CliError`] with everything that is wrong with it.
pub fn load(
    global: &GlobalArgs,
    overrides: Overrides,
    environment: &[(String, String)],
) -> Result<Loaded, CliError> {
    let sources = Sources { file: read_file(global)?, environment: environment.to_vec(), overrides };
    Ok(Loaded::from_sources(&sources)?)
}

fn dispatch(cli: &Cli, host: &mut Host<'_>) -> Result<ExitCode, CliError> {
    let loaded = load(&cli.global, cli.global.overrides(), &host.environment)?;
    let done = match &cli.command {
        Command::Config(command) => block_on(config::run(*command, &loaded, &cli.global, host)),
        Command::Users(command) => block_on(users::run(command, &loaded.config, &cli.global, host)),
        Command::Sessions(command) => block_on(sessions::run(command, &loaded.config, &cli.global, host)),
        Command::Store(command) => {
            return block_on(store::run(command, &loaded.config, &cli.global, host));
        }
        Command::Audit(command) => block_on(audit::run(command, &loaded.config, &cli.global, host)),
        #[cfg(feature = "sealed")]
        Command::Keys(command) => block_on(keys::run(command, &loaded.config, &cli.global, host)),
        Command::Openapi => {
            let description = crate::web::description().to_pretty_json();
            let text = description
                .map_err(|error| CliError::failed(error.to_string(), "report this as a defect"))?;
            Ok(writeln!(host.stdout, "{text}")?)
        }
        // The binary runs it: it needs the process's own streams and signals for as long as it lives.
        Command::Serve(_) => {
            Err(CliError::usage("the server is not a command that returns", "run the binary"))
        }
        Command::Doctor => block_on(doctor::run(&loaded, &cli.global, host)),
    };
    done.map(|()| ExitCode::Done)
}

fn read_file(global: &GlobalArgs) -> Result<Option<(PathBuf, String)>, CliError> {
    let path = global.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(e) if e.kind() == ErrorKind::NotFound && global.config.is_none() => Ok(None),
        Err(e) => {
            let cause = format!("the configuration file {} cannot be read: {e}", path.display());
            Err(CliError::failed(cause, "name a readable file with --config"))
        }
    }
}

/// Runs a command's async part on this thread.
fn block_on<T>(command: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CliError::from)?.block_on(command)
}
