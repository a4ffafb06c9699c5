//! Ending sessions by decision.

use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_store::Ended;

use crate::epochs::Present;
use crate::shard::{Shard, count_of};

/// Why, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) reason: EndReason,
    pub(crate) now: Timestamp,
}

impl Shard {
    pub(crate) fn end_one(&mut self, id: SessionId, decision: Decision, over: &mut Vec<Ended>) -> Vec<Ended> {
        let Some(index) = self.find_id(id).filter(|index| self.slots.get(*index).alive().is_some()) else {
            return Vec::new();
        };
        match self.settle(index, decision.now) {
            None => vec![self.bury(index, decision.reason, decision.now)],
            Some(ended) => {
                over.push(ended);
                Vec::new()
            }
        }
    }

    pub(crate) fn end_principal(
        &mut self,
        principal: &str,
        except: Option<SessionId>,
        decision: Decision,
        over: &mut Vec<Ended>,
    ) -> Vec<Ended> {
        let mut sessions = self.live_of(principal, decision.now, over);
        sessions.retain(|index| Some(self.slots.get(*index).id) != except);
        sessions.into_iter().map(|index| self.bury(index, decision.reason, decision.now)).collect()
    }

    /// Ends every session filed so far; how many.
    pub(crate) fn end_all(&mut self, decision: Decision) -> u64 {
        let ended = self.counts.anonymous + self.counts.signed_in;
        self.epochs.remember_end_of_all(decision.reason, decision.now);
        if ended > 0 {
            self.epochs.end_all(decision.reason, decision.now);
            (self.counts.anonymous, self.counts.signed_in) = (0, 0);
            self.carry_out();
        }
        ended
    }

    /// Ends every session issued before `instant`, filed so far or later; how many there are now.
    pub(crate) fn end_issued_before(&mut self, instant: Timestamp, decision: Decision) -> u64 {
        if !self.epochs.is_news(instant) {
            return 0;
        }
        let mut ended = 0;
        for (_, slot) in self.slots.iter().filter(|(_, slot)| slot.created_at < instant) {
            let Some(alive) = slot.alive() else { continue };
            if self.epochs.end_of(alive.generation, slot.created_at).is_none() {
                *count_of(&mut self.counts, slot.class()) -= 1;
                ended += 1;
            }
        }
        let some = if ended > 0 { Present::Some } else { Present::None };
        self.epochs.end_issued_before(instant, decision.reason, decision.now, some);
        if some == Present::Some {
            self.carry_out();
        }
        ended
    }

    /// Lets the sweeps to come look at every slot once.
    fn carry_out(&mut self) {
        self.carrying_out = Some(0);
        self.is_changed = true;
    }
}
