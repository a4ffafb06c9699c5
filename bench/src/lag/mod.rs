//! How long after the acknowledged end of a session another node still accepts it.
//!
//! Three processes, each with an engine and connections of its own, over one store. The first ends a session that the two
//! others use all the time; what counts is from the store's acknowledgement to the first refusal of each. A node that
//! refuses before the acknowledgement has arrived counts as zero.

mod node;
mod plot;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use cloakroom::Store;
use cloakroom_postgres::{PostgresOptions, PostgresStore};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Postgres, Redis};
use serde::Serialize;
use serde_json::{Map, json};

use crate::child::Child;
use crate::effort::Effort;
use crate::error::{Doing as _, Error, Outcome};
use crate::report::Section;
use crate::statistics::{each, number, percentile};
use crate::table::Comparison;

use self::node::{Ask, Told};

pub(crate) use self::node::{NodeTask, run as node};

/// Revocation lag.
#[derive(Debug, Default, Args)]
pub(crate) struct Task {
    /// Only these stores
    #[arg(long = "store")]
    stores: Vec<Watched>,
    /// How many sessions to end
    #[arg(long)]
    ends: Option<usize>,
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

/// A store that can be shared and tells of changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Watched {
    Redis,
    Postgres,
}

/// What was found for a store.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(skip)]
    store: Watched,
    /// From the acknowledgement to the first refusal, of each node and session.
    lag_microseconds: Vec<f64>,
    /// Validations that the two nodes answered from memory, and that they asked the store for.
    from_memory: u64,
    from_store: u64,
}

/// Measures store by store.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let stores = if task.stores.is_empty() { Watched::ALL.to_vec() } else { task.stores.clone() };
    let mut section = Section::default();
    let mut raw = Map::new();
    let mut all = Vec::new();
    for store in stores {
        let found = measure_store(store, task.ends.unwrap_or(effort.ends))?;
        section.comparisons.extend(found.comparisons());
        raw.insert(store.to_string(), json!(found));
        all.push(found);
    }
    section.rounds = raw.into();
    if let Some(path) = &task.plot {
        plot::draw(path, &all)?;
    }
    Ok(section)
}

fn measure_store(store: Watched, ends: usize) -> Outcome<Found> {
    eprintln!("{store}: {ends} ends on three nodes …");
    let server = Server::start(store)?;
    let mut nodes = [server.node()?, server.node()?, server.node()?];
    for node in &mut nodes {
        let Told::Ready = node.hear()? else { return Err(out_of_turn()) };
    }
    let [first, others @ ..] = &mut nodes;
    let mut lag_microseconds = Vec::new();
    for _ in 0..ends {
        first.tell(&Ask::Issue)?;
        let Told::Issued { token, session } = first.hear()? else { return Err(out_of_turn()) };
        for node in others.iter_mut() {
            node.tell(&Ask::Use { token: token.clone() })?;
        }
        for node in others.iter_mut() {
            let Told::Accepted = node.hear()? else { return Err(out_of_turn()) };
        }
        first.tell(&Ask::End { session })?;
        let Told::Ended { at: ended } = first.hear()? else { return Err(out_of_turn()) };
        for node in others.iter_mut() {
            let Told::Refused { at: refused } = node.hear()? else { return Err(out_of_turn()) };
            lag_microseconds.push(number(refused.saturating_sub(ended)) / 1e3);
        }
    }
    let (mut memory, mut asked) = (0, 0);
    for node in others.iter_mut() {
        node.tell(&Ask::Sum)?;
        let Told::Sum { from_memory, from_store } = node.hear()? else { return Err(out_of_turn()) };
        memory += from_memory;
        asked += from_store;
    }
    Ok(Found { store, lag_microseconds, from_memory: memory, from_store: asked })
}

fn out_of_turn() -> Error {
    Error::new("talking with a node", "it said something else than expected")
}

impl Found {
    fn comparisons(&self) -> Vec<Comparison> {
        let milliseconds = |share| percentile(&self.lag_microseconds, share) / 1e3;
        let line = |what: &str, value| {
            Comparison::new(format!("{}: an end reaches the other nodes, {what}", self.store), value, "ms")
        };
        let ends = usize::try_from(self.from_memory + self.from_store).unwrap_or(usize::MAX);
        let memory = each(number(self.from_memory) * 100.0, ends);
        vec![
            line("median", milliseconds(0.5)),
            line("p99", milliseconds(0.99)).at_most(5.0),
            line("longest", milliseconds(1.0)),
            Comparison::new(format!("{}: meanwhile answered from memory", self.store), memory, "%"),
        ]
    }
}

enum Server {
    Redis(Redis),
    Postgres(Postgres),
}

impl Server {
    fn start(store: Watched) -> Outcome<Self> {
        Ok(match store {
            Watched::Redis => Self::Redis(Redis::start().doing("starting Redis")?),
            Watched::Postgres => Self::Postgres(Postgres::start().doing("starting PostgreSQL")?),
        })
    }

    fn node(&self) -> Outcome<Child> {
        let (store, url) = match self {
            Self::Redis(server) => (Watched::Redis, server.url()),
            Self::Postgres(server) => (Watched::Postgres, server.url()),
        };
        Child::start("lag-node", [format!("--store={store}"), format!("--url={url}")])
    }
}

impl Watched {
    const ALL: [Self; 2] = [Self::Redis, Self::Postgres];

    async fn open(self, url: &str) -> Outcome<Arc<dyn Store>> {
        Ok(match self {
            Self::Redis => {
                let options = RedisOptions::from_url(url).doing("reading an address")?;
                Arc::new(RedisStore::connect(options).await.doing("opening Redis")?)
            }
            Self::Postgres => {
                let options = PostgresOptions::from_url(url).doing("reading an address")?;
                Arc::new(PostgresStore::connect(options).await.doing("opening PostgreSQL")?)
            }
        })
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        })
    }
}
