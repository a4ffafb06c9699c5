//! What was found: a table for people, JSON for programs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::book;
use crate::effort::Effort;
use crate::error::{Doing as _, Outcome};
use crate::machine::Machine;
use crate::table::{self, Comparison};

/// What one part of the measurements found.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// What to tell.
    pub(crate) rows: Vec<Row>,
    /// What to compare with others.
    pub(crate) comparisons: Vec<Comparison>,
    /// Every single round, for whoever doubts the median.
    pub(crate) rounds: serde_json::Value,
}

/// A line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, aim: None }
    }

    /// The same, with a value that it should not exceed.
    pub(crate) fn at_most(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn is_missed(&self) -> bool {
        self.aim.is_some_and(|aim| self.value > aim)
    }

    fn line(&self) -> String {
        let aim = self.aim.map_or_else(String::new, |aim| {
            format!("   aim ≤ {aim}{}", if self.is_missed() { ", missed" } else { "" })
        });
        // Numbers of a hundred and more need no decimals; ratios do.
        let decimals = if self.value >= 100.0 { 0 } else { 2 };
        format!("  {:<58} {:>12.decimals$} {}{aim}", self.what, self.value, self.unit)
    }
}

/// The whole.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    effort: Effort,
    directory: PathBuf,
    /// By part.
    comparisons: Vec<(String, Vec<Comparison>)>,
    aims: usize,
    missed: Vec<String>,
}

impl Report {
    pub(crate) fn new(effort: Effort) -> Outcome<Self> {
        let directory = target_directory().join("bench");
        fs::create_dir_all(&directory).doing("making a directory for the results")?;
        let machine = Machine::here();
        println!("{}", machine.line());
        if cfg!(debug_assertions) {
            eprintln!("warning: this is not a release build; its numbers say nothing");
        }
        Ok(Self { machine, effort, directory, comparisons: Vec::new(), aims: 0, missed: Vec::new() })
    }

    /// Prints what a part found, and writes it down.
    pub(crate) fn section(&mut self, name: &str, section: &Section) -> Outcome {
        println!("\n{name}");
        for row in &section.rows {
            println!("{}", row.line());
            self.aims += usize::from(row.aim.is_some());
            if row.is_missed() {
                self.missed.push(format!("{name}: {}", row.what));
            }
        }
        print!("{}", table::text(&section.comparisons));
        for line in &section.comparisons {
            self.aims += usize::from(line.has_aim());
            if line.is_missed() {
                self.missed.push(format!("{name}: {}", line.what()));
            }
        }
        self.comparisons.push((name.to_owned(), section.comparisons.clone()));
        let whole = json!({
            "machine": self.machine,
            "effort": self.effort,
            "rows": section.rows,
            "comparisons": section.comparisons,
            "rounds": section.rounds,
        });
        let text = serde_json::to_string_pretty(&whole).doing("writing the results")?;
        fs::write(self.directory.join(format!("{name}.json")), text).doing("writing the results")
    }

    /// Writes the tables into the book.
    pub(crate) fn write_book(&self) -> Outcome {
        book::write(&self.machine.line(), &self.comparisons)
    }

    /// Says which aims were met. That is news, not a verdict: machines differ.
    pub(crate) fn conclude(&self) {
        let all: Vec<Comparison> = self.comparisons.iter().flat_map(|(_, part)| part.clone()).collect();
        if self.comparisons.len() > 1 && !all.is_empty() {
            println!("\nall of it\n{}", table::text(&all));
        }
        println!();
        if self.aims > 0 {
            println!("{} of {} aims met", self.aims - self.missed.len(), self.aims);
        }
        for what in &self.missed {
            println!("missed   {what}");
        }
        println!("details in {}", self.directory.display());
    }
}

/// Where builds go.
#[expect(clippy::disallowed_methods, reason = "where builds go is told by the environment")]
pub(crate) fn target_directory() -> PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target"),
        PathBuf::from,
    )
}
