//! One of the parts a store is divided into, each behind a lock of its own.

use cloakroom_core::{EndReason, SessionId, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{Counts, Ended, Live, Lookup, Retired};
use foldhash::quality::RandomState;

use crate::directory::Directory;
use crate::epochs::Epochs;
use crate::kin::Kin;
use crate::list::List;
use crate::order::Order;
use crate::slab::{Index, Slab};
use crate::slot::{Class, Slot, State};
use crate::warm::Warm;
use crate::wheel::Wheel;

/// A part of a store. All that belongs to one principal lies in one shard, so what must be exact is decided under one
/// lock. The verbs are in `insert`, `change`, `finish`, `listing` and `clearing`; here is what they are made of.
///
/// Many of them find on their way that sessions are over. Those are buried on the spot and told of in `over`.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) slots: Slab<Slot>,
    pub(crate) directory: Directory,
    pub(crate) kin: Kin,
    pub(crate) order: Order,
    pub(crate) lists: Lists,
    pub(crate) wheel: Wheel,
    pub(crate) epochs: Epochs,
    /// How far the epochs have been carried out; `None` where there is nothing to carry out.
    pub(crate) carrying_out: Option<usize>,
    pub(crate) warm: Warm,
    /// Sessions that no epoch has ended, and tombstones.
    pub(crate) counts: Counts,
    pub(crate) bytes: Bytes,
    /// Whether something changed that is published to the other shards.
    pub(crate) is_changed: bool,
    /// What has changed or ended since it was last told; `None` while nobody watches.
    pub(crate) news: Option<Vec<TokenDigest>>,
}

/// Slots of each class, in the order in which they make room.
#[derive(Default, Debug)]
pub(crate) struct Lists {
    remnants: List,
    anonymous: List,
    signed_in: List,
}

/// Bytes that a shard accounts for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Bytes {
    pub(crate) all: usize,
    /// Of these, in tombstones and retired tokens.
    pub(crate) remnants: usize,
}

/// What is filed under a digest, judged.
#[derive(Debug)]
pub(crate) enum Found {
    Live(Index),
    Ended(Tombstone),
    Retired(Retired),
    Unknown,
}

impl Shard {
    pub(crate) fn new(hasher: RandomState, warm_max_bytes: usize) -> Self {
        Self {
            slots: Slab::new(),
            directory: Directory::default(),
            kin: Kin::new(hasher),
            order: Order::default(),
            lists: Lists::default(),
            wheel: Wheel::new(),
            epochs: Epochs::default(),
            carrying_out: None,
            warm: Warm::new(warm_max_bytes),
            counts: Counts::default(),
            bytes: Bytes::default(),
            is_changed: false,
            news: None,
        }
    }

    /// Notes changes from now on, for whoever watches.
    pub(crate) fn watch(&mut self) {
        self.news.get_or_insert_default();
    }

    /// Notes that what is filed under the digest of `index` changes.
    pub(crate) fn note(&mut self, index: Index) {
        if let Some(news) = &mut self.news {
            news.push(self.slots.get(index).digest());
        }
    }

    /// The answer to `get`.
    pub(crate) fn look_up(&mut self, digest: &TokenDigest, now: Timestamp, over: &mut Vec<Ended>) -> Lookup {
        match self.resolve(digest, now, over) {
            Found::Live(index) => Lookup::Live(self.live(index)),
            Found::Ended(tombstone) => Lookup::Ended(tombstone),
            Found::Retired(retired) => Lookup::Retired(retired),
            Found::Unknown => Lookup::Unknown,
        }
    }

    /// The answer to `get` where the session lives, which changes nothing that others see.
    pub(crate) fn look_up_live(&mut self, digest: &TokenDigest, now: Timestamp) -> Option<Live> {
        let index = self.find(digest)?;
        let slot = self.slots.get_mut(index);
        if self.epochs.end_of(slot.alive()?.generation, slot.created_at).is_some()
            || slot.expiry(now).is_some()
        {
            return None;
        }
        match slot.warm_answer() {
            Some(live) => Some(live),
            None => Some(self.live(index)),
        }
    }

    /// What is filed under `digest`. A session that is over is buried, so that no clock that steps back revives it.
    pub(crate) fn resolve(&mut self, digest: &TokenDigest, now: Timestamp, over: &mut Vec<Ended>) -> Found {
        let Some(index) = self.find(digest) else { return Found::Unknown };
        let slot = self.slots.get(index);
        match slot.state {
            State::Tombstone { reason, .. } => Found::Ended(slot.tombstone(reason, slot.at)),
            State::Retired { .. } => Found::Retired(slot.exchanged()),
            State::Live(_) => match self.settle(index, now) {
                None => Found::Live(index),
                Some(ended) => {
                    over.push(ended.clone());
                    Found::Ended(ended.into())
                }
            },
        }
    }

    /// Why and when a live slot's session ended, if it has by `now` without anybody noticing: by time or with others,
    /// whichever was first.
    pub(crate) fn fate(&self, slot: &Slot, now: Timestamp) -> Option<(EndReason, Timestamp)> {
        let with_others = self.epochs.end_of(slot.alive()?.generation, slot.created_at);
        slot.expiry(with_others.map_or(now, |(_, at)| at)).or(with_others)
    }

    /// Buries the session of a live slot if it is over.
    pub(crate) fn settle(&mut self, index: Index, now: Timestamp) -> Option<Ended> {
        let (reason, at) = self.fate(self.slots.get(index), now)?;
        Some(self.bury(index, reason, at))
    }

    pub(crate) fn live(&mut self, index: Index) -> Live {
        let record = self.warm.record(&mut self.slots, index);
        let slot = self.slots.get(index);
        Live { record, version: slot.packed.version(), last_seen_at: slot.at }
    }

    /// Makes a tombstone of a live session, where it is.
    pub(crate) fn bury(&mut self, index: Index, reason: EndReason, at: Timestamp) -> Ended {
        self.is_changed = true;
        self.note(index);
        self.uncount(index);
        self.warm.forget(&mut self.slots, index);
        let class = self.slots.get(index).class();
        self.lists.of_mut(class).remove(&mut self.slots, index);
        let slot = self.slots.get_mut(index);
        let ended = slot.ended(reason, at);
        let keep_until = slot.keep_until(at);
        self.bytes.all -= slot.bytes();
        slot.packed = std::mem::take(&mut slot.packed).into_rest();
        slot.at = at;
        slot.state = State::Tombstone { keep_until: keep_until.into(), reason };
        self.bytes.all += slot.bytes();
        self.bytes.remnants += slot.bytes();
        self.counts.tombstones += 1;
        self.lists.remnants.push(&mut self.slots, index);
        self.kin.move_to_end(&mut self.slots, index);
        self.wheel.schedule(&mut self.slots, index, keep_until);
        ended
    }

    /// Removes a tombstone or a retired token.
    pub(crate) fn remove(&mut self, index: Index) {
        self.is_changed = true;
        self.directory.remove_digest(&self.slots, index);
        if matches!(self.slots.get(index).state, State::Tombstone { .. }) {
            self.directory.remove_id(&self.slots, index);
            self.order.remove(&self.slots, index);
            self.counts.tombstones -= 1;
        }
        self.kin.remove(&mut self.slots, index);
        self.wheel.remove(&mut self.slots, index);
        self.lists.remnants.remove(&mut self.slots, index);
        let slot = self.slots.remove(index);
        self.bytes.all -= slot.bytes();
        self.bytes.remnants -= slot.bytes();
    }

    /// Whatever is filed under `digest`.
    pub(crate) fn find(&self, digest: &TokenDigest) -> Option<Index> {
        self.directory.find(&self.slots, digest)
    }

    /// The session, or what is left of it.
    pub(crate) fn find_id(&self, id: SessionId) -> Option<Index> {
        self.directory.find_id(&self.slots, id)
    }

    /// Puts a live slot where it is looked at when its session may be over.
    pub(crate) fn schedule(&mut self, index: Index) {
        let due = self.slots.get(index).due_at();
        self.wheel.schedule(&mut self.slots, index, due);
    }

    /// Takes a live session out of the counts, unless an epoch did before.
    fn uncount(&mut self, index: Index) {
        let slot = self.slots.get(index);
        let generation = slot.alive().expect("only live sessions are counted").generation;
        if self.epochs.end_of(generation, slot.created_at).is_none() {
            *count_of(&mut self.counts, slot.class()) -= 1;
        }
    }
}

impl Lists {
    pub(crate) fn of(&self, class: Class) -> &List {
        match class {
            Class::Remnant => &self.remnants,
            Class::Anonymous => &self.anonymous,
            Class::SignedIn => &self.signed_in,
        }
    }

    pub(crate) fn of_mut(&mut self, class: Class) -> &mut List {
        match class {
            Class::Remnant => &mut self.remnants,
            Class::Anonymous => &mut self.anonymous,
            Class::SignedIn => &mut self.signed_in,
        }
    }
}

/// The number that counts slots of `class`.
pub(crate) fn count_of(counts: &mut Counts, class: Class) -> &mut u64 {
    match class {
        Class::Remnant => &mut counts.tombstones,
        Class::Anonymous => &mut counts.anonymous,
        Class::SignedIn => &mut counts.signed_in,
    }
}
