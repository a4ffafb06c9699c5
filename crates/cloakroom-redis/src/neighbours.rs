//! What the nodes of a Cluster say of each other.

use std::sync::LazyLock;

use cloakroom_store::Parts;

use crate::keys::Layout;

/// The nodes of a Cluster as one of them has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Neighbours {
    nodes: Vec<Neighbour>,
    /// The one that was asked.
    own: String,
    /// Slots that are on their way, away from the one that was asked or to it.
    moving: Vec<u16>,
}

/// A node, as a node has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Neighbour {
    pub(crate) id: String,
    pub(crate) is_primary: bool,
    is_well: bool,
    pub(crate) epoch: u64,
    slots: Vec<(u16, u16)>,
}

impl Neighbours {
    /// Lines of `CLUSTER NODES`: id, address, flags, primary, ping, pong, epoch, link, slots.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mut nodes, mut moving, mut own) = (Vec::new(), Vec::new(), None);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (id, _address, flags) = (words.next()?, words.next()?, words.next()?);
            let epoch = words.nth(3)?.parse().ok()?;
            let _link = words.next()?;
            let mut slots = Vec::new();
            for word in words {
                // `[93->-ID]` leaves, `[77-<-ID]` comes; only the one that was asked says so of itself.
                if let Some(word) = word.strip_prefix('[') {
                    let (slot, _) = word.split_once('-')?;
                    moving.push(slot.parse().ok()?);
                } else {
                    let (first, last) = word.split_once('-').unwrap_or((word, word));
                    slots.push((first.parse().ok()?, last.parse().ok()?));
                }
            }
            let has = |flag: &str| flags.split(',').any(|word| word == flag);
            if has("myself") {
                own = Some(id.to_owned());
            }
            nodes.push(Neighbour {
                id: id.to_owned(),
                is_primary: has("master"),
                is_well: !has("fail") && !has("fail?") && !has("noaddr") && !has("handshake"),
                epoch,
                slots,
            });
        }
        Some(Self { nodes, own: own?, moving })
    }

    pub(crate) fn nodes(&self) -> &[Neighbour] {
        &self.nodes
    }

    /// The one that was asked.
    pub(crate) fn own(&self) -> Option<&Neighbour> {
        self.nodes.iter().find(|node| node.id == self.own)
    }

    pub(crate) fn moving(&self) -> Parts {
        parts_in(|slot| self.moving.contains(&slot))
    }
}

impl Neighbour {
    fn is_voter(&self) -> bool {
        self.is_primary && !self.slots.is_empty()
    }

    pub(crate) fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    pub(crate) fn parts(&self) -> Parts {
        parts_in(|slot| self.serves(slot))
    }
}

/// What the primaries that have slots say of one of them: each is asked once, and says nothing of whom it finds failing.
#[derive(Debug)]
pub(crate) struct Vote<'a> {
    voters: usize,
    pub(crate) opinions: Vec<&'a Neighbour>,
}

impl<'a> Vote<'a> {
    /// On the one that answered `asked`, by what all of these answered.
    ///
    /// Nobody takes a slot's place without the votes of most primaries, each of which finds the old owner failing before it
    /// votes: an owner that was cut off and replaced, and does not know yet, is not believed by most.
    pub(crate) fn on(asked: &Neighbours, all: impl Iterator<Item = &'a Neighbours>) -> Self {
        let voters = asked.nodes.iter().filter(|node| node.is_voter()).count();
        let (mut heard, mut opinions): (Vec<&str>, Vec<&Neighbour>) = (Vec::new(), Vec::new());
        for other in all {
            let Some(voter) = other.own().filter(|voter| voter.is_voter()) else { continue };
            // Two lines to one node are one opinion.
            if !heard.contains(&voter.id.as_str()) {
                heard.push(&voter.id);
                opinions.extend(other.nodes.iter().find(|node| node.id == asked.own && node.is_well));
            }
        }
        Self { voters, opinions }
    }

    /// Whether so many are most of them.
    pub(crate) fn carries(&self, count: usize) -> bool {
        count > self.voters / 2
    }
}

/// Whether the one that answered `asked` serves `slot`, as it has it itself and as most primaries have it.
pub(crate) fn is_agreed(asked: &Neighbours, all: &[Neighbours], slot: u16) -> bool {
    let vote = Vote::on(asked, all.iter());
    asked.own().is_some_and(|own| own.is_primary && own.serves(slot))
        && vote.carries(vote.opinions.iter().filter(|said| said.serves(slot)).count())
}

fn parts_in(has: impl Fn(u16) -> bool) -> Parts {
    /// The slot of each bucket of a Cluster; a part is a bucket there.
    static SLOTS: LazyLock<Vec<u16>> =
        LazyLock::new(|| Layout::new("", true).buckets().map(crate::keys::Bucket::slot).collect());
    (0..=u8::MAX).zip(SLOTS.iter()).filter(|(_, slot)| has(**slot)).map(|(number, _)| number).collect()
}
