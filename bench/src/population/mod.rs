//! Many sessions: what one weighs, and what asking for one costs.

mod fill;
mod look_up;

use std::fs;
use std::path::Path;

use clap::Args;
use cloakroom::{Policy, Sessions};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::child::{Child, say};
use crate::effort::Effort;
use crate::error::{Doing as _, Outcome};
use crate::report::{Row, Section};
use crate::statistics::{each, median, number};
use crate::stores::Kind;

use fill::{TOUCH_INTERVAL, Weight};
use look_up::Turn;

/// A store to fill with sessions and to ask for them.
#[derive(Clone, Debug, Args)]
pub(crate) struct Task {
    /// Where they live
    #[arg(long)]
    store: Kind,
    /// How many
    #[arg(long)]
    sessions: usize,
    /// How often everything takes its turn
    #[arg(long)]
    rounds: usize,
    /// Look-ups in a turn
    #[arg(long)]
    look_ups: usize,
    /// Nobody is signed in
    #[arg(long)]
    anonymous: bool,
    /// Metrics are collected, as by a server, not dropped
    #[arg(long)]
    metrics: bool,
}

/// What a population tells.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    weight: Weight,
    disk_bytes: Option<u64>,
    find_token: Vec<Turn>,
    hot: Vec<Turn>,
    uniform: Vec<Turn>,
    map_hot: Vec<Turn>,
    map_uniform: Vec<Turn>,
}

/// Measures every population, one after the other.
pub(crate) fn measure(effort: Effort) -> Outcome<Section> {
    let rounds = effort.rounds;
    let signed_in = Task {
        store: Kind::Memory,
        sessions: effort.in_memory,
        rounds,
        look_ups: effort.look_ups,
        anonymous: false,
        metrics: false,
    };
    let anonymous = Task { anonymous: true, ..signed_in.clone() };
    let with_metrics = Task { metrics: true, ..signed_in.clone() };
    let sqlite = Task {
        store: Kind::Sqlite,
        sessions: effort.in_sqlite,
        look_ups: effort.look_ups / SQLITE_IS_SLOWER,
        ..signed_in.clone()
    };
    let mut section = Section::default();
    let mut raw = Map::new();
    for task in [signed_in, anonymous, with_metrics, sqlite] {
        eprintln!("{} …", task.name());
        let found = task.run_elsewhere()?;
        section.rows.extend(task.rows(&found));
        raw.insert(task.name(), json!(found));
    }
    section.rounds = raw.into();
    Ok(section)
}

/// The role of a population: fills the store, asks, tells, and ends.
pub(crate) fn run(task: &Task) -> Outcome {
    let directory = TempDir::with_prefix("cloakroom-bench-").doing("making a directory")?;
    if task.metrics {
        PrometheusBuilder::new().install_recorder().doing("installing a recorder of metrics")?;
    }
    let store = task.store.open(directory.path())?;
    let policy = Policy::default().with_touch_interval(TOUCH_INTERVAL);
    let sessions = Sessions::builder_shared(store).policy(policy).build().doing("building the engine")?;
    let runtime = Builder::new_current_thread().build().doing("building a runtime")?;
    let (found, tokens) = runtime.block_on(async {
        let (tokens, weight) = fill::fill(&sessions, task.sessions, task.anonymous).await?;
        let mut found = Found {
            weight,
            disk_bytes: None,
            find_token: look_up::find_token(&tokens, task.rounds)?,
            hot: Vec::new(),
            uniform: Vec::new(),
            map_hot: Vec::new(),
            map_uniform: Vec::new(),
        };
        look_up::ask(&sessions, &tokens, task, &mut found).await?;
        Ok((found, tokens))
    })?;
    drop((sessions, tokens));
    let disk_bytes = (task.store == Kind::Sqlite).then(|| size_of(directory.path())).transpose()?;
    say(&Found { disk_bytes, ..found })
}

impl Task {
    fn run_elsewhere(&self) -> Outcome<Found> {
        let mut arguments = vec![
            format!("--store={}", self.store),
            format!("--sessions={}", self.sessions),
            format!("--rounds={}", self.rounds),
            format!("--look-ups={}", self.look_ups),
        ];
        arguments.extend(self.anonymous.then(|| "--anonymous".to_owned()));
        arguments.extend(self.metrics.then(|| "--metrics".to_owned()));
        Child::start("population", arguments)?.hear()
    }

    fn name(&self) -> String {
        let who = if self.anonymous { "anonymous" } else { "signed-in" };
        let how = if self.metrics { ", metrics collected" } else { "" };
        format!("{}: {} {who} sessions{how}", self.store, self.sessions)
    }

    fn rows(&self, found: &Found) -> Vec<Row> {
        let name = |what: &str| format!("{}: {what}", self.name());
        let time = |what: &str, turns: &[Turn]| {
            Row::new(name(what), median_of(turns, |turn| turn.nanoseconds), "ns")
        };
        let mut rows = Vec::new();
        match self.store {
            Kind::Memory if self.metrics => rows.push(time("validate, one hot session", &found.hot)),
            Kind::Memory => {
                let resident = each(number(found.weight.resident_bytes), self.sessions);
                rows.push(Row::new(name("resident memory"), resident, "bytes a session").at_most(220.0));
                let asked = each(number(found.weight.allocated_bytes), self.sessions);
                rows.push(Row::new(name("asked of the allocator"), asked, "bytes a session"));
                rows.push(time("validate, one hot session", &found.hot).at_most(150.0));
                rows.push(time("validate, any session", &found.uniform));
                rows.push(time("a plain map's look-up, one hot entry", &found.map_hot));
                rows.push(time("a plain map's look-up, any entry", &found.map_uniform));
                let hot = median_of(&found.hot, |turn| turn.allocations);
                rows.push(Row::new(name("validate, one hot session"), hot, "allocations").at_most(0.0));
                let any = median_of(&found.uniform, |turn| turn.allocations);
                rows.push(Row::new(name("validate, any session"), any, "allocations"));
                rows.push(time("finding the token in a request's headers", &found.find_token));
                let find = median_of(&found.find_token, |turn| turn.allocations);
                rows.push(Row::new(name("finding the token"), find, "allocations").at_most(0.0));
            }
            Kind::Sqlite => {
                let disk = each(number(found.disk_bytes.unwrap_or_default()), self.sessions);
                rows.push(Row::new(name("on disk"), disk, "bytes a session"));
                rows.push(time("validate, one at a time, any session", &found.uniform));
                let processor = median_of(&found.uniform, |turn| turn.processor_nanoseconds);
                rows.push(Row::new(name("validate, any session, all threads"), processor, "ns of processor"));
            }
        }
        rows
    }
}

fn median_of(turns: &[Turn], value: impl Fn(&Turn) -> f64) -> f64 {
    median(turns.iter().map(value))
}

fn size_of(directory: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory).doing("looking at files")? {
        sum += entry.and_then(|entry| entry.metadata()).doing("looking at a file")?.len();
    }
    Ok(sum)
}

/// A look-up in SQLite passes through a file and two threads.
const SQLITE_IS_SLOWER: usize = 100;
