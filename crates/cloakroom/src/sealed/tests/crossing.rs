//! Ends that cross: two nodes write, hold, read, lose and offer, in every order, and each of them covers what it has to and
//! nothing else.
//!
//! What is explored is the copy and the dues themselves; the list, and what is on its way to it and back, is here. See
//! [`model`](super::model) for leases and requests, which are left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_conformance::Seeded;
use cloakroom_core::{
    EndReason, Lifetime, Principal, PrincipalId, Route, SessionId, SessionRecord, Timestamp, TokenCore,
};
use cloakroom_store::{Place, Reading, RevocationEntry, Scope, SealedContents, Version};

use super::before::Before;
use crate::sealed::judgement::{Facts, Says, Time};
use crate::sealed::mirror::How;
use crate::sealed::mirror::copy::{Copy, Lacking};
use crate::sealed::mirror::dues::{Acknowledged, Dues, Followed};
use crate::sealed::seal::Claim;
use crate::sealed::{By, WhenUnreachable};

/// What a node keeps of the list.
pub(super) trait Keeps: Default {
    fn send(&mut self, entries: &[RevocationEntry]) -> Followed;
    fn withdraw(&mut self, entries: &[RevocationEntry]);
    fn acknowledge(&mut self, entries: &[RevocationEntry], followed: Followed, yes: Acknowledged);
    fn owe(&mut self, entries: &[RevocationEntry]);
    fn take_in(&mut self, page: &[(u64, RevocationEntry)], history: u32);
    fn settle(&mut self, reading: u64, history: u32);
    fn next(&mut self) -> Vec<RevocationEntry>;
    fn covers(&self, contents: &SealedContents) -> bool;
    /// Whether it is told to be over by a node that has read up to `newest`.
    fn is_over(&self, contents: &SealedContents, newest: u64) -> bool {
        self.covers(contents) && contents.known <= newest
    }
    fn has_unread(&self) -> bool;
}

/// The engine's own.
#[derive(Default)]
struct Sound {
    copy: Copy,
    dues: Dues,
}

impl Keeps for Sound {
    fn send(&mut self, entries: &[RevocationEntry]) -> Followed {
        self.dues.send(entries)
    }

    fn withdraw(&mut self, entries: &[RevocationEntry]) {
        self.dues.withdraw(entries);
    }

    fn acknowledge(&mut self, entries: &[RevocationEntry], followed: Followed, yes: Acknowledged) {
        self.dues.acknowledge(&self.copy, entries, followed, yes);
    }

    fn owe(&mut self, entries: &[RevocationEntry]) {
        self.dues.owe(&self.copy, entries);
    }

    fn take_in(&mut self, page: &[(u64, RevocationEntry)], history: u32) {
        self.dues.take_in(&self.copy, page, history, 0);
    }

    fn settle(&mut self, reading: u64, history: u32) {
        if self.dues.settle(reading, history) {
            let mut lacking = Lacking::at_most(100);
            (0..Copy::ROOMS).for_each(|room| {
                self.copy.look_for_lacking(room, history, Timestamp::EPOCH, &mut lacking);
            });
            let (entries, is_all) = lacking.into_entries();
            self.dues.lacking(entries, is_all);
        }
    }

    fn next(&mut self) -> Vec<RevocationEntry> {
        self.dues.next(&self.copy, Timestamp::EPOCH)
    }

    fn covers(&self, contents: &SealedContents) -> bool {
        self.copy.covers(&Claim { contents, core: [0; 16] }).is_some()
    }

    fn is_over(&self, contents: &SealedContents, newest: u64) -> bool {
        let Some(cover) = self.copy.covers(&Claim { contents, core: [0; 16] }) else { return false };
        let says = if cover.how == How::Surely { Says::Over } else { Says::OverUnlessLater };
        let (knows_more, time, by) = (contents.known > newest, Time::Within, By::Memory);
        Facts { says, knows_more, time, by, unreachable: WhenUnreachable::Closed }.is_over()
    }

    fn has_unread(&self) -> bool {
        self.copy.after(Some(&alice())).has_unread
    }
}

/// The same, but what was sent is not followed: it holds although it was read before its answer came.
#[derive(Default)]
struct Late(Sound);

impl Keeps for Late {
    fn send(&mut self, _: &[RevocationEntry]) -> Followed {
        Followed::No
    }

    fn withdraw(&mut self, entries: &[RevocationEntry]) {
        self.0.withdraw(entries);
    }

    fn acknowledge(&mut self, entries: &[RevocationEntry], followed: Followed, yes: Acknowledged) {
        self.0.acknowledge(entries, followed, yes);
    }

    fn owe(&mut self, entries: &[RevocationEntry]) {
        self.0.owe(entries);
    }

    fn take_in(&mut self, page: &[(u64, RevocationEntry)], history: u32) {
        self.0.take_in(page, history);
    }

    fn settle(&mut self, reading: u64, history: u32) {
        self.0.settle(reading, history);
    }

    fn next(&mut self) -> Vec<RevocationEntry> {
        self.0.next()
    }

    fn covers(&self, contents: &SealedContents) -> bool {
        self.0.covers(contents)
    }

    fn is_over(&self, contents: &SealedContents, newest: u64) -> bool {
        self.0.is_over(contents, newest)
    }

    fn has_unread(&self) -> bool {
        self.0.has_unread()
    }
}

/// How large a world is, and what happens in it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Ends that each node writes.
    ends: [usize; NODES],
    /// Whether they are all on their way from the start, each excepting another session.
    at_once: bool,
    /// Whether others than those of a principal are among them.
    all_kinds: bool,
    /// Readings that each node begins.
    readings: [usize; NODES],
    sign_ins: usize,
    losses: usize,
    /// Answers to what was added that never come.
    unheard: usize,
    page: usize,
}

/// Which of several things happens.
enum Choices {
    /// Each once, in turn: what was chosen, and of how many.
    Every {
        taken: Vec<(usize, usize)>,
        place: usize,
    },
    Random(Seeded),
}

impl Choices {
    fn one_of(&mut self, many: usize) -> usize {
        match self {
            Self::Random(random) => usize::try_from(random.below(u64::try_from(many).unwrap())).unwrap(),
            Self::Every { taken, place } => {
                if *place == taken.len() {
                    taken.push((0, many));
                }
                *place += 1;
                taken[*place - 1].0
            }
        }
    }

    /// Begins again with the next choice; `false` where there is none.
    fn go_on(&mut self) -> bool {
        let Self::Every { taken, place } = self else { return false };
        *place = 0;
        while let Some((choice, many)) = taken.pop() {
            if choice + 1 < many {
                taken.push((choice + 1, many));
                return true;
            }
        }
        false
    }
}

struct World<K> {
    plan: Plan,
    list: Vec<(u64, RevocationEntry)>,
    /// Whatever was ever in the list, with its numbers.
    ever: Vec<(u64, RevocationEntry)>,
    /// The first number of each end.
    firsts: HashMap<u64, u64>,
    number: u64,
    nonces: u64,
    time: u64,
    people: Vec<SealedContents>,
    nodes: [Node<K>; NODES],
    /// Something was lost, or not heard of: without that nothing is ever offered.
    has_failed: bool,
}

#[derive(Default)]
struct Node<K> {
    keeps: K,
    place: Place,
    history: u32,
    begun: u64,
    /// The greatest number that was read.
    newest: u64,
    reading: Option<Flight>,
    adds: Vec<Add>,
    /// What was acknowledged here, or read here.
    must: Vec<RevocationEntry>,
    /// What was read in this history.
    met: HashSet<(u64, Option<SessionId>)>,
}

enum Flight {
    Asked,
    Answered(Reading),
}

struct Add {
    entries: Vec<RevocationEntry>,
    followed: Followed,
    is_offer: bool,
    is_in_the_list: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Commit(usize),
    Acknowledge(usize),
    GiveUp(usize),
    Ask,
    Serve,
    TakeIn,
    Offer,
    SignIn,
    Lose,
}

impl<K: Keeps> World<K> {
    fn new(plan: Plan) -> Self {
        let mut world = Self {
            plan,
            list: Vec::new(),
            ever: Vec::new(),
            firsts: HashMap::new(),
            number: 0,
            nonces: 0,
            time: 100,
            people: Vec::new(),
            nodes: Default::default(),
            has_failed: false,
        };
        (0..4).for_each(|_| world.people.push(issued(world.people.len(), 1, 0)));
        if plan.at_once {
            for node in 0..NODES {
                for number in 0..plan.ends[node] {
                    let except = Some(world.people[node * 2 + number].record.id);
                    world.send(node, Scope::Principal { principal: alice(), except });
                }
                world.plan.ends[node] = 0;
            }
        }
        world
    }

    fn steps(&self) -> Vec<(usize, Step)> {
        let mut steps = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut may = |step| steps.push((number, step));
            if self.plan.ends[number] > 0 {
                may(Step::Send);
            }
            for (place, add) in node.adds.iter().enumerate() {
                may(if add.is_in_the_list { Step::Acknowledge(place) } else { Step::Commit(place) });
                if self.plan.unheard > 0 {
                    may(Step::GiveUp(place));
                }
            }
            match &node.reading {
                None if node.begun < u64::try_from(self.plan.readings[number]).unwrap() => may(Step::Ask),
                Some(Flight::Asked) => may(Step::Serve),
                Some(Flight::Answered(_)) => may(Step::TakeIn),
                None => {}
            }
            let is_offering = node.adds.iter().any(|add| add.is_offer);
            if !self.plan.at_once && self.has_failed && !is_offering {
                may(Step::Offer);
            }
            if self.plan.sign_ins > 0 && node.reading.is_none() {
                may(Step::SignIn);
            }
        }
        if self.plan.losses > 0 && !self.list.is_empty() {
            steps.push((0, Step::Lose));
        }
        steps
    }

    fn take(&mut self, node: usize, step: Step, choices: &mut Choices) {
        self.time += 1;
        match step {
            Step::Send => {
                self.plan.ends[node] -= 1;
                let scope = self.scope(choices);
                self.send(node, scope);
            }
            Step::Commit(place) => self.commit(node, place),
            Step::Acknowledge(place) => self.acknowledge(node, place),
            Step::GiveUp(place) => {
                self.plan.unheard -= 1;
                self.has_failed = true;
                let add = self.nodes[node].adds.remove(place);
                self.nodes[node].keeps.withdraw(&add.entries);
                if !add.is_offer && add.entries.iter().all(|entry| matches!(entry.scope, Scope::Floor { .. }))
                {
                    self.nodes[node].keeps.owe(&add.entries);
                    self.nodes[node].must.extend(add.entries);
                }
            }
            Step::Ask => {
                self.nodes[node].begun += 1;
                self.nodes[node].reading = Some(Flight::Asked);
            }
            Step::Serve => self.serve(node),
            Step::TakeIn => self.take_in(node),
            Step::Offer => self.offer(node),
            Step::SignIn => {
                self.plan.sign_ins -= 1;
                self.sign_in(node);
            }
            Step::Lose => {
                self.plan.losses -= 1;
                self.has_failed = true;
                self.list.pop();
            }
        }
        self.nobody_is_let_in();
        self.nobody_is_signed_out_for_nothing();
    }

    fn scope(&self, choices: &mut Choices) -> Scope {
        let session = self.people[choices.one_of(self.people.len())].record.id;
        let kinds = if self.plan.all_kinds { 8 } else { 4 };
        match choices.one_of(kinds) {
            0 => Scope::Principal { principal: alice(), except: None },
            1..=3 => Scope::Principal { principal: alice(), except: Some(session) },
            4 => Scope::All,
            5 => Scope::Session(session),
            number => Scope::Floor { session, version: Version::from_u64(u64::try_from(number).unwrap()) },
        }
    }

    fn send(&mut self, node: usize, scope: Scope) {
        self.nonces += 1;
        let (at, until, reason) = (at(self.time), Timestamp::MAX, EndReason::SignedOut);
        let entries = vec![RevocationEntry { scope, at, until, reason, nonce: self.nonces << 32 }];
        let followed = self.nodes[node].keeps.send(&entries);
        self.nodes[node].adds.push(Add { entries, followed, is_offer: false, is_in_the_list: false });
    }

    fn commit(&mut self, node: usize, place: usize) {
        let add = &mut self.nodes[node].adds[place];
        add.is_in_the_list = true;
        for entry in &add.entries {
            self.number += 1;
            self.firsts.entry(entry.nonce >> 32).or_insert(self.number);
            self.list.push((self.number, entry.clone()));
            self.ever.push((self.number, entry.clone()));
        }
    }

    fn acknowledge(&mut self, node: usize, place: usize) {
        let node = &mut self.nodes[node];
        let Add { entries, followed, .. } = node.adds.remove(place);
        node.keeps.acknowledge(&entries, followed, Acknowledged { reading: node.begun, at: 0 });
        node.must.extend(entries);
    }

    fn serve(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let known = |(number, entry): &(u64, RevocationEntry)| {
            (*number, entry.nonce) == (node.place.number, node.place.nonce)
        };
        let answer = if node.place != Place::START && !self.list.iter().any(known) {
            Reading::Lost
        } else {
            let mut after = self.list.iter().filter(|(number, _)| *number > node.place.number).cloned();
            let entries = after.by_ref().take(self.plan.page).collect();
            Reading::Entries { entries, more: after.next().is_some() }
        };
        node.reading = Some(Flight::Answered(answer));
    }

    fn take_in(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let Some(Flight::Answered(answer)) = node.reading.take() else { panic!("it was answered") };
        node.history = node.history.max(1);
        match answer {
            Reading::Lost => {
                (node.place, node.history) = (Place::START, node.history + 1);
                node.met.clear();
                node.reading = Some(Flight::Asked);
            }
            Reading::Entries { entries, more } => {
                node.keeps.take_in(&entries, node.history);
                if let Some((number, entry)) = entries.last() {
                    node.place = Place { number: *number, nonce: entry.nonce };
                    node.newest = node.newest.max(*number);
                }
                node.met.extend(entries.iter().map(|(_, entry)| name(entry)));
                node.must.extend(entries.into_iter().map(|(_, entry)| entry));
                if more {
                    node.reading = Some(Flight::Asked);
                } else {
                    node.keeps.settle(node.begun, node.history);
                }
            }
        }
    }

    fn offer(&mut self, node: usize) {
        let fresh = self.nonces + 1;
        let node = &mut self.nodes[node];
        let some = node.keeps.next();
        if some.is_empty() {
            return;
        }
        assert!(self.has_failed, "offered what the list has: {some:?}");
        for entry in &some {
            assert!(!node.met.contains(&name(entry)), "offered what was read: {entry:?}");
        }
        let again =
            |entry: RevocationEntry| RevocationEntry { nonce: (entry.nonce >> 32 << 32) | fresh, ..entry };
        let entries = some.into_iter().map(again).collect();
        self.nonces = fresh;
        node.adds.push(Add { entries, followed: Followed::Yes, is_offer: true, is_in_the_list: false });
    }

    /// Whoever signs in reads the list first, and is issued after whatever ended others.
    fn sign_in(&mut self, node: usize) {
        self.read(node);
        self.time += 1;
        let known = self.nodes[node].newest;
        self.people.push(issued(self.people.len(), self.time, known));
    }

    fn read(&mut self, node: usize) {
        if self.nodes[node].reading.is_none() {
            self.nodes[node].begun += 1;
            self.nodes[node].reading = Some(Flight::Asked);
        }
        while let Some(flight) = &self.nodes[node].reading {
            if matches!(flight, Flight::Asked) { self.serve(node) } else { self.take_in(node) }
        }
    }

    /// Whatever a node acknowledged or read covers there whom it has to, at any time.
    fn nobody_is_let_in(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            for entry in &node.must {
                let first = self.firsts.get(&(entry.nonce >> 32)).copied().unwrap_or(u64::MAX);
                for contents in self.people.iter().filter(|contents| says(entry, first, contents)) {
                    assert!(node.keeps.covers(contents), "{number} lets {contents:?} in after {entry:?}");
                }
            }
        }
    }

    /// Whoever is told that they are over is so by the list, at any time; or by what it has lost, and will have again.
    fn nobody_is_signed_out_for_nothing(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let is_lost = |entry: &RevocationEntry| {
                !self.list.iter().any(|(_, other)| other.nonce >> 32 == entry.nonce >> 32)
            };
            for contents in self.people.iter().filter(|contents| node.keeps.is_over(contents, node.newest)) {
                let of_the_list = self.ever.iter().any(|(number, entry)| says(entry, *number, contents));
                let mut lost = node.must.iter().filter(|entry| is_lost(entry));
                assert!(
                    of_the_list || lost.any(|entry| says(entry, u64::MAX, contents)),
                    "{contents:?} is signed out for nothing by {number}"
                );
            }
        }
    }

    /// Everything arrives, is read and offered; then each node says what the list says, and whoever comes now is let in.
    fn comes_to_rest(&mut self) {
        let mut rounds = 0;
        loop {
            let mut is_quiet = true;
            for node in 0..NODES {
                while let Some(add) = self.nodes[node].adds.first() {
                    is_quiet = false;
                    if add.is_in_the_list { self.acknowledge(node, 0) } else { self.commit(node, 0) }
                }
                let before = self.nodes[node].place;
                self.read(node);
                self.read(node);
                self.offer(node);
                is_quiet &= self.nodes[node].place == before && self.nodes[node].adds.is_empty();
            }
            self.nobody_is_let_in();
            if is_quiet {
                break;
            }
            rounds += 1;
            assert!(rounds < 20, "it never comes to rest");
        }
        for (number, node) in self.nodes.iter().enumerate() {
            assert!(!node.keeps.has_unread(), "{number} has something unread");
            for contents in &self.people {
                let is_said = self.ever.iter().any(|(number, entry)| says(entry, *number, contents));
                assert!(
                    is_said || !node.keeps.covers(contents),
                    "{contents:?} is covered for nothing by {number}"
                );
            }
        }
        self.sign_in(0);
        let newest = self.people.last().unwrap();
        assert!(!self.nodes.iter().any(|node| node.keeps.covers(newest)), "whoever signs in is locked out");
    }
}

/// Which end an entry is, however often it was added.
fn name(entry: &RevocationEntry) -> (u64, Option<SessionId>) {
    let except = if let Scope::Principal { except, .. } = &entry.scope { *except } else { None };
    (entry.nonce >> 32, except)
}

/// Whether an entry under this number says of a session that it is over, by the words of [`Scope`].
fn says(entry: &RevocationEntry, number: u64, contents: &SealedContents) -> bool {
    let record = &contents.record;
    match &entry.scope {
        Scope::Session(session) => *session == record.id,
        Scope::Floor { session, version } => *session == record.id && contents.version < *version,
        Scope::Principal { except, .. } => *except != Some(record.id) && contents.known < number,
        _ => contents.known < number,
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

pub(super) fn alice() -> PrincipalId {
    PrincipalId::new("alice").unwrap()
}

/// A session as it was issued, by a node that had read the list up to `known`.
pub(super) fn issued(number: usize, created_at: u64, known: u64) -> SealedContents {
    let number = u8::try_from(number).unwrap();
    let id = SessionId::from_random(Route::of_principal(&alice()), [number; SessionId::RANDOM_BYTES]);
    let lifetime = Lifetime::new(Duration::from_secs(600), Timestamp::MAX, Duration::ZERO);
    let mut record = SessionRecord::new(id, at(created_at), lifetime);
    record.principal = Some(Arc::new(Principal::new(alice())));
    SealedContents {
        record: Arc::new(record),
        version: Version::FIRST,
        last_seen_at: at(created_at),
        known,
        core: TokenCore::from_random([number; TokenCore::LENGTH]),
    }
}

/// One history.
fn lives<K: Keeps>(plan: Plan, steps: usize, choices: &mut Choices) {
    let mut world = World::<K>::new(plan);
    for _ in 0..steps {
        let may = world.steps();
        if may.is_empty() {
            break;
        }
        let (node, step) = may[choices.one_of(may.len())];
        world.take(node, step, choices);
    }
    world.comes_to_rest();
}

/// How many histories there are, each of which is lived.
fn every_history<K: Keeps>(plan: Plan) -> usize {
    let mut choices = Choices::Every { taken: Vec::new(), place: 0 };
    let mut histories = 1;
    lives::<K>(plan, usize::MAX, &mut choices);
    while choices.go_on() {
        lives::<K>(plan, usize::MAX, &mut choices);
        histories += 1;
    }
    histories
}

fn random_histories<K: Keeps>(plan: Plan, histories: u64) {
    for seed in 0..histories {
        lives::<K>(plan, 60, &mut Choices::Random(Seeded::new(seed)));
    }
}

/// Whether a node is found out that keeps things so: it locks somebody out, or offers what the list has.
fn is_found_out<K: Keeps>(plan: Plan) -> bool {
    let Err(panic) = std::panic::catch_unwind(|| every_history::<K>(plan)) else { return false };
    let said = panic.downcast_ref::<String>().map_or("", String::as_str);
    [
        "has something unread",
        "is signed out for nothing",
        "is covered for nothing",
        "offered what the list has",
        "is locked out",
    ]
    .iter()
    .any(|breach| said.contains(breach))
}

#[test]
fn whatever_the_order_of_few_ends_and_readings_everybody_is_covered_who_has_to_be_and_nobody_else() {
    let histories = every_history::<Sound>(FEW);
    assert!(histories > 1_000, "only {histories}");
    let histories = every_history::<Sound>(THREE);
    assert!(histories > 1_000, "only {histories}");
    let histories = every_history::<Sound>(Plan { losses: 1, readings: [1, 0], ..FEW });
    assert!(histories > 1_000, "only {histories}");
}

#[test]
fn whatever_two_nodes_write_read_lose_and_offer_everybody_is_covered_who_has_to_be_and_nobody_else() {
    random_histories::<Sound>(MANY, 3_000);
    random_histories::<Sound>(Plan { losses: 0, unheard: 0, ..MANY }, 3_000);
}

#[test]
fn a_node_that_holds_what_it_has_read_is_found_out() {
    assert!(is_found_out::<Late>(THREE));
}

#[test]
fn a_node_that_merges_what_was_not_read_and_asks_for_dues_by_their_scope_is_found_out() {
    assert!(is_found_out::<Before>(FEW));
}

const NODES: usize = 2;
const FEW: Plan = Plan {
    ends: [2, 0],
    at_once: true,
    all_kinds: false,
    readings: [2, 0],
    sign_ins: 0,
    losses: 0,
    unheard: 0,
    page: 4,
};
/// One that crosses another's answer when a third has already taken its place.
const THREE: Plan = Plan { ends: [3, 0], readings: [1, 0], ..FEW };
const MANY: Plan = Plan {
    ends: [5, 4],
    at_once: false,
    all_kinds: true,
    readings: [usize::MAX, usize::MAX],
    sign_ins: 3,
    losses: 3,
    unheard: 2,
    page: 2,
};
