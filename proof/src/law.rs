//! The law, and who breaks it.

use serde::Serialize;

use crate::clock::Nanos;
use crate::record::{Outcome, Record};

/// What became of one token, as far as its driver was told.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// When its session was there, or the exchange by which it came.
    pub issued: Nanos,
    /// When somebody was first told to end it, or something that may have meant it as well.
    pub ending: Option<Nanos>,
    /// When the end was acknowledged first.
    pub ended: Option<End>,
}

/// An acknowledged end.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When the acknowledgement was there.
    pub at: Nanos,
    /// The node that gave it; `None` where the driver asked the store itself.
    pub by: Option<usize>,
    /// How it was ended.
    pub how: How,
}

/// The ways to end what a token stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// This session.
    One,
    /// All sessions of its principal.
    Principal,
    /// Everything.
    All,
    /// The session lives on under another token.
    Rotation,
    /// A sign-in beyond the limit.
    Limit,
}

/// What one answer did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A request that was asked more than a lease after the acknowledgement was let in.
    Reach,
    /// A request that was asked after this very node had acknowledged the end was let in.
    OwnEnd,
    /// "Ended" was said of what nobody had told anyone to end (G9).
    SignedOut,
    /// "Unknown" was said of what is known (G9).
    Forgotten,
}

/// One wrong answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Breach {
    /// What it broke.
    pub rule: Rule,
    /// The node that gave it.
    pub node: usize,
    /// The token, by the driver's count.
    pub token: u32,
    /// How its session was ended, if it was.
    pub how: Option<How>,
    /// Milliseconds from the acknowledgement to the question.
    pub after_millis: Option<f64>,
}

/// What a run may demand.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// The lease of all nodes.
    pub lease: Nanos,
    /// Whether a sign-in may be lost although it was acknowledged: by a fail-over to a replica that had not heard of it.
    pub sign_ins_may_be_lost: bool,
}

impl Law {
    /// What is wrong with this answer of `node`.
    #[must_use]
    pub fn judge(&self, node: usize, record: &Record, story: &Story) -> Option<Rule> {
        match record.outcome {
            Outcome::Active => {
                let end = story.ended?;
                if end.by == Some(node) && record.asked > end.at {
                    Some(Rule::OwnEnd)
                } else {
                    (record.asked > end.at.saturating_add(self.lease)).then_some(Rule::Reach)
                }
            }
            Outcome::Ended | Outcome::Retired => {
                story.ending.is_none_or(|began| record.answered < began).then_some(Rule::SignedOut)
            }
            Outcome::Unknown => (!self.sign_ins_may_be_lost).then_some(Rule::Forgotten),
            Outcome::Unavailable => None,
        }
    }
}

/// How long after each acknowledged end each node let anyone in, in nanoseconds, ascending: from the acknowledgement to the
/// last question that was answered so; zero where there was none after it.
#[must_use]
pub fn lags(records: &[Vec<Record>], stories: &[Story]) -> Vec<Nanos> {
    let mut all = Vec::new();
    for node in records {
        let mut last = vec![None::<Nanos>; stories.len()];
        for record in node {
            let place = usize::try_from(record.token).ok().and_then(|token| last.get_mut(token));
            if let (Some(place), Outcome::Active) = (place, record.outcome) {
                *place = (*place).max(Some(record.asked));
            }
        }
        // A node that has never let this session in shows nothing.
        let ends = stories.iter().zip(last).filter_map(|(story, last)| Some((story.ended?.at, last?)));
        all.extend(ends.map(|(ended, last)| last.saturating_sub(ended)));
    }
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(law: Law, outcome: Outcome, asked: Nanos, story: Story, rule: Option<Rule>) {
        let record = Record { token: 0, outcome, asked, answered: asked + 1 };
        assert_eq!(law.judge(1, &record, &story), rule, "{outcome:?} at {asked}");
    }

    fn ended(by: Option<usize>) -> Story {
        let end = End { at: 200, by, how: How::One };
        Story { issued: 0, ending: Some(150), ended: Some(end) }
    }

    #[test]
    fn a_session_is_accepted_until_a_lease_after_its_end_was_acknowledged_and_not_after() {
        let law = Law { lease: 100, sign_ins_may_be_lost: false };
        for by in [None, Some(0)] {
            check(law, Outcome::Active, 300, ended(by), None);
            check(law, Outcome::Active, 301, ended(by), Some(Rule::Reach));
        }
        check(law, Outcome::Active, 200, ended(Some(1)), None);
        check(law, Outcome::Active, 201, ended(Some(1)), Some(Rule::OwnEnd));
    }

    #[test]
    fn nobody_is_signed_out_before_somebody_said_so() {
        let law = Law { lease: 100, sign_ins_may_be_lost: false };
        for outcome in [Outcome::Ended, Outcome::Retired] {
            check(law, outcome, 148, ended(None), Some(Rule::SignedOut));
            check(law, outcome, 149, ended(None), None);
        }
        check(law, Outcome::Unknown, 500, ended(None), Some(Rule::Forgotten));
        check(Law { sign_ins_may_be_lost: true, ..law }, Outcome::Unknown, 500, ended(None), None);
        check(law, Outcome::Unavailable, 500, ended(None), None);
    }
}
