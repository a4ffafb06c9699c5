//! A process and those that it started, as `/proc` shows them.

use std::fs;

/// The state of a process, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Stopped,
    /// It has ended, or there is none.
    Gone,
}

/// A process as it was seen once: known again even after its id was given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the machine was.
    pub started: u64,
}

impl Sighting {
    /// What process `pid` is now; `None` if there is none, or it has ended.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = stat(pid).filter(|stat| stat.state != State::Gone)?;
        Some(Self { pid, started: stat.started })
    }

    /// Whether that very process still runs.
    #[must_use]
    pub fn still_runs(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// One line of `/proc/PID/stat`.
struct Stat {
    state: State,
    parent: u32,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself contain any character.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = match fields.next()? {
        "Z" | "X" | "x" => State::Gone,
        "T" | "t" => State::Stopped,
        _ => State::Running,
    };
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { state, parent, started: fields.nth(STARTED - 3)?.parse().ok()? })
}

/// Where the start time stands, counted from the state: field 22 of proc(5), which counts from one and has two fields
/// before the state.
const STARTED: usize = 20;

/// The state of process `pid`.
pub(crate) fn state(pid: u32) -> State {
    stat(pid).map_or(State::Gone, |stat| stat.state)
}

/// All processes that descend from `pid`.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|process| Some((process, stat(process)?.parent)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        next += 1;
    }
    found.split_off(1)
}
