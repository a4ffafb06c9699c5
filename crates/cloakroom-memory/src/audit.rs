//! Whether everything a store keeps agrees with everything else, after whatever was asked of it.

use std::collections::{HashMap, HashSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, Seeded, at, principal_id};
use cloakroom_core::{EndReason, OnLimit, PrincipalId, SessionId, SessionLimit, Timestamp, TokenDigest};
use cloakroom_store::{
    Cursor, EndRequest, Ended, Entry, ExportQuery, Filed, Imported, InsertRequest, Inserted, ListFilter,
    ListQuery, Live, Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Retired, Selector, StateFilter,
    Store, StoreFuture, SweepRequest, Swept, Touch, Version,
};
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::order::place;
use crate::shard::{Bytes, Shard};
use crate::slab::Index;
use crate::slot::{Class, State};
use crate::{MemoryOptions, MemoryStore};

impl MemoryStore {
    /// # Panics
    /// Where something does not agree.
    fn audit(&self) {
        let reports = self.reports.bytes();
        let mut all = reports;
        let mut remnants = 0;
        for cell in &self.cells {
            let shard = cell.lock();
            shard.audit();
            all += shard.bytes.all;
            remnants += shard.bytes.remnants;
            for class in CLASSES {
                let oldest = shard.lists.of(class).first().map(|index| shard.slots.get(index).at);
                assert_eq!(cell.oldest(class), oldest, "the oldest of {class:?} is published");
            }
            assert_eq!(cell.due_at(), shard.due_at(), "what is due is published");
        }
        assert_eq!((self.ledger.all(), self.ledger.remnants()), (all, remnants), "the ledger adds up");
        // What has not been told of yet cannot go, and a record that grew may leave no room for it.
        assert!(all - reports <= self.max_bytes, "the store keeps its bound");
    }
}

impl Shard {
    fn audit(&self) {
        let slots: Vec<Index> = self.slots.iter().map(|(index, _)| index).collect();
        let mut counts = cloakroom_store::Counts::default();
        let mut bytes = Bytes::default();
        let (mut ids, mut warm, mut principals) = (0, 0, HashSet::new());
        for index in &slots {
            let slot = self.slots.get(*index);
            let digest = [slot.id.route().as_bytes().as_slice(), &slot.hash].concat();
            assert_eq!(self.find(&TokenDigest::from_bytes(&digest).unwrap()), Some(*index));
            let listed = self.lists.of(slot.class()).iter(&self.slots).any(|other| other == *index);
            assert!(listed, "every slot is in the list of its class");
            bytes.all += slot.bytes();
            match &slot.state {
                State::Retired { .. } => bytes.remnants += slot.bytes(),
                State::Tombstone { .. } => {
                    bytes.remnants += slot.bytes();
                    counts.tombstones += 1;
                }
                State::Live(alive) => {
                    warm += alive.warm.as_ref().map_or(0, |record| record.memory_size());
                    match (self.epochs.end_of(alive.generation, slot.created_at), slot.class()) {
                        (None, Class::Anonymous) => counts.anonymous += 1,
                        (None, _) => counts.signed_in += 1,
                        (Some(_), _) => {}
                    }
                }
            }
            if !matches!(slot.state, State::Retired { .. }) {
                ids += 1;
                assert_eq!(self.find_id(slot.id), Some(*index));
            }
            match slot.packed.principal() {
                Some(name) => {
                    principals.insert(name);
                    self.audit_kin(name, *index);
                }
                None => assert!(slot.kin.before.is_none() && slot.kin.after.is_none()),
            }
        }
        assert_eq!(self.directory.len(), (slots.len(), ids));
        let order: Vec<Cursor> = self.order.all().map(|index| place(&self.slots, index)).collect();
        assert!(order.is_sorted_by(|one, next| one < next), "in order: {order:?}");
        assert_eq!(order.len(), ids, "every session has a place in the order, and nothing else");
        assert_eq!(CLASSES.map(|class| self.audit_list(class)).iter().sum::<usize>(), slots.len());
        assert_eq!(self.kin.len(), principals.len());
        assert_eq!(self.wheel.len(), slots.len(), "every slot is looked at some day");
        assert_eq!((self.counts, self.bytes), (counts, bytes));
        assert_eq!(self.warm.bytes(), warm);
        assert!(warm <= self.warm.max_bytes());
        assert!(!self.epochs.is_pending() || self.carrying_out.is_some(), "every epoch is carried out");
    }

    fn audit_kin(&self, name: &[u8], index: Index) {
        let ring: Vec<Index> = self.kin.of(&self.slots, name).collect();
        assert!(ring.contains(&index));
        assert!(
            ring.iter().is_sorted_by_key(|index| self.slots.get(*index).alive().is_none()),
            "the living are first"
        );
        for (one, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            assert_eq!(self.slots.get(*one).kin.after, Some(*next));
            assert_eq!(self.slots.get(*next).kin.before, Some(*one));
            assert_eq!(self.slots.get(*one).packed.principal(), Some(name));
        }
    }

    /// The length of a list that is linked alike in both directions.
    fn audit_list(&self, class: Class) -> usize {
        let list: Vec<Index> = self.lists.of(class).iter(&self.slots).collect();
        for (position, index) in list.iter().enumerate() {
            let before = position.checked_sub(1).map(|before| list[before]);
            assert_eq!(self.slots.get(*index).recency.before, before);
            assert_eq!(self.slots.get(*index).class(), class);
        }
        list.len()
    }
}

const CLASSES: [Class; 3] = [Class::Remnant, Class::Anonymous, Class::SignedIn];

/// Something to do with a store. Sessions are named by the order in which they were filed.
#[derive(Clone, Debug)]
enum Step {
    Insert {
        name: Option<u8>,
        size: usize,
        limit: Option<SessionLimit>,
        replaces: usize,
    },
    Get(usize),
    Replace {
        session: usize,
        size: usize,
    },
    Rekey {
        session: usize,
        size: usize,
    },
    Touch {
        session: usize,
        ago: i64,
    },
    End(usize),
    EndPrincipal {
        name: u8,
        except: usize,
    },
    EndIssuedBefore(i64),
    EndAll,
    Sweep(usize),
    /// What another store told comes here.
    Import {
        name: Option<u8>,
        size: usize,
        age: i64,
        kind: u8,
    },
    /// All of it goes to another store.
    Export,
    /// Milliseconds; a clock may step back.
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let on_limit = prop_oneof![Just(OnLimit::EndOldest), Just(OnLimit::EndIdlest), Just(OnLimit::Refuse)];
    let limit = prop::option::of(
        (1..4_u32, on_limit)
            .prop_map(|(max, on_limit)| SessionLimit { max: NonZeroU32::new(max).unwrap(), on_limit }),
    );
    let session = || 0..60_usize;
    let size = || prop_oneof![4 => Just(0), 1 => 0..2_000_usize];
    prop_oneof![
        12 => (prop::option::of(0..3_u8), size(), limit, session())
            .prop_map(|(name, size, limit, replaces)| Step::Insert { name, size, limit, replaces }),
        8 => session().prop_map(Step::Get),
        3 => (session(), size()).prop_map(|(session, size)| Step::Replace { session, size }),
        3 => (session(), size()).prop_map(|(session, size)| Step::Rekey { session, size }),
        6 => (session(), -500..500_i64).prop_map(|(session, ago)| Step::Touch { session, ago }),
        2 => session().prop_map(Step::End),
        1 => (0..3_u8, session()).prop_map(|(name, except)| Step::EndPrincipal { name, except }),
        1 => (-3_000..500_i64).prop_map(Step::EndIssuedBefore),
        1 => Just(Step::EndAll),
        3 => (prop::option::of(0..3_u8), size(), -50..2_000_i64, 0..4_u8)
            .prop_map(|(name, size, age, kind)| Step::Import { name, size, age, kind }),
        1 => Just(Step::Export),
        3 => (0..20_usize).prop_map(Step::Sweep),
        6 => prop_oneof![8 => 0..400_i64, 2 => 0..9_000_i64, 1 => -2_000..0_i64].prop_map(Step::Wait),
    ]
}

/// A store, and what has been heard of its sessions.
struct Story {
    store: MemoryStore,
    fixtures: Fixtures,
    filed: Vec<Filing>,
    /// Every digest a session ever had, the present one last.
    digests: HashMap<SessionId, Vec<TokenDigest>>,
    told: HashSet<SessionId>,
    over: HashSet<SessionId>,
    /// Sessions that were over when they came: whether they are told of is left open.
    came_over: HashSet<SessionId>,
    now: i64,
}

impl Story {
    fn new(max_bytes: usize) -> Self {
        Self {
            store: MemoryStore::new(MemoryOptions::default().with_max_bytes(max_bytes)),
            fixtures: Fixtures::new(1),
            filed: Vec::new(),
            digests: HashMap::new(),
            told: HashSet::new(),
            over: HashSet::new(),
            came_over: HashSet::new(),
            now: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        let now = at(self.now);
        match *step {
            Step::Insert { name, size, limit, replaces } => self.insert(name, size, limit, replaces),
            Step::Get(session) => {
                if let Some(filing) = self.filed.get(session).cloned() {
                    self.get(filing.record.id);
                }
            }
            Step::Replace { session, size } => self.replace(session, size),
            Step::Rekey { session, size } => self.rekey(session, size),
            Step::Touch { session, ago } => {
                let Some(digest) = self.digest(session) else { return };
                let touches = [Touch { digest, seen_at: at(self.now - ago) }];
                let report = answer(self.store.touch(&touches, now));
                assert_eq!(report.touched + report.ignored, 1);
            }
            Step::End(session) => {
                let Some(filing) = self.filed.get(session) else { return };
                self.end(&Selector::One(filing.record.id));
            }
            Step::EndPrincipal { name, except } => {
                let except = self.filed.get(except).map(|filing| filing.record.id);
                self.end(&Selector::Principal { principal: principal_id(&name.to_string()), except });
            }
            Step::EndIssuedBefore(distance) => self.end(&Selector::IssuedBefore(at(self.now + distance))),
            Step::EndAll => {
                self.end(&Selector::All);
                self.over.extend(self.digests.keys());
            }
            Step::Sweep(limit) => {
                let swept = self.sweep(now, limit);
                assert!(swept.removed <= limit);
            }
            Step::Import { name, size, age, kind } => self.import(name, size, age, kind),
            Step::Export => self.export(),
            Step::Wait(millis) => self.now += millis,
        }
    }

    fn insert(&mut self, name: Option<u8>, size: usize, limit: Option<SessionLimit>, replaces: usize) {
        let filing = match name {
            Some(name) => self.fixtures.signed_in(&name.to_string()),
            None => self.fixtures.anonymous(),
        };
        let filing = filing.issued_at(at(self.now)).with_attribute("a", vec![0; size]);
        let replaces = self.filed.get(replaces).map(|filing| filing.record.id);
        let Filing { record, digest } = &filing;
        let request = InsertRequest { record, digest: *digest, limit, replaces, now: at(self.now) };
        match self.store.insert(request).now_or_never().unwrap() {
            Ok(Inserted::Done { ended }) => {
                // It came too late, after an end of all issued before an instant, and a full store has cleared it up.
                let came_too_late =
                    |one: &Ended| one.session == record.id && one.reason != EndReason::StoreFull;
                let cleared_up = ended.iter().any(came_too_late);
                self.hear(ended);
                self.digests.insert(record.id, vec![*digest]);
                let found = answer(self.store.get(*digest, at(self.now)));
                let dead_on_arrival =
                    matches!(found, Lookup::Ended(_)) || (cleared_up && found == Lookup::Unknown);
                assert!(
                    dead_on_arrival || matches!(found, Lookup::Live(_)),
                    "a session just filed has its room"
                );
                self.filed.push(filing);
                if let (Some(name), Some(limit)) = (name, limit) {
                    let living = self.list(Some(principal_id(&name.to_string())), StateFilter::Active);
                    assert!(living <= usize::try_from(limit.max.get()).unwrap(), "the limit is exact");
                }
            }
            Ok(Inserted::AlreadyExists) => panic!("ids and digests differ"),
            Ok(Inserted::LimitReached) => assert_eq!(limit.unwrap().on_limit, OnLimit::Refuse),
            Err(error) => assert_eq!(error.kind(), cloakroom_store::ErrorKind::Full),
        }
    }

    fn import(&mut self, name: Option<u8>, size: usize, age: i64, kind: u8) {
        let (now, came) = (at(self.now), at(self.now - age));
        let filing = match name {
            Some(name) => self.fixtures.signed_in(&name.to_string()),
            None => self.fixtures.anonymous(),
        };
        let filing = filing.issued_at(came).with_attribute("a", vec![0; size]);
        let (id, kept_until) = (filing.record.id, at(self.now + 300));
        let entry = match kind {
            0 => Entry::Retired { retired: Retired { session: id, rotated_at: came }, kept_until },
            1 => {
                let tombstone = filing.tombstone(EndReason::SignedOut, came);
                Entry::Ended { tombstone, created_at: came, kept_until }
            }
            _ => Entry::Live(Live { version: Version::from_u64(7), ..filing.live() }),
        };
        let filed = Filed { digest: filing.digest, entry };
        match self.store.import(&filed, now).now_or_never().unwrap() {
            Ok(imported) => assert_eq!(imported, Imported::Done, "ids and digests differ"),
            Err(error) => return assert_eq!(error.kind(), cloakroom_store::ErrorKind::Full),
        }
        match answer(self.store.get(filing.digest, now)) {
            Lookup::Live(live) => {
                assert!(kind > 1 && live.version == Version::from_u64(7));
                self.digests.insert(id, vec![filing.digest]);
                self.filed.push(filing);
            }
            Lookup::Ended(_) | Lookup::Unknown if kind > 1 => drop(self.came_over.insert(id)),
            Lookup::Ended(tombstone) => assert!(kind == 1 && tombstone.session == id),
            Lookup::Retired(retired) => assert!(kind == 0 && retired.session == id),
            Lookup::Unknown => {}
        }
    }

    fn export(&self) {
        let (now, other) =
            (at(self.now), MemoryStore::new(MemoryOptions::default().with_max_bytes(usize::MAX)));
        let mut query = ExportQuery::new(None, NonZeroU16::new(7).unwrap());
        let mut told = 0;
        loop {
            let page = answer(self.store.export(&query, now));
            assert!(page.items.len() <= 7 && page.damaged == 0);
            for filed in &page.items {
                told += 1;
                assert_eq!(answer(other.import(filed, now)), Imported::Done, "everything is told once");
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        other.audit();
        let slots = self.store.cells.iter().map(|cell| cell.lock().slots.iter().count());
        assert_eq!(told, slots.sum::<usize>());
        for digest in self.digests.values().flatten() {
            let (there, here) = (answer(other.get(*digest, now)), answer(self.store.get(*digest, now)));
            // Looking buries what is over, and the report of that may take the place of something else here.
            let put_out = matches!(&here, Lookup::Ended(over) if over.reason == EndReason::StoreFull);
            assert!(there == here || here == Lookup::Unknown || put_out, "{there:?} there, {here:?} here");
        }
        other.audit();
    }

    fn get(&mut self, id: SessionId) {
        for digest in self.digests.get(&id).cloned().unwrap_or_default() {
            match answer(self.store.get(digest, at(self.now))) {
                Lookup::Live(live) => {
                    assert_eq!(live.record.id, id);
                    assert!(!self.over.contains(&id), "what is over stays over");
                    assert_eq!(self.digests[&id].last(), Some(&digest), "an exchanged token is dead");
                }
                Lookup::Ended(tombstone) => {
                    assert_eq!(tombstone.session, id);
                    self.over.insert(id);
                }
                Lookup::Retired(retired) => assert_eq!(retired.session, id),
                Lookup::Unknown if self.digests[&id].last() == Some(&digest) => {
                    self.over.insert(id);
                }
                Lookup::Unknown => {}
            }
        }
    }

    fn replace(&mut self, session: usize, size: usize) {
        let Some((digest, live)) = self.live(session) else { return };
        let filing = Filing { record: (*live.record).clone(), digest }.with_attribute("a", vec![1; size]);
        let (version, now) = (live.version, at(self.now));
        let request = ReplaceRequest { digest, version, record: &filing.record, now };
        match self.store.replace(request).now_or_never().unwrap() {
            Ok(Replaced::Done(next)) => {
                assert_eq!(next, version.next());
                assert!(matches!(answer(self.store.replace(request)), Replaced::Conflict(_)));
            }
            Ok(other) => panic!("it was live with this version: {other:?}"),
            Err(error) => assert_eq!(error.kind(), cloakroom_store::ErrorKind::Full),
        }
    }

    fn rekey(&mut self, session: usize, size: usize) {
        let Some((old, live)) = self.live(session) else { return };
        let filing =
            Filing { record: (*live.record).clone(), digest: old }.with_attribute("a", vec![2; size]);
        let new = self.fixtures.next_digest(&filing);
        let request =
            RekeyRequest { old, new, version: live.version, record: &filing.record, now: at(self.now) };
        match self.store.rekey(request).now_or_never().unwrap() {
            Ok(Rekeyed::Done(next)) => {
                assert_eq!(next, live.version.next());
                self.digests.get_mut(&live.record.id).unwrap().push(new);
                // In a tiny store the retired token may have had to go at once.
                let again = answer(self.store.rekey(request));
                assert!(matches!(again, Rekeyed::Retired(_) | Rekeyed::Unknown), "{again:?}");
            }
            Ok(other) => panic!("it was live with this version: {other:?}"),
            Err(error) => assert_eq!(error.kind(), cloakroom_store::ErrorKind::Full),
        }
    }

    fn end(&mut self, selector: &Selector) {
        let request = EndRequest { selector, reason: EndReason::RevokedByAdmin, now: at(self.now) };
        let ending = answer(self.store.end(request));
        self.hear(ending.ended);
    }

    fn sweep(&mut self, now: Timestamp, limit: usize) -> Swept {
        let swept = answer(self.store.sweep(SweepRequest { now, limit, lease: Duration::ZERO }));
        assert!(swept.ended.len() <= limit);
        self.hear(swept.ended.clone());
        swept
    }

    fn hear(&mut self, ended: Vec<Ended>) {
        for ended in ended {
            assert!(self.told.insert(ended.session), "each end is told once");
            self.over.insert(ended.session);
        }
    }

    /// How many sessions are listed, page by page.
    fn list(&self, principal: Option<PrincipalId>, state: StateFilter) -> usize {
        let mut filter = ListFilter::default();
        (filter.principal, filter.state) = (principal, state);
        let mut query = ListQuery::new(filter).with_limit(NonZeroU16::new(7).unwrap());
        let mut items = Vec::new();
        loop {
            let page = answer(self.store.list(&query, at(self.now)));
            items.extend(page.items);
            query.after = page.next;
            if page.next.is_none() {
                assert!(items.is_sorted_by(|one, next| one.cursor() > next.cursor()));
                return items.len();
            }
        }
    }

    fn digest(&self, session: usize) -> Option<TokenDigest> {
        self.digests.get(&self.filed.get(session)?.record.id)?.last().copied()
    }

    fn live(&self, session: usize) -> Option<(TokenDigest, Live)> {
        let digest = self.digest(session)?;
        match answer(self.store.get(digest, at(self.now))) {
            Lookup::Live(live) => Some((digest, live)),
            _ => None,
        }
    }

    /// Long after, everything was told and nothing is left.
    fn conclude(mut self) {
        let end = at(self.now.max(0) + 1_000_000);
        let last_round = (0..10_000).find(|_| !self.sweep(end, 16).more);
        assert!(last_round.is_some(), "no clearing up is endless");
        self.store.audit();
        let filed: HashSet<SessionId> = self.digests.keys().copied().collect();
        let told: HashSet<SessionId> = self.told.difference(&self.came_over).copied().collect();
        assert_eq!(told, filed, "each session filed is told of when it ends");
        assert_eq!(answer(self.store.count(end)), cloakroom_store::Counts::default());
        assert_eq!(self.list(None, StateFilter::Any), 0);
        assert_eq!(self.store.bytes(), 0);
    }
}

/// The answer of a store that never makes anybody wait.
fn answer<T: Unpin>(future: StoreFuture<'_, T>) -> T {
    future
        .now_or_never()
        .expect("an answer from memory is there at once")
        .expect("memory can always be asked")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_asked_of_a_store_everything_it_keeps_agrees(
        steps in prop::collection::vec(steps(), 1..120),
        max_bytes in prop_oneof![Just(usize::MAX), Just(512 << 10), 2_000..20_000_usize],
    ) {
        let mut story = Story::new(max_bytes);
        for step in &steps {
            story.run(step);
            story.store.audit();
        }
        story.conclude();
    }
}

/// What one of many threads does to a store that is full; what it filed, and whom it was told of.
fn work(store: &MemoryStore, seed: u64) -> (Vec<SessionId>, Vec<Ended>) {
    let (mut fixtures, mut random) = (Fixtures::new(seed), Seeded::new(seed));
    let (mut mine, mut filed, mut told): (Vec<Filing>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    let limit = Some(SessionLimit { max: NonZeroU32::new(3).unwrap(), on_limit: OnLimit::EndIdlest });
    for millis in 0..3_000 {
        let now = at(millis);
        let name = random.below(8).to_string();
        let filing = if random.below(2) == 0 { fixtures.anonymous() } else { fixtures.signed_in(&name) };
        let filing = filing.issued_at(now);
        let Filing { record, digest } = &filing;
        let request = InsertRequest { record, digest: *digest, limit, replaces: None, now };
        if let Inserted::Done { ended } = answer(store.insert(request)) {
            filed.push(record.id);
            told.extend(ended);
            mine.push(filing);
        }
        let earlier = usize::try_from(random.next_u64() % 64).unwrap();
        if let Some(filing) = mine.iter().rev().nth(earlier) {
            answer(store.touch(&[Touch { digest: filing.digest, seen_at: now }], now));
            if let Lookup::Live(live) = answer(store.get(filing.digest, now)) {
                assert_eq!(live.record.id, filing.record.id);
            }
        }
        let selector = match random.below(100) {
            0 => Selector::All,
            1 => Selector::IssuedBefore(at(millis - 5)),
            2..10 => Selector::Principal { principal: principal_id(&name), except: None },
            _ => Selector::One(mine[usize::try_from(random.next_u64()).unwrap() % mine.len()].record.id),
        };
        if random.below(4) == 0 {
            told.extend(
                answer(store.end(EndRequest { selector: &selector, reason: EndReason::SignedOut, now }))
                    .ended,
            );
        }
        if random.below(16) == 0 {
            told.extend(answer(store.sweep(SweepRequest { now, limit: 20, lease: Duration::ZERO })).ended);
        }
    }
    (filed, told)
}

#[test]
fn many_threads_at_once_leave_everything_in_agreement_and_everyone_told_of_once() {
    let store = MemoryStore::new(MemoryOptions::default().with_max_bytes(32 << 10));
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|seed| {
                scope.spawn({
                    let store = &store;
                    move || work(store, seed)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    store.audit();
    let mut story = Story { store, ..Story::new(0) };
    for (filed, told) in done {
        story.digests.extend(filed.into_iter().map(|id| (id, Vec::new())));
        story.hear(told);
    }
    story.conclude();
}
