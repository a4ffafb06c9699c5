//! What a trial of a store, or of a list, finds out.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::Clock;
use cloakroom_store::{StoreError, Verb};
use serde_json::{Value, json};

use crate::cli::output::counted;
use crate::cli::{CliError, Host};

/// What one rule came to.
pub(super) struct Finding {
    pub(super) verb: Verb,
    pub(super) rule: &'static str,
    pub(super) took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Kept,
    /// What was answered instead.
    Broken(String),
    /// Why there was no answer: it says nothing of the rule.
    Unanswered(String),
}

impl Finding {
    /// A rule that is broken, found out otherwise than by asking.
    pub(super) fn broken(verb: Verb, rule: &'static str, instead: &str) -> Self {
        Self { verb, rule, took: Duration::ZERO, outcome: Outcome::Broken(instead.to_owned()) }
    }

    /// The first column of a table.
    pub(super) fn mark(&self) -> String {
        let mark = match self.outcome {
            Outcome::Kept => "ok",
            Outcome::Broken(_) => "WRONG",
            Outcome::Unanswered(_) => "no answer",
        };
        mark.to_owned()
    }

    /// How long it took.
    pub(super) fn time(&self) -> String {
        format!("{:.2} ms", millis(self.took))
    }

    fn is_broken(&self) -> bool {
        matches!(self.outcome, Outcome::Broken(_))
    }

    fn json(&self) -> Value {
        let instead = match &self.outcome {
            Outcome::Kept => None,
            Outcome::Broken(instead) | Outcome::Unanswered(instead) => Some(instead),
        };
        json!({
            "verb": self.verb.as_str(),
            "rule": self.rule,
            "ok": instead.is_none(),
            "answer": instead,
            "milliseconds": millis(self.took),
        })
    }
}

/// What a trial has found out so far.
pub(super) struct Findings {
    clock: Arc<dyn Clock>,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Vec::new() }
    }

    /// Asks, measures, and writes down whether the answer is the right one. Only what cannot answer stops the trial.
    pub(super) async fn rule<T: std::fmt::Debug>(
        &mut self,
        verb: Verb,
        rule: &'static str,
        answer: impl Future<Output = Result<T, StoreError>>,
        is_right: impl FnOnce(&T) -> bool,
    ) -> Result<(), StoreError> {
        let before = self.clock.monotonic();
        let answer = answer.await;
        let took = self.clock.monotonic().saturating_sub(before);
        let (outcome, go_on) = match answer {
            Ok(answer) if is_right(&answer) => (Outcome::Kept, Ok(())),
            Ok(answer) => (Outcome::Broken(format!("{answer:?}")), Ok(())),
            Err(error) => (Outcome::Unanswered(error.to_string()), Err(error)),
        };
        self.all.push(Finding { verb, rule, took, outcome });
        go_on
    }

    pub(super) fn json(&self) -> Vec<Value> {
        self.all.iter().map(Finding::json).collect()
    }

    /// Tells what is wrong.
    pub(super) fn tell(&self, host: &mut Host<'_>) -> Result<(), CliError> {
        for Finding { verb, rule, outcome, .. } in &self.all {
            match outcome {
                Outcome::Kept => {}
                Outcome::Broken(instead) => writeln!(host.stderr, "wrong: {verb} {rule}: {instead}")?,
                Outcome::Unanswered(why) => writeln!(host.stderr, "no answer: {verb} {rule}: {why}")?,
            }
        }
        Ok(())
    }

    pub(super) fn is_any_wrong(&self) -> bool {
        self.all.iter().any(|finding| !matches!(finding.outcome, Outcome::Kept))
    }

    /// # Errors
    /// [`CliError`] where a rule is broken.
    pub(super) fn verdict(&self, whose: &str, remedy: &str) -> Result<(), CliError> {
        let broken = self.all.iter().filter(|finding| finding.is_broken()).count();
        if broken == 0 {
            return Ok(());
        }
        let rules = counted(u64::try_from(broken).unwrap_or(u64::MAX), "rule");
        Err(CliError::failed(format!("the {whose} breaks {rules}"), remedy))
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}
