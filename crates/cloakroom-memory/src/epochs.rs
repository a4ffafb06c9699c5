//! Ends of everything: noted once, compared at every look, carried out later.

use cloakroom_core::{EndReason, Timestamp};

/// What ended many sessions at once, and has not been carried out on all of them yet.
#[derive(Default, Debug)]
pub(crate) struct Epochs {
    /// How many ends of everything there have been.
    generation: u32,
    /// In the order in which they came. Each ended at least one session that was not over then, so there are never
    /// more of them than slots.
    epochs: Vec<Epoch>,
    /// The latest end by instant of issue; sessions may still arrive that were issued before it.
    floor: Option<(Timestamp, EndReason, Timestamp)>,
    /// The latest end of everything; sessions may still be moved here that were issued before it.
    last_of_all: Option<(EndReason, Timestamp)>,
}

#[derive(Debug)]
struct Epoch {
    scope: Scope,
    reason: EndReason,
    at: Timestamp,
}

#[derive(Debug)]
enum Scope {
    /// Sessions of earlier generations than this.
    Generation(u32),
    IssuedBefore(Timestamp),
}

impl Epochs {
    /// The generation of a session that is filed now.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Why and when a session of `generation`, issued at `created_at`, ended with others, if it did.
    pub(crate) fn end_of(&self, generation: u32, created_at: Timestamp) -> Option<(EndReason, Timestamp)> {
        let below_floor = self.floor.filter(|(before, ..)| created_at < *before);
        if generation == self.generation && below_floor.is_none() {
            return None;
        }
        let covering = self.epochs.iter().find(|epoch| match epoch.scope {
            Scope::Generation(number) => generation < number,
            Scope::IssuedBefore(before) => created_at < before,
        });
        let end = covering.map(|epoch| (epoch.reason, epoch.at));
        end.or(below_floor.map(|(_, reason, at)| (reason, at)))
    }

    /// Ends every session filed so far; there is at least one.
    pub(crate) fn end_all(&mut self, reason: EndReason, at: Timestamp) {
        self.generation = self.generation.checked_add(1).expect("nobody ends everything four billion times");
        self.epochs.push(Epoch { scope: Scope::Generation(self.generation), reason, at });
    }

    /// Notes an end of everything for sessions that are moved here later.
    pub(crate) fn remember_end_of_all(&mut self, reason: EndReason, at: Timestamp) {
        if self.last_of_all.is_none_or(|(_, last)| last < at) {
            self.last_of_all = Some((reason, at));
        }
    }

    /// Why and when everything ended that an arriving session, issued at `created_at`, was part of, if it was.
    pub(crate) fn end_of_arrival(&self, created_at: Timestamp) -> Option<(EndReason, Timestamp)> {
        self.last_of_all.filter(|(_, at)| created_at <= *at)
    }

    /// Whether an end of what was issued before `instant` would change anything.
    pub(crate) fn is_news(&self, instant: Timestamp) -> bool {
        self.floor.is_none_or(|(before, ..)| before < instant)
    }

    /// Ends every session issued before `instant`, of which there are some or none now.
    pub(crate) fn end_issued_before(
        &mut self,
        instant: Timestamp,
        reason: EndReason,
        at: Timestamp,
        some: Present,
    ) {
        self.floor = Some((instant, reason, at));
        if some == Present::Some {
            self.epochs.push(Epoch { scope: Scope::IssuedBefore(instant), reason, at });
        }
    }

    /// Forgets the ends that have been carried out: all of them.
    pub(crate) fn carried_out(&mut self) {
        self.epochs.clear();
    }
}

/// Whether there are sessions that an epoch ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Present {
    Some,
    None,
}

#[cfg(test)]
impl Epochs {
    /// Whether there is an end that has not been carried out on all sessions.
    pub(crate) fn is_pending(&self) -> bool {
        !self.epochs.is_empty()
    }
}
