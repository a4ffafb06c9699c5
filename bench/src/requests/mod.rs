//! What sessions cost a server: processor time and round trips for each request.
//!
//! The server is a process of its own with one worker thread, and so is the client. Each handler is there twice: with
//! the layer, and bare. A bare request looks the same on the wire, cookie included, so that the difference is the
//! layer's and nothing else's.

mod case;
mod load;
mod server;

use serde_json::{Map, json};

use crate::child::Child;
use crate::effort::Effort;
use crate::error::Outcome;
use crate::report::{Row, Section};
use crate::statistics::{each, median, number};
use crate::stores::Kind;

use case::Case;
use load::{Done, Turn};
use server::{Address, Verbs};

pub(crate) use load::{LoadTask, load};
pub(crate) use server::{ServerTask, serve};

/// A server and a client who is signed in many times over.
struct Pair {
    server: Child,
    load: Child,
}

impl Pair {
    fn start(store: Kind, connections: usize, counted: bool) -> Outcome<Self> {
        let mut arguments = vec![format!("--store={store}")];
        arguments.extend(counted.then(|| "--counted".to_owned()));
        let mut server = Child::start("serve", arguments)?;
        let Address { port } = server.hear()?;
        let load = Child::start("load", [format!("--port={port}"), format!("--connections={connections}")])?;
        Ok(Self { server, load })
    }

    fn turn(&mut self, turn: &Turn) -> Outcome<Done> {
        self.load.tell(turn)?;
        self.load.hear()
    }

    /// The server's processor time for one request of this case, in nanoseconds.
    fn cost(&mut self, turn: &Turn) -> Outcome<f64> {
        let before = self.server.processor_nanoseconds()?;
        let done = self.turn(turn)?;
        let spent = self.server.processor_nanoseconds()?.saturating_sub(before);
        Ok(each(number(spent), done.requests))
    }
}

/// Measures processor time, every case against its bare twin, in rounds.
pub(crate) fn measure(effort: Effort) -> Outcome<Section> {
    let mut section = Section::default();
    let mut raw = Map::new();
    for store in Kind::ALL {
        let mut pair = Pair::start(store, CONNECTIONS, false)?;
        let mut rounds: Vec<Vec<Measured>> = Vec::new();
        for round in 0..=effort.rounds {
            eprintln!("requests on {store}: round {round} of {} …", effort.rounds);
            let mut measured = Vec::new();
            for case in Case::ALL {
                let turn =
                    |bare| Turn { case, bare, milliseconds: Some(effort.turn_milliseconds), requests: None };
                measured.push(Measured { bare: pair.cost(&turn(true))?, layered: pair.cost(&turn(false))? });
            }
            // The first round warms up.
            if round > 0 {
                rounds.push(measured);
            }
        }
        for (index, case) in Case::ALL.into_iter().enumerate() {
            let of_case = || rounds.iter().filter_map(move |round| round.get(index));
            let ratio = median(of_case().map(|one| one.layered / one.bare));
            let row =
                Row::new(format!("{store}: {case}, against the bare handler"), ratio, "× its processor time");
            section.rows.push(if case.has_aim(store) { row.at_most(READ_AIM) } else { row });
            let turns: Vec<_> =
                of_case().map(|one| json!({ "bare": one.bare, "layered": one.layered })).collect();
            raw.insert(format!("{store}: {case}, nanoseconds"), json!(turns));
        }
    }
    section.rounds = raw.into();
    Ok(section)
}

/// Counts the store's verbs for one request of each case.
pub(crate) fn count_round_trips() -> Outcome<Section> {
    let mut section = Section::default();
    let mut raw = Map::new();
    eprintln!("round trips …");
    // The same for every store: it is the layer that asks.
    let mut pair = Pair::start(Kind::Memory, 1, true)?;
    for case in Case::ALL {
        pair.turn(&Turn { case: Case::Verbs, bare: true, milliseconds: None, requests: Some(1) })?;
        pair.turn(&Turn { case, bare: false, milliseconds: None, requests: Some(COUNTED) })?;
        let told =
            pair.turn(&Turn { case: Case::Verbs, bare: true, milliseconds: None, requests: Some(1) })?;
        let Verbs { verbs } = told.verbs.unwrap_or_default();
        let row = Row::new(case.to_string(), each(number(verbs.values().sum()), COUNTED), "round trips");
        section.rows.push(row.at_most(case.round_trips()));
        raw.insert(case.to_string(), json!(verbs));
    }
    section.rounds = raw.into();
    Ok(section)
}

/// What a request of one case cost the server, in nanoseconds of its processor time.
struct Measured {
    bare: f64,
    layered: f64,
}

/// Enough that the server never waits for the client.
const CONNECTIONS: usize = 16;
/// Requests whose round trips are counted.
const COUNTED: usize = 100;
/// What a read should cost at most, as a multiple of the bare handler.
const READ_AIM: f64 = 1.25;
