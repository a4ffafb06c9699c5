//! What a run showed.

use std::fmt;

use serde::Serialize;

use crate::clock::Nanos;
use crate::law::{Breach, Law, Story, lags};
use crate::record::{Outcome, Record};

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Ends that were acknowledged, by the tokens that they ended.
    pub ends: usize,
    /// Answers of all nodes.
    pub answers: usize,
    /// Those that let somebody in.
    pub accepted: usize,
    /// Those that could not be given: the store could not be asked.
    pub unavailable: usize,
    /// From an acknowledged end to the last question of a node that was let in, in milliseconds.
    pub lag_millis: Lag,
    /// The lease.
    pub lease_millis: f64,
    /// How many answers broke the law.
    pub breaches: usize,
    /// Some of them.
    pub examples: Vec<Breach>,
    /// Everything that each node wrote down.
    #[serde(skip)]
    pub records: Vec<Vec<Record>>,
    /// What became of each token.
    #[serde(skip)]
    pub stories: Vec<Story>,
}

/// How long ends took to reach a node.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lag {
    /// Half of them at most.
    pub p50: f64,
    /// Ninety-nine of a hundred at most.
    pub p99: f64,
    /// All of them.
    pub max: f64,
}

impl Report {
    /// Judges what was written down.
    #[must_use]
    pub fn new(law: Law, records: Vec<Vec<Record>>, stories: Vec<Story>) -> Self {
        let mut breaches = Vec::new();
        for (node, records) in records.iter().enumerate() {
            for record in records {
                let story = usize::try_from(record.token).ok().and_then(|token| stories.get(token));
                let Some(story) = story else { continue };
                let Some(rule) = law.judge(node, record, story) else { continue };
                let after = story.ended.and_then(|end| record.asked.checked_sub(end.at));
                breaches.push(Breach {
                    rule,
                    node,
                    token: record.token,
                    how: story.ended.map(|end| end.how),
                    after_millis: after.map(millis),
                });
            }
        }
        let count = |outcome| records.iter().flatten().filter(|record| record.outcome == outcome).count();
        let lags = lags(&records, &stories);
        let at =
            |hundredths: usize| lags.get((lags.len() * hundredths / 100).min(lags.len().saturating_sub(1)));
        let lag = |hundredths| at(hundredths).copied().map_or(0.0, millis);
        Self {
            ends: stories.iter().filter(|story| story.ended.is_some()).count(),
            answers: records.iter().map(Vec::len).sum(),
            accepted: count(Outcome::Active),
            unavailable: count(Outcome::Unavailable),
            lag_millis: Lag { p50: lag(50), p99: lag(99), max: lag(100) },
            lease_millis: millis(law.lease),
            breaches: breaches.len(),
            examples: spread(&breaches),
            records,
            stories,
        }
    }

    /// Whether this node broke the law.
    #[must_use]
    pub fn is_caught(&self, node: usize) -> bool {
        self.examples.iter().any(|breach| breach.node == node)
    }
}

/// The first breach of each rule by each node.
fn spread(breaches: &[Breach]) -> Vec<Breach> {
    let mut some: Vec<Breach> = Vec::new();
    for breach in breaches {
        if !some.iter().any(|one| (one.node, one.rule) == (breach.node, breach.rule)) {
            some.push(*breach);
        }
    }
    some
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lag { p50, p99, max } = self.lag_millis;
        write!(
            f,
            "{} ends, {} answers ({} let in, {} unavailable); lag p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms of \
             a lease of {} ms; {} against the law",
            self.ends, self.answers, self.accepted, self.unavailable, self.lease_millis, self.breaches
        )?;
        self.examples.iter().try_for_each(|breach| write!(f, "\n  {breach:?}"))
    }
}

fn millis(nanos: Nanos) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64() * 1_000.0
}
