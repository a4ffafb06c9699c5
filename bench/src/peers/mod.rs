//! Side by side with others: the same handlers, over HTTP, in rounds that take turns.
//!
//! Each library's server is a process with one worker thread and a processor to itself; the load, Redis and this program
//! share another. What is told is the server's processor time for a request, relative to what the same web framework needs
//! for the same bytes without any session, in the same round. How fast it all went is in the JSON: it says as much about
//! the load as about the server.

mod build;
mod case;
mod commands;
mod inside;
mod load;
mod plot;
mod server;
mod subject;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, json};

use crate::affinity::{Processors, stay_on};
use crate::effort::Effort;
use crate::error::{Error, Outcome};
use crate::report::Section;
use crate::statistics::median;
use crate::table::{Column, Comparison};

use case::Case;
use commands::Commands;
use server::{Running, Spent};
use subject::{Library, SUBJECTS, Store};

pub(crate) use build::build_program;
pub(crate) use load::{LoadTask, run as load};

/// The comparison with other libraries.
#[derive(Debug, Default, Args)]
pub(crate) struct Task {
    /// Only those whose name contains this (those without sessions are always there)
    #[arg(long = "only")]
    only: Vec<String>,
    /// Leave out what needs no network: memory, allocations
    #[arg(long)]
    without_inside: bool,
    /// Where the programs lie, if they have been built already
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Draw what was found into this SVG file
    #[arg(long)]
    plot: Option<PathBuf>,
}

impl Task {
    /// Everything, drawn into a file of this name.
    pub(crate) fn drawn(plot: Option<PathBuf>) -> Self {
        Self { plot, ..Self::default() }
    }
}

/// What was found of each subject, in each case.
#[derive(Default)]
struct Found {
    spent: BTreeMap<(usize, Case), Vec<Spent>>,
    commands: BTreeMap<(usize, Case), Commands>,
}

/// Measures everybody.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let programs = task.programs.clone().map_or_else(build::build, Ok)?;
    let mut section = Section::default();
    let mut raw = Map::new();
    // A thread of its own: it stays on one processor, and so does what it starts.
    let found = std::thread::scope(|scope| scope.spawn(|| over_http(effort, task, &programs)).join());
    let found = found.unwrap_or_else(|_| Err(Error::new("comparing", "it panicked")))?;
    section.comparisons = found.comparisons();
    raw.insert("http".to_owned(), found.raw());
    if let Some(path) = &task.plot {
        plot::draw(path, &found)?;
    }
    if !task.without_inside {
        let (comparisons, told) = inside::measure(&programs, effort)?;
        section.comparisons.extend(comparisons);
        raw.insert("inside".to_owned(), told);
    }
    section.rounds = raw.into();
    Ok(section)
}

fn over_http(effort: Effort, task: &Task, programs: &Path) -> Outcome<Found> {
    let processors = Processors::allowed()?;
    stay_on(processors.rest)?;
    let mut all = Vec::new();
    for (index, subject) in SUBJECTS.iter().enumerate() {
        let name = subject.name();
        if subject.is_bare() || task.only.is_empty() || task.only.iter().any(|only| name.contains(only)) {
            eprintln!("{name} ({}) …", subject.variant);
            all.push((index, Running::start(*subject, programs, processors)?));
        }
    }
    let mut found = Found::default();
    for (index, running) in &mut all {
        for &case in running.subject.cases {
            if let Some(commands) = commands::count(running, case)? {
                found.commands.insert((*index, case), commands);
            }
        }
    }
    for round in 0..=effort.rounds {
        eprintln!("round {round} of {} …", effort.rounds);
        for case in Case::ALL {
            // The one before leaves something behind: it is not always the same one.
            all.reverse();
            for (index, running) in &mut all {
                if running.subject.cases.contains(&case) {
                    let spent = running.spend(case, effort.turn_milliseconds / 2)?;
                    // The first round warms up.
                    if round > 0 {
                        found.spent.entry((*index, case)).or_default().push(spent);
                    }
                }
            }
        }
    }
    Ok(found)
}

impl Found {
    /// What requests of this case cost this library with this store, against its web framework alone.
    fn ratio(&self, library: Library, store: Store, case: Case) -> Option<f64> {
        let turns = self.turns(library, store, case)?;
        let bare = self.turns(library.bare(), Store::None, case)?;
        Some(median(turns.iter().zip(bare).map(|(turn, bare)| turn.nanoseconds / bare.nanoseconds)))
    }

    fn turns(&self, library: Library, store: Store, case: Case) -> Option<&Vec<Spent>> {
        let of = |case| {
            let mut subjects = SUBJECTS.iter().enumerate();
            subjects.find_map(|(index, subject)| {
                let fits = subject.library == library && subject.store == store;
                fits.then(|| self.spent.get(&(index, case)))?
            })
        };
        of(asked(library, case))
    }

    fn commands(&self, library: Library, case: Case) -> Option<f64> {
        let of = |case| {
            let mut subjects = SUBJECTS.iter().enumerate();
            subjects.find_map(|(index, subject)| {
                (subject.library == library).then(|| self.commands.get(&(index, case)))?
            })
        };
        Some(of(asked(library, case))?.values().sum())
    }

    fn comparisons(&self) -> Vec<Comparison> {
        let mut comparisons = Vec::new();
        for store in [Store::Redis, Store::Memory, Store::Sqlite] {
            for case in Case::ALL {
                let Some(ours) = self.ratio(Library::Cloakroom, store, case) else { continue };
                let mut line = Comparison::new(format!("{store}: {case}"), ours, "× bare");
                for (column, library) in COLUMNS {
                    line = line.theirs(column, self.ratio(library, store, case));
                }
                comparisons.push(match aim(store, case) {
                    Some(aim) => line.at_most(aim),
                    None => line,
                });
            }
        }
        for case in Case::ALL {
            let Some(ours) = self.commands(Library::Cloakroom, case) else { continue };
            let mut line = Comparison::new(format!("Redis commands: {case}"), ours, "each request");
            for (column, library) in COLUMNS {
                line = line.theirs(column, self.commands(library, case));
            }
            comparisons.push(match commands_aim(case) {
                Some(aim) => line.at_most(aim),
                None => line,
            });
        }
        comparisons
    }

    fn raw(&self) -> serde_json::Value {
        let mut raw = Map::new();
        for ((index, case), turns) in &self.spent {
            let Some(subject) = SUBJECTS.get(*index) else { continue };
            let name = format!("{} ({}): {case}", subject.name(), subject.variant);
            let commands = self.commands.get(&(*index, *case));
            raw.insert(name, json!({ "turns": turns, "redis_commands_each_request": commands }));
        }
        raw.into()
    }
}

/// The case that was measured for this one: who keeps nothing between requests reads alike at all times.
fn asked(library: Library, case: Case) -> Case {
    if case == Case::ColdRead && library.keeps_nothing() { Case::WarmRead } else { case }
}

/// The values that the issue sets, against the bare handler.
fn aim(store: Store, case: Case) -> Option<f64> {
    match (store, case) {
        (Store::Redis, Case::WarmRead) => Some(1.1),
        (Store::Redis, Case::ColdRead) => Some(1.8),
        (Store::Redis, Case::Write | Case::WriteAgain) => Some(2.5),
        _ => None,
    }
}

/// The values that the issue sets, and promise G12.
fn commands_aim(case: Case) -> Option<f64> {
    match case {
        Case::NoCookie | Case::Unused | Case::WarmRead => Some(0.0),
        Case::ColdRead | Case::Write | Case::WriteAgain | Case::Rotate | Case::RotateAgain => Some(1.0),
        Case::SignIn => None,
    }
}

const COLUMNS: [(Column, Library); 4] = [
    (Column::TowerSessions, Library::TowerSessions),
    (Column::AxumSession, Library::AxumSession),
    (Column::ActixSession, Library::ActixSession),
    (Column::Floor, Library::RawRedis),
];
