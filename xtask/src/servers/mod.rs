//! `cargo xtask servers`: the real servers that the tests use, for using them by hand.
//!
//! Each is kept by a process of its own, which starts it, writes down what it started and then does nothing more. A server
//! never outlives its keeper, so stopping means ending the keeper. What runs is written down in `target/servers`.

mod keeper;
mod kind;
mod record;

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::{Args, Subcommand};
use cloakroom_servers::{Look, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use self::{
    kind::Kind,
    record::{Record, State},
};
use crate::error::{Doing as _, Error};

/// What to do with the servers. Without a name, all of them are meant.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Start servers that do not run yet, all at once, and print where they are
    Start(Start),
    /// Stop servers
    Stop { names: Vec<Kind> },
    /// Print what runs, and where it is
    Status {
        names: Vec<Kind>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Keep one server until this process ends
    #[command(hide = true)]
    Keep {
        name: Kind,
        /// End when standard input does
        #[arg(long)]
        attached: bool,
    },
}

/// How to start servers.
#[derive(Args)]
pub(crate) struct Start {
    names: Vec<Kind>,
    /// Stay, and stop them on Ctrl-C
    #[arg(long)]
    foreground: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Does it; the answer says whether all of the servers meant are as they should be.
pub(crate) fn run(target: &Path, action: &Action) -> Result<bool, Error> {
    let office = Office { directory: target.join("servers") };
    match action {
        Action::Start(start) => office.start(start),
        Action::Stop { names } => office.stop(all_if_none(names)),
        Action::Status { names, json } => {
            office.show(all_if_none(names), *json)?;
            Ok(true)
        }
        Action::Keep { name, attached } => keeper::keep(&office.directory, *name, *attached).map(|()| true),
    }
}

/// Where it is written down what runs.
struct Office {
    directory: PathBuf,
}

impl Office {
    fn start(&self, start: &Start) -> Result<bool, Error> {
        let names = all_if_none(&start.names);
        record::prepare(&self.directory)?;
        let mut keepers = Vec::new();
        let mut all_started = true;
        for name in names {
            match self.state(*name)? {
                State::Absent => keepers.push((*name, self.keeper(*name, start.foreground)?)),
                State::Running(_) => {}
                State::Harmed(_, lost) => {
                    eprintln!("{name} runs, but {lost} of its processes ended by themselves; stop it first");
                    all_started = false;
                }
            }
        }
        for (name, keeper) in &mut keepers {
            if let Err(failure) = self.wait_for(*name, keeper) {
                eprintln!("{name} was not started: {failure}");
                record::clear(&self.directory, *name)?;
                all_started = false;
            }
        }
        self.show(names, start.json)?;
        if start.foreground && !keepers.is_empty() {
            eprintln!("Ctrl-C stops them.");
            // Waiting for a child closes its input, and at the end of that a keeper ends: it is held until we end.
            let _inputs: Vec<_> = keepers.iter_mut().map(|(_, keeper)| keeper.stdin.take()).collect();
            for (_, keeper) in &mut keepers {
                keeper.wait().doing(|| "waiting for a keeper".to_owned())?;
            }
        }
        Ok(all_started)
    }

    /// A new keeper of `name`: one that ends when we do if it is `attached`, else one that stays.
    fn keeper(&self, name: Kind, attached: bool) -> Result<Child, Error> {
        let starting = || format!("starting a keeper of {name}");
        let log = record::open_log(&self.directory, name)?;
        let mut command = Command::new(own_program().doing(starting)?);
        command.args(["servers", "keep", &name.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone().doing(starting)?).stderr(log);
        if attached {
            // Ctrl-C is meant for us: a keeper that lives on tidies up when its input ends with us.
            command.arg("--attached").stdin(Stdio::piped()).process_group(0);
        }
        // Servers make their directories where temporary files go. One that refuses to run as root runs as another user,
        // who must get there.
        let data = record::data(&self.directory);
        if !rustix::process::geteuid().is_root() || cloakroom_servers::is_open_to_all(&data) {
            command.env("TMPDIR", data);
        }
        command.spawn().doing(starting)
    }

    fn wait_for(&self, name: Kind, keeper: &mut Child) -> Result<(), Error> {
        let pid = keeper.id();
        until(&format!("{name} to be ready"), PATIENCE, || match keeper.try_wait() {
            Err(error) => Look::NotYet(error.to_string()),
            Ok(Some(_)) => {
                let words = record::last_words(&self.directory, name);
                Look::Hopeless(cloakroom_servers::Failure::new("its keeper ended", words))
            }
            Ok(None) => match Record::read(&self.directory, name) {
                Ok(Some(record)) if record.keeper.pid == pid => Look::Done(()),
                Ok(_) => Look::NotYet("it is being started".to_owned()),
                Err(error) => Look::NotYet(error.to_string()),
            },
        })
        .doing(|| format!("keeping {name}"))
    }

    fn stop(&self, names: &[Kind]) -> Result<bool, Error> {
        let mut records = Vec::new();
        for name in names {
            match self.state(*name)? {
                State::Absent => {
                    record::clear(&self.directory, *name)?;
                    println!("{name} does not run");
                }
                State::Running(record) | State::Harmed(record, _) => {
                    record.signal_keeper(Signal::TERM);
                    records.push((*name, record));
                }
            }
        }
        let mut all_stopped = true;
        for (name, record) in records {
            match wait_for_end(name, &record) {
                Ok(()) => {
                    Record::remove(&self.directory, name)?;
                    record::clear(&self.directory, name)?;
                    println!("{name} is stopped");
                }
                Err(failure) => {
                    eprintln!("{name} was not stopped: {failure}");
                    all_stopped = false;
                }
            }
        }
        Ok(all_stopped)
    }

    fn show(&self, names: &[Kind], as_json: bool) -> Result<(), Error> {
        let mut rows = Vec::new();
        for name in names {
            rows.push((*name, self.state(*name)?));
        }
        if as_json {
            let rows: Vec<_> = rows.iter().map(|(name, state)| row(*name, state)).collect();
            println!("{:#}", json!(rows));
            return Ok(());
        }
        println!("{:<15} {:<12} store URL", "name", "state");
        for (name, state) in &rows {
            let url = state.record().map_or("", |record| record.url.as_str());
            println!("{:<15} {:<12} {url}", name.to_string(), state.to_string());
        }
        Ok(())
    }

    /// What of `name` runs. What was written down of servers that are all gone is forgotten.
    fn state(&self, name: Kind) -> Result<State, Error> {
        let state = State::of(Record::read(&self.directory, name)?);
        if matches!(state, State::Absent) {
            Record::remove(&self.directory, name)?;
        }
        Ok(state)
    }
}

/// Returns when its processes and their directories are gone. Wardens end the servers and remove what they wrote; a server that
/// they cannot end is ended here.
fn wait_for_end(name: Kind, record: &Record) -> cloakroom_servers::Outcome {
    let gone = || if record.runs() { Look::NotYet("it runs".to_owned()) } else { Look::Done(()) };
    until(&format!("{name} to be gone"), GRACE, gone).or_else(|_| {
        record.kill_all();
        until(&format!("{name} to be gone after SIGKILL"), GRACE, gone)
    })?;
    until(&format!("the data of {name} to be gone"), GRACE, || match record.leftover() {
        Some(directory) => Look::NotYet(format!("{} is there", directory.display())),
        None => Look::Done(()),
    })
}

fn row(name: Kind, state: &State) -> serde_json::Value {
    let record = state.record();
    json!({
        "name": name.to_string(),
        "state": state.to_string(),
        "url": record.map(|record| &record.url),
        "pids": record.map(|record| record.servers.iter().map(|server| server.pid).collect::<Vec<_>>()),
    })
}

fn all_if_none(names: &[Kind]) -> &[Kind] {
    if names.is_empty() { Kind::ALL } else { names }
}

/// This very program, to be run again as a keeper.
fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Sends a signal to a process that was just seen to be the one that is meant.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that has ended meanwhile needs none.
        let _ = kill_process(pid, signal);
    }
}

/// How long all of them may take to start, at the same time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait for processes to end.
const GRACE: Duration = Duration::from_secs(10);
