//! What needs no network: memory for each session, and a request through the layer without any HTTP around it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::affinity::Processors;
use crate::child::Child;
use crate::effort::Effort;
use crate::error::Outcome;
use crate::table::{Column, Comparison};

/// What a program tells of itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    sessions: usize,
    resident_bytes: f64,
    allocated_bytes: f64,
    hot: Cost,
    uniform: Cost,
    no_cookie: Cost,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

/// Measures those who have a memory store.
pub(super) fn measure(programs: &Path, effort: Effort) -> Outcome<(Vec<Comparison>, serde_json::Value)> {
    let mut raw = Map::new();
    let processor = Processors::allowed()?.measured;
    let mut ask = |program: &str| {
        eprintln!("{program}: {} sessions in memory …", effort.in_memory);
        let (sessions, cpu) = (effort.in_memory.to_string(), processor.to_string());
        let words = ["memory", "--sessions", &sessions, "--cpu", &cpu];
        let told: Told = Child::start_program(&programs.join(program), words)?.hear()?;
        raw.insert(program.to_owned(), json!(told));
        Ok(told)
    };
    let ours: Told = ask("cloakroom-inside")?;
    let theirs = [
        (Column::TowerSessions, ask("tower-sessions-inside")?),
        (Column::AxumSession, ask("axum-session-inside")?),
    ];
    let compare = |what: &str, unit, value: fn(&Told) -> f64| {
        let mut line = Comparison::new(what, value(&ours), unit);
        for (column, told) in &theirs {
            line = line.theirs(*column, Some(value(told)));
        }
        line
    };
    let size = effort.in_memory;
    let comparisons = vec![
        compare(&format!("a session in memory, of {size}: resident"), "bytes", |told| told.resident_bytes)
            .at_most(220.0),
        compare("a session in memory: asked of the allocator", "bytes", |told| told.allocated_bytes),
        compare("the layer, memory: read of one session", "ns", |told| told.hot.nanoseconds),
        compare(&format!("the layer, memory: read of any of {size}"), "ns", |told| told.uniform.nanoseconds),
        compare("the layer, memory: no cookie", "ns", |told| told.no_cookie.nanoseconds),
        compare("the layer: read of one session", "allocations", |told| told.hot.allocations).at_most(2.0),
        compare("the layer: read of any session", "allocations", |told| told.uniform.allocations),
        compare("the layer: no cookie", "allocations", |told| told.no_cookie.allocations),
    ];
    Ok((comparisons, raw.into()))
}
