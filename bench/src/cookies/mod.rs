//! What a session costs that travels in its cookie: bytes, and processor time to seal and to open it, beside the private jar of the
//! `cookie` crate and the format of iron-session.
//!
//! One program of the peers' workspace does all three in turns, on a processor of its own, and counts its own processor
//! time: see `bench/peers/cookies`.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::affinity::Processors;
use crate::child::Child;
use crate::error::{Doing as _, Outcome};
use crate::peers::build_program;
use crate::report::Section;
use crate::table::{Column, Comparison};

/// Sessions in their cookies.
#[derive(Debug, Default, Args)]
pub(crate) struct Task {}

/// What the program tells of a way.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    name: String,
    bytes: f64,
    bytes_bare: f64,
    seal: Cost,
    open: Cost,
    refuse: Cost,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

/// Builds the program, and asks it.
pub(crate) fn measure(_: &Task) -> Outcome<Section> {
    let program = build_program("peer-cookies")?;
    let processor = Processors::allowed()?.measured.to_string();
    eprintln!("cookies …");
    let found: Vec<Found> = Child::start_program(&program, ["all", "--cpu", &processor])?.hear()?;
    let of = |name: &str| {
        found.iter().find(|found| found.name == name).doing("looking for a way to keep a session")
    };
    let (ours, jar, iron) = (of("cloakroom")?, of("cookie")?, of("iron-session")?);
    let compare = |what: &str, unit, value: fn(&Found) -> f64| {
        Comparison::new(what, value(ours), unit)
            .theirs(Column::PrivateJar, Some(value(jar)))
            .theirs(Column::IronSession, Some(value(iron)))
    };
    let comparisons = vec![
        compare("a typical session's cookie", "bytes", |found| found.bytes),
        compare("an anonymous session's cookie", "bytes", |found| found.bytes_bare),
        compare("seal a typical session", "ns", |found| found.seal.nanoseconds),
        compare("open it", "ns", |found| found.open.nanoseconds),
        compare("refuse one that was changed", "ns", |found| found.refuse.nanoseconds),
        compare("seal", "allocations", |found| found.seal.allocations),
        compare("open", "allocations", |found| found.open.allocations),
    ];
    Ok(Section { comparisons, rounds: json!(found), ..Section::default() })
}
