//! What waits to be written: bounded, and not to be filled by strangers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use cloakroom::Actor;
use cloakroom_core::{Device, PrincipalId, SessionId, Timestamp};
use tokio::sync::oneshot;

use super::OnFull;
use crate::event::TIMES;
use crate::names::{self, DROPPED};
use crate::{AuditError, AuditEvent, Draft};

/// Something to be written, and perhaps somebody who waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) draft: Draft,
    pub(super) done: Option<Done>,
}

/// Where the event is sent once it lasts.
pub(super) type Done = oneshot::Sender<Result<AuditEvent, AuditError>>;

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    /// It waits under this ticket.
    Queued(u64),
    /// It is a repeat: a sum of them will be written.
    Summed,
    /// There was no room.
    Dropped,
}

/// The queue. Bounded: what has no room is counted, and told of when there is room again.
#[derive(Debug)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// Most entries.
    capacity: usize,
    on_full: OnFull,
    /// The ticket of the last entry.
    ticket: u64,
    noise: Noise,
    dropped: Dropped,
    /// Nobody takes anything any more.
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Dropped {
    /// In all.
    total: u64,
    /// Of which no event has told yet.
    count: u64,
    since: Option<Timestamp>,
}

impl Queue {
    pub(super) fn new(capacity: usize, on_full: OnFull) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            on_full,
            ticket: 0,
            noise: Noise::default(),
            dropped: Dropped::default(),
            is_closed: false,
        }
    }

    /// Takes nothing any more: nobody would write it.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn push(&mut self, entry: Entry) -> Pushed {
        let is_noise = entry.done.is_none() && names::is_noise(entry.draft.event);
        let is_repetitive = entry.done.is_none() && names::is_repetitive(entry.draft.event);
        if is_noise && self.noise.takes(&entry.draft) || is_repetitive && self.noise.repeats(&entry.draft) {
            return Pushed::Summed;
        }
        let room = match (is_noise, self.on_full) {
            // Whoever makes noise fills half of the queue at most: the rest is for what matters.
            (true, _) => self.capacity.div_ceil(2),
            (false, OnFull::Count) if entry.done.is_none() => self.capacity,
            (false, _) => self.capacity.saturating_mul(CEILING),
        };
        if self.is_closed || self.entries.len() >= room {
            self.drop_one(&entry.draft);
            return Pushed::Dropped;
        }
        Pushed::Queued(self.add(entry))
    }

    /// Whether new requests have to wait, where they wait.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }

    /// How many events were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.total
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Up to `most` entries, and the ticket of the last one. Where that leaves the queue empty and events had been dropped,
    /// the last of them tells how many.
    pub(super) fn take(&mut self, most: usize, now: Timestamp) -> (Vec<Entry>, u64) {
        let mut taken: Vec<Entry> = self.entries.drain(..most.min(self.entries.len())).collect();
        if self.entries.is_empty() && self.dropped.count > 0 {
            let count = std::mem::take(&mut self.dropped.count);
            let since = self.dropped.since.take().unwrap_or(now).to_string();
            let draft = Draft::new(DROPPED, now).with("count", count).with("first_at", since);
            self.ticket = self.ticket.saturating_add(1);
            taken.push(Entry { draft, done: None });
        }
        let waiting = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        (taken, self.ticket.saturating_sub(waiting))
    }

    /// Queues the sums of repeats since the last call.
    pub(super) fn sum_up(&mut self) {
        for draft in self.noise.sums() {
            if self.entries.len() < self.capacity {
                self.add(Entry { draft, done: None });
            } else {
                self.drop_one(&draft);
            }
        }
    }

    fn add(&mut self, entry: Entry) -> u64 {
        self.entries.push_back(entry);
        self.ticket = self.ticket.saturating_add(1);
        self.ticket
    }

    fn drop_one(&mut self, draft: &Draft) {
        self.dropped.count = self.dropped.count.saturating_add(draft.times());
        self.dropped.total = self.dropped.total.saturating_add(draft.times());
        self.dropped.since.get_or_insert(draft.at);
    }
}

/// Repeats of what strangers can cause at will. The first of each is an event; those that follow within the same window
/// become one event that says how many.
///
/// # Security
/// Each kind of noise has a table of its own: whoever floods one, from however many addresses, takes nothing from what is
/// told of another. What staff causes is a kind apart from what others cause under the same name.
#[derive(Debug, Default)]
struct Noise {
    kinds: BTreeMap<NoiseKind, Kind>,
}

/// The event's name, and what kind of actor caused it.
type NoiseKind = (&'static str, &'static str);

/// Noise of one kind.
#[derive(Debug, Default)]
struct Kind {
    seen: HashMap<NoiseKey, Option<Sum>>,
    /// More different ones than are told apart: one sum for each reason.
    others: BTreeMap<Option<&'static str>, Sum>,
}

/// What tells one noise from another of its kind.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct NoiseKey {
    reason: Option<&'static str>,
    principal: Option<PrincipalId>,
    session: Option<SessionId>,
    /// An IPv6 address stands for its /64: one customer of a network has that many addresses.
    network: Option<IpAddr>,
    actor: Actor,
    /// What was asked for, where the event says so.
    asked: [Option<String>; ASKED.len()],
}

#[derive(Debug)]
struct Sum {
    /// The first of those summed up.
    first: Draft,
    last_at: Timestamp,
    count: u64,
}

impl Noise {
    /// Whether `draft` is a repeat, which is then summed up.
    fn takes(&mut self, draft: &Draft) -> bool {
        self.kinds.entry((draft.event, draft.actor.kind())).or_default().takes(draft)
    }

    /// The same, but what differs from all that is told apart is no repeat.
    fn repeats(&mut self, draft: &Draft) -> bool {
        let kind = self.kinds.entry((draft.event, draft.actor.kind())).or_default();
        let has_room = kind.seen.len() < NOISES;
        let key = NoiseKey::of(draft);
        (has_room || kind.seen.contains_key(&key)) && kind.takes(draft)
    }

    /// The sums of this window; the next one begins.
    fn sums(&mut self) -> Vec<Draft> {
        let kinds = std::mem::take(&mut self.kinds).into_values();
        let sums = kinds.flat_map(|kind| {
            let repeats = kind.seen.into_values().flatten();
            repeats.chain(kind.others.into_values())
        });
        let mut sums: Vec<Draft> = sums.map(Sum::told).collect();
        sums.sort_by_key(|draft| draft.at);
        sums
    }
}

impl Kind {
    fn takes(&mut self, draft: &Draft) -> bool {
        let key = NoiseKey::of(draft);
        let has_room = self.seen.len() < NOISES;
        match self.seen.get_mut(&key) {
            Some(Some(sum)) => sum.add(draft),
            Some(none) => *none = Some(Sum::of(draft.clone())),
            None if has_room => {
                self.seen.insert(key, None);
                return false;
            }
            None => match self.others.get_mut(&draft.reason) {
                Some(sum) => sum.add(draft),
                None => {
                    let of_many = Draft::new(draft.event, draft.at);
                    let of_many = Draft { reason: draft.reason, ..of_many }.with("from", "many");
                    self.others.insert(draft.reason, Sum::of(of_many));
                }
            },
        }
        true
    }
}

impl NoiseKey {
    fn of(draft: &Draft) -> Self {
        Self {
            reason: draft.reason,
            principal: draft.principal.clone(),
            session: draft.session,
            network: draft.device.as_ref().and_then(Device::ip).map(network),
            actor: draft.actor.clone(),
            asked: ASKED.map(|key| draft.detail.get(key).map(ToString::to_string)),
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(v6 & Ipv6Addr::from_bits(u128::MAX << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Sum {
    fn of(first: Draft) -> Self {
        Self { last_at: first.at, first, count: 1 }
    }

    fn add(&mut self, draft: &Draft) {
        self.count = self.count.saturating_add(1);
        self.last_at = self.last_at.max(draft.at);
    }

    fn told(self) -> Draft {
        let first_at = self.first.at.to_string();
        Draft { at: self.last_at, ..self.first }.with(TIMES, self.count).with("first_at", first_at)
    }
}

/// Different noises of one kind told apart within one window.
const NOISES: usize = 64;
/// The keys of an event's detail that say what somebody asked for.
const ASKED: [&str; 3] = ["right", "what", "values"];
/// How many times the queue's capacity may wait where requests under way, and whoever waits for an answer, are admitted
/// beyond it: memory stays bounded.
const CEILING: usize = 4;
