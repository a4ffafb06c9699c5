//! What verbs cost in a small store and in a large one: the same, if every one of them finds its way by an index.
//!
//! One caller at a time, straight at the store: what grows with the number of sessions shows here, and nowhere does a
//! queue hide it. Each store is filled step by step, and measured at each step.

mod level;
mod place;
mod plot;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, json};
use tokio::runtime::Builder;

use crate::effort::Effort;
use crate::error::{Doing as _, Outcome};
use crate::report::{Row, Section};
use crate::statistics::{each, number};

use level::{Level, Operation, Population};
pub(crate) use place::{Place, Where};

/// Cost against size.
#[derive(Debug, Args)]
pub(crate) struct Task {
    /// Only these stores
    #[arg(long = "store")]
    stores: Vec<Where>,
    /// Go up to this many sessions
    #[arg(long)]
    up_to: Option<usize>,
    /// Draw what was found into this SVG file
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// What was found for a store.
struct Found {
    store: Where,
    levels: Vec<Level>,
}

/// Measures store by store, size by size.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let stores = if task.stores.is_empty() { Where::ALL.to_vec() } else { task.stores.clone() };
    let up_to = task.up_to.unwrap_or(usize::MAX);
    let sizes: Vec<usize> = effort.sizes.iter().copied().filter(|size| *size <= up_to).collect();
    let mut section = Section::default();
    let mut raw = Map::new();
    let mut all = Vec::new();
    for store in stores {
        let found = measure_store(store, &sizes)?;
        section.rows.extend(rows(&found));
        raw.insert(store.to_string(), json!(found.levels));
        all.push(found);
    }
    section.rounds = raw.into();
    if let Some(path) = &task.plot {
        plot::draw(path, &all)?;
    }
    Ok(section)
}

fn measure_store(store: Where, sizes: &[usize]) -> Outcome<Found> {
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    // The server is started by the thread that stays, and ends after the store has let go of it.
    let place = Place::prepare(store)?;
    let levels = runtime.block_on(async {
        let subject = place.open().await?;
        let empty = place.weight()?;
        let mut population = Population::new(subject);
        let mut levels = Vec::new();
        for &size in sizes {
            eprintln!("{store}: {size} sessions …");
            population.grow_to(size).await?;
            let weight = place.weight()?.saturating_sub(empty);
            levels.push(Level { size, weight, costs: population.measure().await? });
        }
        Ok(levels)
    })?;
    Ok(Found { store, levels })
}

fn rows(found: &Found) -> Vec<Row> {
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        for level in &found.levels {
            if let Some(cost) = level.costs.get(&operation) {
                let what = format!("{}: {operation}, of {}", found.store, level.size);
                rows.push(Row::new(what, cost.median_microseconds(), "µs"));
            }
        }
    }
    if let Some(largest) = found.levels.last() {
        let weight = each(number(largest.weight), largest.size);
        rows.push(Row::new(
            format!("{}: weight, of {}", found.store, largest.size),
            weight,
            "bytes a session",
        ));
    }
    rows
}
