//! What a validation costs in this process: of one session again and again, and of all of them in no order, by one thread
//! and by two, in a small store and in a large one; and beside it the look-up in a map alone.
//!
//! Two ways: the memory store, and the near cache that stands before a shared one. Tokens are walked in an order that
//! was shuffled before, so that what is waited for is the session and not the token.

mod plot;
mod population;
mod turn;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, json};

use crate::child::Child;
use crate::effort::Effort;
use crate::error::Outcome;
use crate::report::Section;
use crate::statistics::median;
use crate::table::{Column, Comparison};

use population::Found;
use turn::Kind;

pub(crate) use population::{PopulationTask, run as population};

/// Validations in this process.
#[derive(Debug, Default, Args)]
pub(crate) struct Task {
    /// Only these ways
    #[arg(long = "way")]
    ways: Vec<Way>,
    /// Go up to this many sessions; ten million need 12 GiB
    #[arg(long)]
    up_to: Option<usize>,
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

/// Where the answer comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Way {
    /// The memory store.
    Memory,
    /// The near cache.
    Near,
}

impl Way {
    const ALL: [Self; 2] = [Self::Memory, Self::Near];

    fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Near => "near",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory store",
            Self::Near => "near cache",
        }
    }
}

/// Measures both ways, size by size.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let ways = if task.ways.is_empty() { Way::ALL.to_vec() } else { task.ways.clone() };
    let up_to = task.up_to.unwrap_or(effort.in_memory);
    let mut sizes: Vec<usize> = effort.sizes.iter().copied().filter(|size| *size <= up_to).collect();
    if sizes.last().is_none_or(|largest| *largest < up_to) {
        sizes.push(up_to);
    }
    let mut section = Section::default();
    let mut raw = Map::new();
    let mut all = Vec::new();
    for way in ways {
        for &size in &sizes {
            eprintln!("{}: {size} sessions …", way.name());
            let arguments = [
                format!("--way={}", way.word()),
                format!("--sessions={size}"),
                format!("--rounds={}", effort.rounds),
                format!("--look-ups={}", effort.look_ups / 4),
            ];
            let found: Found = Child::start("validate-population", arguments)?.hear()?;
            raw.insert(format!("{}, {size}", way.name()), json!(found));
            section.comparisons.extend(lines(way, &found, Some(&size) == sizes.last()));
            all.push((way, found));
        }
    }
    section.rounds = raw.into();
    if let Some(path) = &task.plot {
        plot::draw(path, &all)?;
    }
    Ok(section)
}

/// What is told of a size: everything of the largest, of the others the one that differs.
fn lines(way: Way, found: &Found, largest: bool) -> Vec<Comparison> {
    let mut lines = Vec::new();
    let size = found.sessions;
    for threads in [1, 2] {
        for (kind, what, reach) in [(Kind::Hot, "one session", 150.0), (Kind::Uniform, "any session", 450.0)]
        {
            if !largest && (threads > 1 || kind == Kind::Hot) {
                continue;
            }
            let Some(ours) = found.cost(threads, kind) else { continue };
            let by = if threads == 1 { "" } else { ", by two threads" };
            let floor = found.cost(threads, if kind == Kind::Hot { Kind::MapHot } else { Kind::MapUniform });
            let line = Comparison::new(format!("validate, {}: {what} of {size}{by}", way.name()), ours, "ns");
            let line = line.theirs(Column::Floor, floor);
            lines.push(if largest && threads == 1 { line.at_most(reach) } else { line });
        }
    }
    if largest {
        let allocations =
            median(found.turns.iter().filter(|turn| turn.kind == Kind::Hot).map(|turn| turn.allocations));
        lines.push(Comparison::new(
            format!("validate, {}: one session", way.name()),
            allocations,
            "allocations",
        ));
        if let Some(bytes) = found.bytes_each_entry {
            lines.push(Comparison::new(format!("near cache: an entry, of {size}"), bytes, "bytes"));
        }
    }
    lines
}
