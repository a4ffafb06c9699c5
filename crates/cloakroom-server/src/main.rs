//! The binary `cloakroom`: the one place that touches the system's clock, environment, arguments and streams.

#![expect(clippy::disallowed_methods, reason = "only the binary reads environment and arguments")]

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use cloakroom::{OsRandom, SystemClock};
use cloakroom_server::cli::{self, Cli, Command, Host};
use cloakroom_server::logging;
use cloakroom_server::serve::{Surroundings, serve};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut host = Host {
        environment: environment(),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(OsRandom),
        cores,
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout(),
        stderr: &mut io::stderr(),
        is_watched: io::stderr().is_terminal(),
        ask: terminal_prompt(),
    };
    let code = match &cli.command {
        Command::Serve(flags) => {
            match cli::load(&cli.global, flags.overrides(&cli.global), &host.environment) {
                Ok(loaded) => {
                    let surroundings = Surroundings {
                        telemetry: logging::start(&loaded.config),
                        clock: Arc::clone(&host.clock),
                        random: Arc::clone(&host.random),
                        cores,
                        effective: loaded.effective(),
                    };
                    run_server(loaded.config, surroundings)
                }
                Err(error) => cli::fail(&error, &mut host),
            }
        }
        _ => cli::run(&cli, &mut host),
    };
    ExitCode::from(code.as_u8())
}

fn run_server(config: cloakroom_server::config::Config, surroundings: Surroundings) -> cli::ExitCode {
    let served = tokio::runtime::Builder::new_multi_thread().enable_all().build().map(|runtime| {
        let served = runtime.block_on(async {
            let shutdown = terminated()?;
            Ok::<_, io::Error>(serve(config, surroundings, &mut io::stdout(), shutdown).await)
        });
        // A thread may hang in a file system that does not answer. Nothing is left to wait for.
        runtime.shutdown_timeout(LAST_MOMENT);
        served
    });
    let (cause, remedy) = match served {
        Ok(Ok(Ok(()))) => return cli::ExitCode::Done,
        Ok(Ok(Err(error))) => (error.cause().to_owned(), error.remedy().to_owned()),
        Ok(Err(error)) | Err(error) => (error.to_string(), "free memory or file descriptors".to_owned()),
    };
    // Where not even standard error takes anything, the exit code is all that is left.
    let _ = writeln!(io::stderr(), "error: {cause}\n  help: {remedy}");
    cli::ExitCode::Failed
}

/// Resolves when the process is asked to stop.
fn terminated() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The environment as text. Names that are none cannot be ours; a value that is none is seen to be wrong.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// How to ask for a secret, where somebody sits at a terminal.
fn terminal_prompt() -> Option<cli::AskSecret> {
    if io::stdin().is_terminal() { Some(ask) } else { None }
}

fn ask(prompt: &str) -> io::Result<String> {
    rpassword::prompt_password(prompt)
}

/// For how long threads are waited for that nobody needs any more.
const LAST_MOMENT: std::time::Duration = std::time::Duration::from_secs(2);
