//! The states of the model.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use super::super::super::protocol::{Counter, Mark, Proof, Proofs, Trust};
use super::super::super::sabotage::Harm;

/// One session, the store that keeps it, and nodes that keep copies.
///
/// Two worlds are the same if nothing that can still happen tells them apart: instants count from now, versions from the
/// newest, generations and counters only by which are equal. That makes the space of states finite without a bound on
/// time, on faults or on the number of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct World {
    pub(super) harm: Harm,
    pub(super) lease: u64,
    pub(super) now: u64,
    /// Changes that every node has to show by now, and before which no reader began.
    pub(super) settled: u64,
    /// Those after them, in the order in which they took effect in the store.
    pub(super) changes: Vec<Change>,
    pub(super) nodes: Vec<Node>,
    pub(super) breach: Option<Breach>,
}

/// What must never happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Breach {
    /// Memory was used a lease or more after a change was acknowledged that it does not show.
    Late,
    /// A request that was asked after this node had acknowledged a change does not see it.
    OwnChange,
    /// A node that has said "ended" says "alive".
    Revived,
    /// A node says "ended" of what lives.
    SignedOut,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// The node through which it was made; `None` for somebody without a near cache.
    pub(super) by: Option<usize>,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// Attributes: the session lives on.
    Write,
    /// This session, or this token.
    End,
    /// All sessions at once, by an epoch.
    Everything,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// Whoever asks the store sees it.
    Applied,
    /// The store has told its feeds.
    Told,
    /// The caller knows, at this instant.
    Acknowledged(u64),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) trust: Trust,
    pub(super) proofs: Proofs,
    /// The generation that readers see: behind the ledger's between the two stores of a gap.
    pub(super) shown: u64,
    pub(super) counter: Counter,
    pub(super) entry: Option<Entry>,
    pub(super) link: Link,
    pub(super) probe: Option<(Proof, Probe)>,
    pub(super) readers: Vec<Reader>,
    pub(super) has_said_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Entry {
    pub(super) answer: Answer,
    pub(super) generation: u64,
}

/// What the store said: the number of changes that it shows, and whether the session lived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Answer {
    pub(super) version: u64,
    pub(super) is_live: bool,
}

/// The way by which the store's news come to a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Link {
    /// There is no feed.
    Closed,
    /// The feed has told of its loss and is not connected again yet.
    Lost,
    /// Connected; what is on its way arrives in order. Once `is_cut`, nothing more enters, which nobody has noticed.
    Up { queue: Vec<Item>, is_cut: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Item {
    Changed,
    Anything,
    Answer,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Probe {
    /// On its way to the store.
    Sent,
    /// Its answer is on its way back, behind all news before it.
    Queued,
    /// The feed has the answer; the engine has not acted on it yet.
    Answered,
}

/// A request, between any two of its steps. `own` is what it must see of the changes acknowledged by this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    Idle,
    /// Looks memory up.
    Looking {
        asked: Asked,
        read: Read,
    },
    /// Memory did not help, or was not to be asked; takes its mark.
    Marking {
        asked: Asked,
        generation: Option<u64>,
        until: Option<u64>,
    },
    /// Its question is on its way to the store.
    Asking {
        asked: Asked,
        mark: Mark,
    },
    /// The store's answer is on its way back.
    Answered {
        asked: Asked,
        mark: Mark,
        answer: Answer,
    },
}

/// What a request was owed when it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Asked {
    pub(super) own: u64,
    pub(super) has_said_ended: bool,
}

/// What a look has read so far. Outer `None`: not read yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Read {
    pub(super) until: Option<u64>,
    pub(super) generation: Option<u64>,
    pub(super) entry: Option<Option<Entry>>,
    pub(super) clock: Option<u64>,
}

impl World {
    pub(super) fn version(&self) -> u64 {
        self.settled + len(self.changes.len())
    }

    pub(super) fn answer(&self) -> Answer {
        let is_live = self.changes.last().is_none_or(|last| last.kind == Kind::Write);
        Answer { version: self.version(), is_live }
    }

    /// The newest change that `node` has acknowledged to somebody.
    pub(super) fn own(&self, node: usize) -> u64 {
        self.newest(|change| change.by == Some(node) && matches!(change.phase, Phase::Acknowledged(_)))
    }

    /// The newest change that was acknowledged a lease ago.
    pub(super) fn due(&self) -> u64 {
        let lease = self.lease;
        self.newest(|change| matches!(change.phase, Phase::Acknowledged(at) if at + lease <= self.now))
    }

    fn newest(&self, is_it: impl Fn(&Change) -> bool) -> u64 {
        self.changes.iter().rposition(is_it).map_or(self.settled, |index| self.settled + len(index + 1))
    }

    /// Forgets changes that can no longer make a difference.
    pub(super) fn settle(&mut self) {
        while let [Change { kind: Kind::Write, phase: Phase::Acknowledged(at), .. }, ..] = self.changes[..] {
            if at + self.lease > self.now {
                break;
            }
            self.changes.remove(0);
            self.settled += 1;
        }
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let due = self.due();
        let seen = Seen { world: self, due };
        (self.breach, self.version() - due).hash(state);
        for change in &self.changes {
            let phase = match change.phase {
                Phase::Applied => u64::MAX,
                Phase::Told => u64::MAX - 1,
                Phase::Acknowledged(at) => (self.now - at).min(self.lease),
            };
            (change.kind, change.by, phase).hash(state);
        }
        for node in &self.nodes {
            seen.node(node, state);
        }
    }
}

/// A world as seen from now.
struct Seen<'a> {
    world: &'a World,
    due: u64,
}

impl Seen<'_> {
    fn node<H: Hasher>(&self, node: &Node, state: &mut H) {
        let mut generations = vec![node.trust.generation(), node.shown];
        generations.extend(node.entry.map(|entry| entry.generation));
        generations.extend(node.readers.iter().flat_map(Reader::generations));
        generations.sort_unstable();
        generations.dedup();
        let rank = |generation: u64| generations.binary_search(&generation);
        let mark = |mark: Mark| {
            (rank(mark.generation()), mark.holds(mark.generation(), node.counter, self.world.harm))
        };
        let entry =
            |entry: Entry| (self.version(entry.answer.version), entry.answer.is_live, rank(entry.generation));
        (rank(node.trust.generation()), rank(node.shown), self.left(node.trust.until())).hash(state);
        (node.entry.map(entry), &node.link, node.has_said_ended).hash(state);
        node.probe.map(|(proof, probe)| (self.proof(node, proof), probe)).hash(state);
        let mut readers: Vec<u64> = node
            .readers
            .iter()
            .map(|reader| {
                let state = &mut DefaultHasher::new();
                discriminant(reader).hash(state);
                match *reader {
                    Reader::Idle => {}
                    Reader::Looking { asked, read } => {
                        self.asked(asked).hash(state);
                        (read.until.map(|until| self.left(until)), read.generation.map(rank)).hash(state);
                        (read.entry.map(|found| found.map(entry)), read.clock.map(|at| self.world.now - at))
                            .hash(state);
                    }
                    Reader::Marking { asked, generation, until } => {
                        (self.asked(asked), generation.map(rank), until.map(|until| self.left(until)))
                            .hash(state);
                    }
                    Reader::Asking { asked, mark: taken } => (self.asked(asked), mark(taken)).hash(state),
                    Reader::Answered { asked, mark: taken, answer } => {
                        let answer = (self.version(answer.version), answer.is_live);
                        (self.asked(asked), mark(taken), answer).hash(state);
                    }
                }
                state.finish()
            })
            .collect();
        // Which request is which makes no difference.
        readers.sort_unstable();
        readers.hash(state);
    }

    /// Whatever is older than what is due is too old, however old it is.
    fn version(&self, version: u64) -> u64 {
        (version + 1).saturating_sub(self.due)
    }

    fn left(&self, until: u64) -> u64 {
        until.saturating_sub(self.world.now)
    }

    fn asked(&self, asked: Asked) -> (u64, bool) {
        (self.version(asked.own), asked.has_said_ended)
    }

    /// Whether a proof will count, and how much of its lease would be left.
    fn proof(&self, node: &Node, proof: Proof) -> (bool, u64) {
        let counts = node.trust.clone().proven(proof, self.world.lease, self.world.now, self.world.harm);
        (counts, (self.world.now - proof.sent_at()).min(self.world.lease))
    }
}

impl Reader {
    fn generations(&self) -> Vec<u64> {
        match self {
            Self::Idle => Vec::new(),
            Self::Looking { read, .. } => {
                let entry = read.entry.flatten().map(|entry| entry.generation);
                read.generation.into_iter().chain(entry).collect()
            }
            Self::Marking { generation, .. } => generation.iter().copied().collect(),
            Self::Asking { mark, .. } | Self::Answered { mark, .. } => vec![mark.generation()],
        }
    }
}

fn len(count: usize) -> u64 {
    u64::try_from(count).expect("few")
}
