//! What was promised to whom, and whether it was kept.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{SessionId, SessionToken};

use super::{LEASE, NODES};

/// Instants are those of the simulated monotonic clock.
pub(super) type Instant = Duration;

/// Everything that was acknowledged.
#[derive(Default)]
pub(super) struct History {
    pub(super) stories: Vec<Story>,
    endings: Vec<Ending>,
    pub(super) trace: Vec<(Instant, String)>,
    pub(super) breach: Option<String>,
    pub(super) accepted: usize,
    pub(super) ended: usize,
}

/// One token.
pub(super) struct Story {
    pub(super) token: Arc<SessionToken>,
    pub(super) session: SessionId,
    pub(super) principal: String,
    issued: Instant,
    /// When somebody first wanted it to end.
    ending: Option<Instant>,
    /// When that was first acknowledged, and by which node.
    ended: Option<(Instant, usize)>,
    /// By when each node has said that it is over.
    refused: [Option<Instant>; NODES],
    /// Writes that were acknowledged: when, by which node, and what was written.
    writes: Vec<(Instant, usize, u64)>,
}

/// What an end is meant to end.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Scope {
    Token(usize),
    Session(SessionId),
    Principal(String),
    All,
}

struct Ending {
    scope: Scope,
    began: Instant,
    over: Option<Instant>,
}

/// What a node said.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Said {
    /// Let in, with so many writes.
    Active(u64),
    Over,
    Unknown,
    Unavailable,
}

impl History {
    pub(super) fn tell(&mut self, now: Instant, what: impl Into<String>) {
        self.trace.push((now, what.into()));
    }

    pub(super) fn issued(
        &mut self,
        token: SessionToken,
        session: SessionId,
        principal: &str,
        began: Instant,
        now: Instant,
    ) -> usize {
        let number = self.stories.len();
        let mut story = Story {
            token: Arc::new(token),
            session,
            principal: principal.to_owned(),
            issued: now,
            ending: None,
            ended: None,
            refused: [None; NODES],
            writes: Vec::new(),
        };
        // It may have been ended while its own acknowledgement was on its way.
        let overlaps = |ending: &&Ending| ending.over.is_none_or(|over| over >= began);
        let mut possible = self.endings.iter().filter(overlaps);
        story.ending = possible.find(|ending| ending.scope.covers(number, &story)).map(|ending| ending.began);
        self.stories.push(story);
        number
    }

    /// Somebody begins to end something; answers with the number for [`over`](Self::over).
    pub(super) fn ending(&mut self, scope: Scope, now: Instant) -> usize {
        for (number, story) in self.stories.iter_mut().enumerate() {
            if scope.covers(number, story) {
                story.ending = story.ending.or(Some(now));
            }
        }
        self.endings.push(Ending { scope, began: now, over: None });
        self.endings.len() - 1
    }

    /// It was acknowledged by a node, or failed.
    pub(super) fn over(&mut self, ending: usize, by: Option<usize>, now: Instant) {
        let Ending { scope, began, over } = &mut self.endings[ending];
        *over = Some(now);
        for (number, story) in
            self.stories.iter_mut().enumerate().filter(|(number, story)| scope.covers(*number, story))
        {
            story.ending = story.ending.or(Some(*began));
            if let Some(node) = by
                && story.issued <= *began
                && story.ended.is_none()
            {
                story.ended = Some((now, node));
                self.ended += 1;
                self.trace.push((now, format!("token {number}: end acknowledged by node {node}")));
            }
        }
    }

    pub(super) fn written(&mut self, token: usize, node: usize, value: u64, now: Instant) {
        self.stories[token].writes.push((now, node, value));
    }

    /// A node's answer about a token, against everything that was acknowledged.
    pub(super) fn said(&mut self, token: usize, node: usize, said: Said, asked: Instant, now: Instant) {
        let story = &mut self.stories[token];
        let wrong = match said {
            Said::Active(value) => {
                self.accepted += 1;
                story.wrongly_accepted(node, value, asked)
            }
            Said::Over => {
                story.refused[node] = story.refused[node].or(Some(now));
                story.ending.is_none().then(|| "signed out by nobody".to_owned())
            }
            Said::Unknown => Some("a session that is known is unknown".to_owned()),
            Said::Unavailable => None,
        };
        self.trace.push((now, format!("token {token}: node {node}, asked at {asked:?}, says {said:?}")));
        if let Some(wrong) = wrong
            && self.breach.is_none()
        {
            self.breach = Some(format!("token {token}, node {node}, asked at {asked:?}: {wrong}"));
        }
    }

    /// What happened to everybody, and to the token that the breach is about.
    pub(super) fn schedule(&self) -> String {
        let about = self.breach.as_deref().unwrap_or_default();
        let token = about.split(',').next().unwrap_or_default();
        let matter = |what: &&(Instant, String)| {
            !what.1.starts_with("token ") || what.1.starts_with(&format!("{token}:"))
        };
        let lines = self.trace.iter().filter(matter).map(|(at, what)| format!("  {at:?} {what}\n"));
        format!("{about}\n{}", lines.collect::<String>())
    }
}

impl Story {
    fn wrongly_accepted(&self, node: usize, value: u64, asked: Instant) -> Option<String> {
        if let Some((ended, by)) = self.ended {
            if by == node && asked > ended {
                return Some("accepted after this very node acknowledged the end".to_owned());
            }
            if asked > ended + LEASE {
                return Some(format!("accepted {:?} after the end was acknowledged", asked - ended));
            }
        }
        if self.refused[node].is_some_and(|at| asked > at) {
            return Some("accepted after the same node had said that it was over".to_owned());
        }
        let owed = |(at, by, _): &&(Instant, usize, u64)| asked > if *by == node { *at } else { *at + LEASE };
        let least = self.writes.iter().filter(owed).map(|(_, _, value)| *value).max().unwrap_or_default();
        (value < least).then(|| format!("shows {value} writes of {least}"))
    }
}

impl Scope {
    fn covers(&self, number: usize, story: &Story) -> bool {
        match self {
            Self::Token(token) => *token == number,
            Self::Session(session) => *session == story.session,
            Self::Principal(principal) => *principal == story.principal,
            Self::All => true,
        }
    }
}
