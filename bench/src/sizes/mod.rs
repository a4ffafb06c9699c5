//! What verbs cost in a small store and in a large one: the same, if every one of them finds its way by an index.
//!
//! One caller at a time, straight at the store: what grows with the number of sessions shows here, and nowhere does a
//! queue hide it. Each store is filled step by step, and measured at each step.

mod level;
mod place;
mod plot;

use std::path::PathBuf;
use std::time::Duration;

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
    /// Only these sizes
    #[arg(long = "size")]
    sizes: Vec<usize>,
    /// Leave out a size that would take a store longer than this to reach, in minutes, at the pace of the one before
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    patience: u64,
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
    let mut sizes = if task.sizes.is_empty() { effort.sizes.to_vec() } else { task.sizes.clone() };
    // A store only grows.
    sizes.sort_unstable();
    let patience = Duration::from_secs(task.patience.saturating_mul(60));
    let mut section = Section::default();
    let mut raw = Map::new();
    let mut all = Vec::new();
    for store in stores {
        let found = measure_store(store, &sizes, patience)?;
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

fn measure_store(store: Where, sizes: &[usize], patience: Duration) -> Outcome<Found> {
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    // The server is started by the thread that stays, and ends after the store has let go of it.
    let place = Place::prepare(store)?;
    let levels = runtime.block_on(async {
        let subject = place.open().await?;
        let empty = place.weight()?;
        let mut population = Population::new(subject);
        let mut levels = Vec::new();
        for &size in sizes {
            let expected = population.time_to(size);
            if expected > patience {
                eprintln!("{store}: {size} sessions are left out, {} min to reach", expected.as_secs() / 60);
                break;
            }
            eprintln!("{store}: {size} sessions …");
            population.grow_to(size).await?;
            place.settle()?;
            let weight = place.weight()?.saturating_sub(empty).saturating_sub(place.own(&population));
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
