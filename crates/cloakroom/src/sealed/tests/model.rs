//! The mirror's protocol, explored exhaustively: every order in which the steps of readings, ends, losses and requests can
//! happen, time passing between any two of them.
//!
//! The decisions are the engine's own ([`protocol`](super::super::mirror)), and so is the order in which a request looks; the steps
//! between which others may run are those of the mirror: an answer is taken in, and then its lease is published.
//! There is one node, and there are two sessions, whose ends are pages of their own; they are ended by the node or elsewhere.
//! The list may lose its last entries, and go on.

use std::cell::{Cell, RefCell};

use cloakroom_core::{EndReason, SessionId, Timestamp};
use cloakroom_store::{Place, Reading, RevocationEntry, Scope};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::sealed::mirror::protocol::{Course, Look, Step, Trust, Words, look};

/// A step that is left out or done wrong, so that it is seen whether anybody notices.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Wrong {
    /// The lease counts from the instant of the answer, not from that of the question.
    LeaseFromReply,
    /// The lease is published before the entries are taken in.
    TrustBeforeEntries,
    /// A page counts as the whole list.
    FirstPageIsAll,
    /// What the list does not know any more is forgotten here too.
    ForgetWhatWasLost,
    /// The copy is looked at before the lease is.
    EntriesBeforeTrust,
    /// The clock is read before the copy is looked at.
    ClockBeforeEntries,
    /// What this node ended itself is left to the list to tell.
    OwnEndsUntold,
}

#[derive(Clone, Debug)]
struct Sizes {
    lease: u64,
    ticks: u64,
    losses: u8,
    wrong: Option<Wrong>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    now: u64,
    log: Vec<Item>,
    /// Numbers and nonces that were used: neither comes twice, but for numbers that were lost.
    nonces: u64,
    losses: u8,
    ends: [End; SESSIONS],
    node: Node,
    breach: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Item {
    number: u64,
    nonce: u64,
    session: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum End {
    Lives,
    /// It is in the list; whoever asked for it does not know yet.
    Written {
        here: bool,
    },
    Acknowledged {
        here: bool,
        at: u64,
        lost: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    course: Course,
    trust: Trust,
    knows: [bool; SESSIONS],
    /// What it knew at any time.
    knew: [bool; SESSIONS],
    reading: Errand,
    request: Option<Request>,
}

/// Where the node's reading stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Errand {
    None,
    Asked {
        sent_at: u64,
    },
    Answered {
        sent_at: u64,
        answer: Answer,
    },
    /// It was complete; its entries are in the copy, or will be, and its lease is to be published, or was.
    Last {
        sent_at: u64,
        answered_at: u64,
        entries: Vec<Item>,
        published: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Answer {
    Lost,
    Entries(Vec<Item>, bool),
}

/// What a request has read so far.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Request {
    /// The node knew of the end, or had ended the session itself, when the request came.
    must_be_refused: bool,
    seen: Vec<u64>,
}

/// What a look reads: first what it has read already, then one thing more.
struct Glance<'a> {
    node: &'a Node,
    now: u64,
    seen: RefCell<Vec<u64>>,
    place: Cell<usize>,
    is_done: Cell<bool>,
}

/// Others may do something before it reads on.
struct Later;

impl Glance<'_> {
    fn read(&self, word: impl FnOnce() -> u64) -> Result<u64, Later> {
        let mut seen = self.seen.borrow_mut();
        let place = self.place.replace(self.place.get() + 1);
        if let Some(known) = seen.get(place) {
            return Ok(*known);
        }
        if self.is_done.replace(true) {
            return Err(Later);
        }
        seen.push(word());
        Ok(seen[place])
    }
}

impl Words for Glance<'_> {
    type Cover = ();
    type Stop = Later;

    // Nothing is held or forgotten here: see `forgetting`.
    fn newest(&self) -> Result<u64, Later> {
        Ok(0)
    }

    fn anew(&self) -> Result<u64, Later> {
        Ok(0)
    }

    fn forgot(&self) -> Result<Timestamp, Later> {
        Ok(Timestamp::EPOCH)
    }

    fn trust(&self) -> Result<Trust, Later> {
        self.read(|| self.node.trust.nanos()).map(Trust::from_nanos)
    }

    fn cover(&self) -> Result<Option<()>, Later> {
        self.read(|| u64::from(self.node.knows[0])).map(|knows| (knows != 0).then_some(()))
    }

    fn clock(&self) -> Result<u64, Later> {
        self.read(|| self.now)
    }
}

/// Wrong: the copy is looked at first.
fn look_at_entries_first(glance: &Glance<'_>) -> Result<Look<()>, Later> {
    let (cover, trust) = (glance.cover()?, glance.trust()?);
    let is_clear = cover.is_none() && trust.holds(glance.clock()?);
    Ok(Look { cover, is_clear, knows_more: false })
}

/// Wrong: the clock is read before the copy.
fn look_at_the_clock_first(glance: &Glance<'_>) -> Result<Look<()>, Later> {
    let (trust, now, cover) = (glance.trust()?, glance.clock()?, glance.cover()?);
    Ok(Look { cover, is_clear: cover.is_none() && trust.holds(now), knows_more: false })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Tick,
    End { session: usize, here: bool },
    Acknowledge(usize),
    Lose,
    Ask,
    Serve,
    GiveUp,
    Arrive,
    Finish,
    Request,
    Look,
}

impl Model for Sizes {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let node = Node {
            course: Course::default(),
            trust: Trust::default(),
            knows: [false; SESSIONS],
            knew: [false; SESSIONS],
            reading: Errand::None,
            request: None,
        };
        let ends = [End::Lives; SESSIONS];
        vec![World { now: 1, log: Vec::new(), nonces: 0, losses: 0, ends, node, breach: None }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.breach.is_some() {
            return;
        }
        if world.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (session, end) in world.ends.iter().enumerate() {
            match end {
                End::Lives => {
                    actions.push(Action::End { session, here: false });
                    // The other session is there to make pages: it does not matter who ends it.
                    if session == 0 {
                        actions.push(Action::End { session, here: true });
                    }
                }
                End::Written { .. } => actions.push(Action::Acknowledge(session)),
                End::Acknowledged { .. } => {}
            }
        }
        if world.losses < self.losses && !world.log.is_empty() {
            actions.push(Action::Lose);
        }
        match world.node.reading {
            Errand::None => actions.push(Action::Ask),
            Errand::Asked { .. } => actions.extend([Action::Serve, Action::GiveUp]),
            Errand::Answered { .. } => actions.push(Action::Arrive),
            Errand::Last { .. } => actions.push(Action::Finish),
        }
        actions.push(if world.node.request.is_some() { Action::Look } else { Action::Request });
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.now += 1,
            Action::End { session, here } => {
                world.write(session);
                world.ends[session] = End::Written { here };
            }
            Action::Acknowledge(session) => {
                let End::Written { here } = world.ends[session] else { return None };
                let lost = world.log.iter().all(|item| item.session != session);
                world.ends[session] = End::Acknowledged { here, at: world.now, lost };
                if here && !self.does(Wrong::OwnEndsUntold) {
                    world.node.learn(session);
                }
            }
            Action::Lose => {
                let item = world.log.pop()?;
                world.losses += 1;
                if let End::Acknowledged { lost, .. } = &mut world.ends[item.session] {
                    *lost = true;
                }
            }
            Action::Ask => world.node.reading = Errand::Asked { sent_at: world.now },
            Action::Serve => {
                let Errand::Asked { sent_at } = world.node.reading else { return None };
                let answer = world.answer();
                world.node.reading = Errand::Answered { sent_at, answer };
            }
            Action::GiveUp => world.node.reading = Errand::None,
            Action::Arrive => self.arrive(&mut world)?,
            Action::Finish => self.finish(&mut world)?,
            Action::Request => {
                let is_own = matches!(world.ends[0], End::Acknowledged { here: true, .. });
                let must_be_refused = is_own || world.node.knew[0];
                world.node.request = Some(Request { must_be_refused, ..Request::default() });
            }
            Action::Look => self.look(&mut world)?,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LAW, |_, world: &World| world.breach.is_none()),
            // A model in which nobody is let in would keep the law as well.
            Property::sometimes("a request is about to be let in", |_, world: &World| {
                world.node.trust.holds(world.now) && !world.node.knows[0]
            }),
            Property::sometimes("an end that was read is about to refuse", |_, world: &World| {
                world.node.knows[0] && matches!(world.ends[0], End::Acknowledged { here: false, .. })
            }),
            Property::sometimes("a list that lost something is believed again", |_, world: &World| {
                world.losses > 0
                    && world.node.trust.holds(world.now)
                    && world.node.course != Course::default()
            }),
        ]
    }
}

impl Sizes {
    /// An answer is here.
    fn arrive(&self, world: &mut World) -> Option<()> {
        let Errand::Answered { sent_at, answer } = world.node.reading.clone() else { return None };
        let entries = match &answer {
            Answer::Lost => Vec::new(),
            Answer::Entries(entries, _) => entries.clone(),
        };
        world.node.reading = match world.node.course.answered(&self.reading(&answer)) {
            Step::More(_) => {
                world.node.take_in(&entries);
                Errand::Asked { sent_at: world.now }
            }
            Step::Complete(_) => Errand::Last { sent_at, answered_at: world.now, entries, published: false },
            Step::Anew => {
                if self.does(Wrong::ForgetWhatWasLost) {
                    world.node.knows = [false; SESSIONS];
                }
                Errand::Asked { sent_at: world.now }
            }
            Step::Nonsense => Errand::None,
        };
        Some(())
    }

    /// The next of the two last steps of a reading: entries, lease.
    fn finish(&self, world: &mut World) -> Option<()> {
        let Errand::Last { sent_at, answered_at, entries, published } = world.node.reading.clone() else {
            return None;
        };
        let lease_first = self.does(Wrong::TrustBeforeEntries);
        if published || (!lease_first && !entries.is_empty()) {
            world.node.take_in(&entries);
            let entries = Vec::new();
            world.node.reading = if published {
                Errand::None
            } else {
                Errand::Last { sent_at, answered_at, entries, published }
            };
            return Some(());
        }
        let from = if self.does(Wrong::LeaseFromReply) { answered_at } else { sent_at };
        world.node.trust = world.node.trust.read(from, self.lease);
        world.node.reading = if lease_first && !entries.is_empty() {
            Errand::Last { sent_at, answered_at, entries, published: true }
        } else {
            Errand::None
        };
        Some(())
    }

    /// The next step of the request for the first session.
    fn look(&self, world: &mut World) -> Option<()> {
        let request = world.node.request.take()?;
        let seen = RefCell::new(request.seen.clone());
        let (place, is_done) = (Cell::new(0), Cell::new(false));
        let glance = Glance { node: &world.node, now: world.now, seen, place, is_done };
        let looked = match self.wrong {
            Some(Wrong::EntriesBeforeTrust) => look_at_entries_first(&glance),
            Some(Wrong::ClockBeforeEntries) => look_at_the_clock_first(&glance),
            _ => look(&glance, 0, Timestamp::EPOCH),
        };
        let seen = glance.seen.into_inner();
        match looked {
            Err(Later) => world.node.request = Some(Request { seen, ..request }),
            Ok(look) if look.is_clear => world.breach = world.let_in(self.lease, request.must_be_refused),
            Ok(_) => {}
        }
        Some(())
    }

    fn does(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    fn reading(&self, answer: &Answer) -> Reading {
        let Answer::Entries(entries, more) = answer else { return Reading::Lost };
        let entry = |item: &Item| {
            let (at, until) = (Timestamp::EPOCH, Timestamp::MAX);
            let (scope, reason) = (Scope::Session(SessionId::from_bytes([0; 16])), EndReason::Compromised);
            (item.number, RevocationEntry { scope, at, until, reason, nonce: item.nonce })
        };
        let more = *more && !self.does(Wrong::FirstPageIsAll);
        Reading::Entries { entries: entries.iter().map(entry).collect(), more }
    }
}

impl World {
    fn write(&mut self, session: usize) {
        self.nonces += 1;
        let number = self.log.last().map_or(0, |item| item.number) + 1;
        self.log.push(Item { number, nonce: self.nonces, session });
    }

    /// What the list says at the node's place: one entry at a time.
    fn answer(&self) -> Answer {
        let place = self.node.course.place();
        let is_known = |item: &Item| (item.number, item.nonce) == (place.number, place.nonce);
        if place != Place::START && !self.log.iter().any(is_known) {
            return Answer::Lost;
        }
        let mut after = self.log.iter().filter(|item| item.number > place.number).copied();
        let page = after.next();
        Answer::Entries(page.into_iter().collect(), after.next().is_some())
    }

    /// The first session is let in now. What that breaks.
    fn let_in(&self, lease: u64, must_be_refused: bool) -> Option<&'static str> {
        match self.ends[0] {
            _ if must_be_refused => Some("a node lets in whom it knows to be over"),
            End::Acknowledged { at, lost: false, .. } if self.now >= at + lease => {
                Some("a session is let in a lease after its end")
            }
            _ => None,
        }
    }
}

impl Node {
    fn learn(&mut self, session: usize) {
        (self.knows[session], self.knew[session]) = (true, true);
    }

    fn take_in(&mut self, entries: &[Item]) {
        entries.iter().for_each(|item| self.learn(item.session));
    }
}

fn explored(wrong: Option<Wrong>) -> impl Checker<Sizes> {
    let sizes = Sizes { lease: 1, ticks: 3, losses: 1, wrong };
    let finish = if wrong.is_none() { HasDiscoveries::All } else { HasDiscoveries::AnyFailures };
    sizes.checker().finish_when(finish).threads(1).spawn_bfs().join()
}

#[test]
fn nobody_is_let_in_a_lease_after_their_end_and_nothing_is_taken_back() {
    let checker = explored(None);
    let states = checker.unique_state_count();
    assert!(states > 10_000, "only {states} states");
    checker.assert_properties();
}

#[test]
fn every_step_that_is_done_wrong_lets_somebody_in() {
    for wrong in [
        Wrong::LeaseFromReply,
        Wrong::TrustBeforeEntries,
        Wrong::FirstPageIsAll,
        Wrong::ForgetWhatWasLost,
        Wrong::EntriesBeforeTrust,
        Wrong::ClockBeforeEntries,
        Wrong::OwnEndsUntold,
    ] {
        let checker = explored(Some(wrong));
        assert!(checker.discovery(LAW).is_some(), "{wrong:?} is not noticed");
    }
}

const SESSIONS: usize = 2;
const LAW: &str = "nobody is let in who must not be";
