//! The protocol, explored exhaustively: every order in which the steps of requests, news, proofs and faults can happen.
//!
//! The decisions are the engine's own ([`protocol`](super::super::protocol)); the steps between which others may run are
//! those of [`cache`](super::super::cache): each reading of a shared word, each lock held, is one action here. Time may
//! pass between any two of them, so a node that is stopped and goes on is among what is explored.
//!
//! There is one session. It is changed, or ended, through a node or behind the nodes' backs; each node has a feed, whose
//! news may be late but come in order, whose link may be cut without anybody noticing for however long, and which may be
//! dropped and opened anew. A world without an end to time, changes and faults has finitely many states, because only
//! differences count ([`World`](world::World)).

mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::world::{
    Answer, Asked, Breach, Change, Entry, Item, Kind, Link, Node, Phase, Probe, Read, Reader, World,
};
use super::super::protocol::{Counter, Mark, Proofs, Trust, is_usable};
use super::super::sabotage::{Harm, Sabotage};

/// How much goes on at once.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    nodes: usize,
    /// Requests of a node that overlap.
    readers: usize,
    /// Changes that overlap: not acknowledged a lease ago.
    changes: usize,
    /// News and answers on their way to a node.
    queue: usize,
    /// Ticks of the clock in a lease.
    lease: u64,
    /// What may happen to the session.
    kinds: &'static [Kind],
    start: Start,
    broken: Broken,
}

/// Where exploring begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// No feed has been opened yet.
    Cold,
    /// Everything is trusted, and nothing remembered: the quickest way to what can go wrong.
    Trusting,
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    Nothing,
    /// A step of the engine.
    Engine(Sabotage),
    /// A promise of the feed ([`Feed::prove`](cloakroom_store::Feed::prove)).
    Feed(Defect),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    /// The answer to a probe overtakes news that was told before it.
    AnswerOvertakesNews,
    /// A link that was lost is opened anew, and nobody is told.
    SilentLoss,
    /// A verb returns before the feeds are told of what it did.
    TellsAfterReturning,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// The clock moves.
    Tick,
    /// A change takes effect in the store.
    Apply(Kind, Option<usize>),
    /// The store tells its feeds of the change with this index.
    Tell(usize),
    /// The change with this index is acknowledged to whoever asked for it.
    Acknowledge(usize),
    /// The engine begins to open a feed.
    Open(usize),
    /// The feed is connected: from now on it hears of changes.
    Connect(usize),
    /// From now on nothing enters the link.
    Cut(usize),
    /// The feed notices that its link is lost, and tells the node.
    Notice(usize),
    /// The engine drops the feed.
    Close(usize),
    /// What comes next on the link arrives.
    Deliver(usize),
    /// The second half of a gap: readers see the new generation.
    Show(usize),
    /// The engine begins a proof.
    Begin(usize),
    /// The store answers the probe.
    Serve(usize),
    /// The engine gives the proof up.
    GiveUp(usize),
    /// The engine acts on the answer.
    Prove(usize),
    /// The cache makes room.
    Evict(usize),
    /// A request comes that asks the store, whatever is remembered.
    AskStore(usize, usize),
    /// A request takes its next step, or a new one its first.
    Step(usize, usize),
    /// The store's answer to a request is lost.
    Fail(usize, usize),
}

impl Sizes {
    fn harm(&self) -> Harm {
        match self.broken {
            Broken::Engine(sabotage) => Harm::by(sabotage),
            Broken::Nothing | Broken::Feed(_) => Harm::default(),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.broken == Broken::Feed(defect)
    }

    fn store_actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.answer().is_live && world.changes.len() < self.changes {
            for &kind in self.kinds {
                actions.push(Action::Apply(kind, None));
                actions.extend((0..self.nodes).map(|node| Action::Apply(kind, Some(node))));
            }
        }
        let room = world.nodes.iter().all(|node| match &node.link {
            Link::Up { queue, is_cut: false } => queue.len() < self.queue,
            _ => true,
        });
        let told_first = if self.has(Defect::TellsAfterReturning) { Phase::Applied } else { Phase::Told };
        let mut all_told = true;
        for (index, change) in world.changes.iter().enumerate() {
            let is_free = change.by.is_none_or(|node| !world.nodes[node].is_locked());
            if change.phase == Phase::Applied && all_told && room {
                actions.push(Action::Tell(index));
            }
            if change.phase == told_first && is_free {
                actions.push(Action::Acknowledge(index));
            }
            all_told &= change.phase != Phase::Applied;
        }
    }

    fn node_actions(&self, world: &World, number: usize, actions: &mut Vec<Action>) {
        let node = &world.nodes[number];
        let locked = node.is_locked();
        if locked {
            actions.push(Action::Show(number));
        }
        match &node.link {
            Link::Closed if !locked => actions.push(Action::Open(number)),
            Link::Closed => {}
            Link::Lost if !locked => actions.extend([Action::Connect(number), Action::Close(number)]),
            Link::Lost => {}
            Link::Up { queue, is_cut } => {
                actions.push(if *is_cut { Action::Notice(number) } else { Action::Cut(number) });
                if !locked {
                    actions.push(Action::Close(number));
                }
                let is_held_up = locked && queue.first() == Some(&Item::Anything);
                if !queue.is_empty() && !is_held_up {
                    actions.push(Action::Deliver(number));
                }
            }
        }
        match node.probe {
            // A proof that could prove nothing new makes no difference.
            None if node.trust.until() < world.now + self.lease && !locked => {
                actions.push(Action::Begin(number))
            }
            None => {}
            Some((_, Probe::Sent)) => {
                if matches!(node.link, Link::Up { is_cut: false, .. }) {
                    actions.push(Action::Serve(number));
                }
                actions.push(Action::GiveUp(number));
            }
            Some((_, Probe::Queued)) => actions.push(Action::GiveUp(number)),
            Some((_, Probe::Answered)) if !locked => actions.push(Action::Prove(number)),
            Some((_, Probe::Answered)) => {}
        }
        if node.entry.is_some() {
            actions.push(Action::Evict(number));
        }
        for (reader, at) in node.readers.iter().enumerate() {
            actions.push(Action::Step(number, reader));
            match at {
                Reader::Idle => actions.push(Action::AskStore(number, reader)),
                Reader::Asking { .. } => actions.push(Action::Fail(number, reader)),
                _ => {}
            }
        }
    }
}

impl Model for Sizes {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let node = Node {
            trust: Trust::default(),
            proofs: Proofs::default(),
            shown: 0,
            counter: Counter::default(),
            entry: None,
            link: Link::Closed,
            probe: None,
            readers: vec![Reader::Idle; self.readers],
            has_said_ended: false,
        };
        let cold = World {
            harm: self.harm(),
            lease: self.lease,
            now: 1,
            settled: 0,
            changes: Vec::new(),
            nodes: vec![node; self.nodes],
            breach: None,
        };
        let all = (0..self.nodes).flat_map(|node| OPENING.map(|action| action(node)));
        match self.start {
            Start::Cold => vec![cold],
            Start::Trusting => vec![all.fold(cold, |world, action| {
                let mut possible = Vec::new();
                self.actions(&world, &mut possible);
                let next = possible.contains(&action).then(|| self.next_state(&world, action));
                next.flatten().unwrap_or(world)
            })],
        }
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.breach.is_some() {
            return;
        }
        actions.push(Action::Tick);
        self.store_actions(world, actions);
        for number in 0..self.nodes {
            self.node_actions(world, number, actions);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let (now, harm) = (world.now, world.harm);
        match action {
            Action::Tick => {
                world.now += 1;
                world.settle();
            }
            Action::Apply(kind, by) => world.changes.push(Change { kind, by, phase: Phase::Applied }),
            Action::Tell(index) => world.tell(index),
            Action::Acknowledge(index) => world.acknowledge(index),
            Action::Open(node) => {
                if harm != Harm::by(Sabotage::ReopenKeepsEntries) {
                    world.nodes[node].gap(harm);
                }
                world.nodes[node].link = Link::Lost;
            }
            Action::Connect(node) => world.nodes[node].link = Link::Up { queue: Vec::new(), is_cut: false },
            Action::Cut(node) => {
                let Link::Up { is_cut, .. } = &mut world.nodes[node].link else { return None };
                *is_cut = true;
            }
            Action::Notice(node) => world.nodes[node].notice(self.has(Defect::SilentLoss), harm),
            Action::Close(node) => {
                let node = &mut world.nodes[node];
                (node.link, node.probe) = (Link::Closed, None);
                if harm != Harm::by(Sabotage::ReopenKeepsEntries) {
                    node.gap(harm);
                }
            }
            Action::Deliver(node) => world.nodes[node].deliver(harm)?,
            Action::Show(node) => world.nodes[node].shown = world.nodes[node].trust.generation(),
            Action::Begin(node) => {
                let node = &mut world.nodes[node];
                node.probe = Some((node.proofs.begin(now), Probe::Sent));
            }
            Action::Serve(node) => world.nodes[node].serve(self.has(Defect::AnswerOvertakesNews))?,
            Action::GiveUp(node) => world.nodes[node].give_up(),
            Action::Prove(node) => {
                let node = &mut world.nodes[node];
                let (proof, _) = node.probe.take()?;
                node.trust.proven(proof, self.lease, now, harm);
            }
            Action::Evict(node) => world.nodes[node].entry = None,
            Action::AskStore(node, reader) => {
                let asked = world.asked(node);
                world.nodes[node].readers[reader] = Reader::Marking { asked, generation: None, until: None };
            }
            Action::Step(node, reader) => world.step(node, reader),
            Action::Fail(node, reader) => world.nodes[node].readers[reader] = Reader::Idle,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LAW, |_, world: &World| world.breach.is_none()),
            // A model in which nothing is ever believed would keep the law as well.
            Property::sometimes(HIT, |_, world: &World| {
                world.nodes.iter().any(|node| node.is_about_to_hit(world.now))
            }),
            Property::sometimes(HIT_AFTER_GAP, |_, world: &World| {
                let recovered = |node: &&Node| node.trust.generation() > 2 && node.is_about_to_hit(world.now);
                world.nodes.iter().any(|node| recovered(&node))
            }),
            Property::sometimes(REFUSED, |_, world: &World| world.nodes.iter().any(Node::is_about_to_refuse)),
        ]
    }
}

impl World {
    fn tell(&mut self, index: usize) {
        let change = &mut self.changes[index];
        if change.phase == Phase::Applied {
            change.phase = Phase::Told;
        }
        let item = if change.kind == Kind::Everything { Item::Anything } else { Item::Changed };
        for node in &mut self.nodes {
            if let Link::Up { queue, is_cut: false } = &mut node.link {
                queue.push(item);
            }
        }
    }

    /// What a node does before it hands the acknowledgement on is done at the same instant: later would be kinder.
    fn acknowledge(&mut self, index: usize) {
        let (now, harm) = (self.now, self.harm);
        let change = &mut self.changes[index];
        change.phase = Phase::Acknowledged(now);
        let Some(node) = change.by.map(|number| &mut self.nodes[number]) else { return };
        match change.kind {
            Kind::Write if harm == Harm::by(Sabotage::ForgetOwnChanges) => {}
            Kind::Write => node.forget(),
            Kind::End => node.trust.floor(node.proofs.next(), harm),
            Kind::Everything => {
                node.gap(harm);
                node.trust.floor(node.proofs.next(), harm);
            }
        }
    }

    fn asked(&self, node: usize) -> Asked {
        Asked { own: self.own(node), has_said_ended: self.nodes[node].has_said_ended }
    }

    /// One step of a request.
    fn step(&mut self, number: usize, reader: usize) {
        let (now, harm) = (self.now, self.harm);
        let (asked, answer) = (self.asked(number), self.answer());
        let node = &mut self.nodes[number];
        let mut said = None;
        let next = match node.readers[reader] {
            Reader::Idle => node.look(asked, Read::default(), now, harm),
            Reader::Looking {
                asked,
                read: Read { until: Some(until), generation: Some(generation), entry: Some(entry), clock },
            } => {
                match entry.filter(|entry| {
                    let clock = clock.unwrap_or(now);
                    if entry.answer.is_live {
                        is_usable(until, generation, entry.generation, clock)
                    } else {
                        entry.generation == generation
                    }
                }) {
                    Some(entry) => {
                        said = Some((asked, entry.answer, true));
                        Reader::Idle
                    }
                    None => Reader::Marking { asked, generation: None, until: None },
                }
            }
            Reader::Looking { asked, read } => node.look(asked, read, now, harm),
            Reader::Marking { asked, generation, until } => node.mark(asked, generation, until, now, harm),
            Reader::Asking { asked, mark } => Reader::Answered { asked, mark, answer },
            Reader::Answered { asked, mark, answer } => {
                node.learn(mark, answer, harm);
                said = Some((asked, answer, false));
                Reader::Idle
            }
        };
        node.readers[reader] = next;
        if let Some((asked, answer, from_memory)) = said {
            self.breach = self.judge(number, asked, answer, from_memory);
        }
    }

    /// What is wrong with an answer that a request gets now.
    fn judge(&mut self, number: usize, asked: Asked, answer: Answer, from_memory: bool) -> Option<Breach> {
        if !answer.is_live {
            self.nodes[number].has_said_ended = true;
            return self.answer().is_live.then_some(Breach::SignedOut);
        }
        if from_memory && answer.version < self.due() {
            Some(Breach::Late)
        } else if answer.version < asked.own {
            Some(Breach::OwnChange)
        } else if asked.has_said_ended {
            Some(Breach::Revived)
        } else {
            None
        }
    }
}

impl Node {
    /// Whether somebody holds the lock of the ledger.
    fn is_locked(&self) -> bool {
        self.shown != self.trust.generation()
    }

    /// The first half of a gap: readers see that nothing is trusted.
    fn gap(&mut self, harm: Harm) {
        self.trust.gap(self.proofs.next(), harm);
    }

    fn forget(&mut self) {
        self.counter.advance();
        self.entry = None;
    }

    fn notice(&mut self, is_silent: bool, harm: Harm) {
        self.link = Link::Lost;
        // What the feed has answered before is on its way to the engine; anything else it will not answer.
        self.probe = self.probe.filter(|(_, probe)| *probe == Probe::Answered);
        if !is_silent && harm != Harm::by(Sabotage::ForgetNews) {
            self.gap(harm);
        }
    }

    fn deliver(&mut self, harm: Harm) -> Option<()> {
        let Link::Up { queue, .. } = &mut self.link else { return None };
        let is_heard = harm != Harm::by(Sabotage::ForgetNews);
        match queue.remove(0) {
            Item::Changed if is_heard => self.forget(),
            Item::Anything if is_heard => self.gap(harm),
            Item::Changed | Item::Anything => {}
            Item::Answer => self.probe = self.probe.map(|(proof, _)| (proof, Probe::Answered)),
        }
        Some(())
    }

    fn serve(&mut self, overtakes: bool) -> Option<()> {
        let Link::Up { queue, .. } = &mut self.link else { return None };
        let (_, probe) = self.probe.as_mut()?;
        if overtakes {
            *probe = Probe::Answered;
        } else {
            *probe = Probe::Queued;
            queue.push(Item::Answer);
        }
        Some(())
    }

    fn give_up(&mut self) {
        self.probe = None;
        if let Link::Up { queue, .. } = &mut self.link {
            queue.retain(|item| *item != Item::Answer);
        }
    }

    /// The next reading of a look, in the order of `Cache::look`.
    fn look(&self, asked: Asked, mut read: Read, now: u64, harm: Harm) -> Reader {
        if read.entry.is_none() && harm == Harm::by(Sabotage::EntryBeforeTrust) {
            read.entry = Some(self.entry);
        } else if read.clock.is_none() && harm == Harm::by(Sabotage::ClockBeforeEntry) {
            read.clock = Some(now);
        } else if read.until.is_none() {
            read.until = Some(self.trust.until());
        } else if read.generation.is_none() {
            read.generation = Some(self.shown);
        } else {
            read.entry = Some(self.entry);
        }
        match read.entry {
            Some(None) => Reader::Marking { asked, generation: None, until: None },
            _ => Reader::Looking { asked, read },
        }
    }

    /// The next reading of a mark, in the order of `Cache::mark`.
    fn mark(
        &self,
        asked: Asked,
        generation: Option<u64>,
        until: Option<u64>,
        now: u64,
        harm: Harm,
    ) -> Reader {
        let trust_first = harm == Harm::by(Sabotage::MarkTrustFirst);
        match (generation, until) {
            (Some(generation), Some(until)) => {
                Reader::Asking { asked, mark: Mark::take(generation, until, self.counter, now, harm) }
            }
            (None, None) if trust_first => {
                Reader::Marking { asked, generation, until: Some(self.trust.until()) }
            }
            (None, _) => Reader::Marking { asked, generation: Some(self.shown), until },
            (_, None) => Reader::Marking { asked, generation, until: Some(self.trust.until()) },
        }
    }

    /// As `Cache::learn`.
    fn learn(&mut self, mark: Mark, answer: Answer, harm: Harm) {
        if !answer.is_live {
            if harm != Harm::by(Sabotage::EndedAnswerIsNoNews) {
                self.forget();
            }
            self.entry = Some(Entry { answer, generation: mark.generation() });
            return;
        }
        if !mark.holds(self.shown, self.counter, harm) {
            self.entry =
                self.entry.filter(|known| !(known.answer.is_live && known.answer.version < answer.version));
            return;
        }
        let outranks = |known: Entry| {
            known.generation == self.shown && (!known.answer.is_live || known.answer.version > answer.version)
        };
        if !self.entry.is_some_and(outranks) {
            let generation =
                if harm == Harm::by(Sabotage::FillAcrossGap) { self.shown } else { mark.generation() };
            self.entry = Some(Entry { answer, generation });
        }
    }

    fn is_about_to_hit(&self, now: u64) -> bool {
        self.readers.iter().any(|reader| match reader {
            Reader::Looking {
                read: Read { until: Some(until), generation: Some(generation), entry: Some(Some(entry)), .. },
                ..
            } => entry.answer.is_live && is_usable(*until, *generation, entry.generation, now),
            _ => false,
        })
    }

    fn is_about_to_refuse(&self) -> bool {
        self.readers.iter().any(|reader| match reader {
            Reader::Answered { mark, answer, .. } => {
                answer.is_live && !mark.holds(self.shown, self.counter, Harm::default())
            }
            _ => false,
        })
    }
}

/// Explores all of it, or until something breaks the law; what broke it, and how, where something did.
fn explore(sizes: Sizes) -> Option<(Breach, Vec<Action>)> {
    let checker = sizes.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{:?}: {} states", sizes, checker.unique_state_count());
    let found = checker.discovery(LAW).map(|path| {
        let breach = path.last_state().breach.expect("that is what the property says");
        (breach, path.into_actions())
    });
    if found.is_none() {
        for possible in [HIT, HIT_AFTER_GAP, REFUSED] {
            assert!(checker.discovery(possible).is_some(), "never seen: {possible}");
        }
    }
    found
}

/// How a node comes to trust.
const OPENING: [fn(usize) -> Action; 7] = [
    Action::Open,
    Action::Show,
    Action::Connect,
    Action::Begin,
    Action::Serve,
    Action::Deliver,
    Action::Prove,
];

const LAW: &str = "what is remembered is used for less than a lease after it has changed";
const HIT: &str = "a request is answered from memory";
const HIT_AFTER_GAP: &str = "a request is answered from memory after the feed was lost";
const REFUSED: &str = "an answer is not remembered";

/// One node, one request and one change at a time; faults and time as they like.
const ENDS: Sizes = Sizes {
    nodes: 1,
    readers: 1,
    changes: 1,
    queue: 2,
    lease: 1,
    kinds: &[Kind::End],
    start: Start::Cold,
    broken: Broken::Nothing,
};
const WRITES: Sizes = Sizes { kinds: &[Kind::Write], ..ENDS };
const EVERYTHING: Sizes = Sizes { kinds: &[Kind::Everything], ..ENDS };
/// Two requests of a node that overlap.
const REQUESTS: Sizes = Sizes { readers: 2, queue: 1, ..ENDS };

/// Explored by `cargo test`, in seconds.
const SMALL: &[Sizes] = &[ENDS, WRITES, EVERYTHING];
/// Explored besides by `cargo test --release`, in minutes and gigabytes: half a lease, changes that overlap, requests that
/// overlap. Two nodes are no more than one among others: they meet in the store alone, where anything may happen anyway.
const LARGER: &[Sizes] = &[
    Sizes { lease: 2, kinds: &[Kind::Write, Kind::End], ..ENDS },
    Sizes { changes: 2, kinds: &[Kind::Write, Kind::End], ..ENDS },
    REQUESTS,
];

#[test]
fn the_law_holds_in_every_order_of_events() {
    let larger = if cfg!(debug_assertions) { &[] } else { LARGER };
    for sizes in SMALL.iter().chain(larger) {
        assert_eq!(explore(*sizes), None);
    }
}

#[test]
fn each_step_that_the_engine_leaves_out_or_does_wrong_breaks_the_law() {
    for sabotage in Sabotage::ALL {
        let sizes = match sabotage {
            Sabotage::ForgetOwnChanges => WRITES,
            // One answer that overtakes another.
            Sabotage::EndedAnswerIsNoNews => REQUESTS,
            _ => ENDS,
        };
        let found = explore(Sizes { start: Start::Trusting, broken: Broken::Engine(sabotage), ..sizes });
        let (breach, trace) = found.unwrap_or_else(|| panic!("{sabotage:?} is not noticed"));
        println!("{sabotage:?}: {breach:?} by {trace:?}");
    }
}

#[test]
fn each_promise_that_a_feed_breaks_breaks_the_law() {
    for defect in [Defect::AnswerOvertakesNews, Defect::SilentLoss, Defect::TellsAfterReturning] {
        let found = explore(Sizes { start: Start::Trusting, broken: Broken::Feed(defect), ..ENDS });
        let (breach, trace) = found.unwrap_or_else(|| panic!("{defect:?} is not noticed"));
        println!("{defect:?}: {breach:?} by {trace:?}");
    }
}
