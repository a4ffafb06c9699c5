//! What the list may lack: entries that were written and not met, owed, or lost.

use std::collections::{BTreeMap, HashMap};

use cloakroom_core::{PrincipalId, SessionId, Timestamp};
use cloakroom_store::{RevocationEntry, Scope};

use super::copy::Copy;
use super::mark::end_of;

/// What this node has written or owes to the list, each end from before it is sent until it was read.
///
/// | it is | since | it holds here | the list says yes | it is read | a complete reading passes it by |
/// |---|---|---|---|---|---|
/// | sent | its `add` is on the way | no | it is held, and awaited | it is none any more: it was taken in, and there is nothing to hold | |
/// | awaited | the list said yes | yes | | it is none any more | owed, where the reading began after the yes |
/// | owed | the list had lost it, or did not say yes | yes | awaited | it is none any more | |
///
/// An end is known by its nonce, never by its scope: another end of the same principal says something else. Where the list does not
/// say yes to what was sent, it is none any more: nothing holds here.
///
/// Reading and holding are done under the lock of this, so that an answer of `add` that comes late finds out whether its entry was
/// read already.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    dues: HashMap<Key, Due>,
    /// What is to be offered, in order.
    owed: BTreeMap<u64, Key>,
    turns: u64,
    /// The history in which it was last looked for what is missing.
    history: u32,
    /// There was no room for everything: when nothing is owed any more, the copy tells what is missing.
    overflowed: bool,
}

/// Which end it is. A part of a nonce is not much to tell a million entries apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    end: u64,
    about: About,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum About {
    Session(SessionId),
    Principal(PrincipalId),
    Everything,
}

#[derive(Debug)]
struct Due {
    entry: RevocationEntry,
    /// Its place among what is owed: as they came.
    turn: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Sent,
    Awaited(Acknowledged),
    Owed,
}

/// When the list said yes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Acknowledged {
    /// Readings up to this number may have begun before it.
    pub(crate) reading: u64,
    /// By the monotonic clock.
    pub(crate) at: u64,
}

/// Whether it can be told later of something sent if it was read meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Followed {
    Yes,
    /// There was no room. What was read already may be held then: it is offered once more, and read.
    No,
}

impl Dues {
    /// These are about to be sent.
    pub(crate) fn send(&mut self, entries: &[RevocationEntry]) -> Followed {
        if self.dues.len() + entries.len() > MOST_DUES {
            self.overflowed = true;
            return Followed::No;
        }
        for entry in entries {
            self.insert(entry, State::Sent);
        }
        Followed::Yes
    }

    /// The list did not say yes to what was sent, or nobody waits for that any more.
    pub(crate) fn withdraw(&mut self, entries: &[RevocationEntry]) {
        for key in entries.iter().map(Key::of) {
            if self.dues.get(&key).is_some_and(|due| due.state == State::Sent) {
                self.dues.remove(&key);
            }
        }
    }

    /// The list said yes: what was not read already holds here from now on, and is to be met.
    pub(crate) fn acknowledge(
        &mut self,
        copy: &Copy,
        entries: &[RevocationEntry],
        followed: Followed,
        acknowledged: Acknowledged,
    ) {
        for entry in entries {
            let due = self.dues.get_mut(&Key::of(entry));
            let holds_already = match (&due, followed) {
                (Some(due), _) => due.state != State::Sent,
                (None, Followed::Yes) => true,
                (None, Followed::No) => false,
            };
            if !holds_already {
                copy.add(entry, None, NEVER_MET);
            }
            if let Some(due) = due {
                due.state = State::Awaited(acknowledged);
                self.owed.remove(&due.turn);
            }
        }
    }

    /// These hold here, and are to be offered: the list could not take them, or may not have taken them.
    pub(crate) fn owe(&mut self, copy: &Copy, entries: &[RevocationEntry]) {
        entries.iter().for_each(|entry| copy.add(entry, None, NEVER_MET));
        self.owe_again(entries.to_vec());
    }

    /// A page of the list, read in the history `met_in`. For how long those were awaited that were.
    pub(crate) fn take_in(
        &mut self,
        copy: &Copy,
        entries: &[(u64, RevocationEntry)],
        met_in: u32,
        now: u64,
    ) -> Vec<u64> {
        let mut lags = Vec::new();
        for (number, entry) in entries {
            copy.add(entry, Some(*number), met_in);
            if self.dues.is_empty() {
                continue;
            }
            let Some(due) = self.dues.remove(&Key::of(entry)) else { continue };
            self.owed.remove(&due.turn);
            if let State::Awaited(acknowledged) = due.state {
                lags.push(now.saturating_sub(acknowledged.at));
            }
        }
        lags
    }

    /// A complete reading of this number was taken in, in this history: what it passed by is owed. Whether the copy is to be gone
    /// through for what the list lacks; until [`lacking`](Self::lacking) is told, that is asked for again.
    pub(crate) fn settle(&mut self, reading: u64, history: u32) -> bool {
        if self.dues.len() > self.owed.len() {
            let passed_by = |due: &Due| matches!(due.state, State::Awaited(yes) if yes.reading < reading);
            for (key, due) in self.dues.iter_mut().filter(|(_, due)| passed_by(due)) {
                due.state = State::Owed;
                self.owed.insert(due.turn, key.clone());
            }
        }
        self.overflowed |= self.history != history && self.history != 0;
        let is_other = std::mem::replace(&mut self.history, history) != history;
        self.overflowed && (is_other || self.owed.is_empty())
    }

    /// The list lacks these, and nothing else if this `is_all`.
    pub(crate) fn lacking(&mut self, entries: Vec<RevocationEntry>, is_all: bool) {
        self.overflowed = !is_all;
        self.owe_again(entries);
    }

    /// Some of what is owed, in order, to be offered in one call: not what is over, or said by another entry since.
    pub(crate) fn next(&mut self, copy: &Copy, now: Timestamp) -> Vec<RevocationEntry> {
        let (mut some, mut needless) = (Vec::new(), Vec::new());
        for (turn, key) in &self.owed {
            let Some(due) = self.dues.get(key) else { continue };
            if due.entry.until <= now || copy.is_said(&due.entry.scope, self.history) {
                needless.push((*turn, key.clone()));
            } else {
                some.push(due.entry.clone());
            }
            if some.len() >= OFFERED_AT_ONCE {
                break;
            }
        }
        for (turn, key) in needless {
            self.owed.remove(&turn);
            self.dues.remove(&key);
        }
        some
    }

    /// Whether an end was not read yet, as far as it was followed.
    pub(crate) fn is_due(&self, entry: &RevocationEntry) -> bool {
        self.dues.contains_key(&Key::of(entry))
    }

    /// How many are owed.
    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }

    fn owe_again(&mut self, entries: Vec<RevocationEntry>) {
        for entry in entries {
            let key = Key::of(&entry);
            if self.dues.contains_key(&key) {
                continue;
            }
            if self.dues.len() >= MOST_DUES {
                self.overflowed = true;
                return;
            }
            let turn = self.insert(&entry, State::Owed);
            self.owed.insert(turn, key);
        }
    }

    fn insert(&mut self, entry: &RevocationEntry, state: State) -> u64 {
        self.turns += 1;
        let due = Due { entry: entry.clone(), turn: self.turns, state };
        self.dues.entry(Key::of(entry)).or_insert(due).turn
    }
}

impl Key {
    fn of(entry: &RevocationEntry) -> Self {
        let about = match &entry.scope {
            Scope::Session(session) | Scope::Token { session, .. } | Scope::Floor { session, .. } => {
                About::Session(*session)
            }
            Scope::Principal { principal, .. } => About::Principal(principal.clone()),
            _ => About::Everything,
        };
        Self { end: end_of(entry.nonce), about }
    }
}

/// The history of what was met in none.
const NEVER_MET: u32 = 0;
/// Entries offered in one call. Between two, what others offered is read, and not offered again.
const OFFERED_AT_ONCE: usize = 256;
/// Dues that are kept apart; beyond them the copy is gone through once more.
pub(super) const MOST_DUES: usize = 65_536;
