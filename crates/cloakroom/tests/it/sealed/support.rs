//! Nodes that share keys and a list, each with a clock of its own; and a way to seal that is all trust and no cipher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ActiveSession, Activity, EndReason, ManualClock, NearCachePolicy, Policy, Revocation, SealedPolicy,
    Selector, SessionToken, Sessions, SessionsBuilder, Timestamp, Validation,
};
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{
    ErrorKind, ListStanding, NONCE_BYTES, OpenedSeal, Place, Reading, RevocationEntry, RevocationList,
    SealError, SealRefusal, SealedContents, Sealing, StoreError, StoreFuture, Verb,
};
use parking_lot::Mutex;

use crate::support::{Ears, World, policy, principal};

pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// Seals by keeping what it was given in a drawer: a token is the number of the drawer. Shared by nodes like keys are.
#[derive(Debug, Default)]
pub(crate) struct Drawers(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    contents: HashMap<Vec<u8>, (u32, SealedContents)>,
    key: u32,
    oldest_key: u32,
    no_key: bool,
    hangs: bool,
}

impl Drawers {
    /// Seals with another key from now on; the one before still opens.
    pub(crate) fn exchange_key(&self) {
        self.0.lock().key += 1;
    }

    /// Only the present key opens.
    pub(crate) fn forget_older_keys(&self) {
        let mut inside = self.0.lock();
        inside.oldest_key = inside.key;
    }

    /// Where keys are kept does not answer, or does again.
    pub(crate) fn hang(&self, hangs: bool) {
        self.0.lock().hangs = hangs;
    }

    /// There is no key that may seal, or there is again.
    pub(crate) fn lose_key(&self, lost: bool) {
        self.0.lock().no_key = lost;
    }
}

impl Sealing for Drawers {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        _: Timestamp,
    ) -> Result<SessionToken, SealError> {
        let mut inside = self.0.lock();
        if inside.no_key {
            return Err(SealError::NoKey);
        }
        let size = contents.record.attributes.size();
        if size > LARGEST {
            let (largest, largest_size) = ("the attributes".into(), size);
            return Err(SealError::TooLarge { size, limit: LARGEST, largest, largest_size });
        }
        let number = u64::try_from(inside.contents.len()).unwrap();
        let name = [&number.to_be_bytes()[..], &nonce, &[0; 32]].concat();
        let key = inside.key;
        inside.contents.insert(name.clone(), (key, contents.clone()));
        Ok(SessionToken::from_sealed(&name))
    }

    fn open(&self, token: &SessionToken, _: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        let inside = self.0.lock();
        let name = token.sealed().ok_or(SealRefusal::Malformed)?;
        if inside.hangs {
            return Err(SealRefusal::Undecided);
        }
        let (key, contents) = inside.contents.get(&name).ok_or(SealRefusal::Forged)?;
        if *key < inside.oldest_key {
            return Err(SealRefusal::ExpiredKey);
        }
        Ok(OpenedSeal { contents: contents.clone(), is_stale: *key != inside.key })
    }
}

/// Bytes of attributes that fit.
pub(crate) const LARGEST: usize = 1_000;

/// What nodes have in common.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) drawers: Arc<Drawers>,
    pub(crate) list: Option<Arc<dyn RevocationList>>,
    pub(crate) policy: Policy,
    pub(crate) sealed: SealedPolicy,
}

/// So that an `Arc` of it can be given to an engine.
#[derive(Debug)]
struct Shared(Arc<Drawers>);

impl Sealing for Shared {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) -> Result<SessionToken, SealError> {
        self.0.seal(contents, nonce, now)
    }

    fn open(&self, token: &SessionToken, now: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        self.0.open(token, now)
    }
}

impl Site {
    pub(crate) fn without_list() -> Self {
        let drawers = Arc::new(Drawers::default());
        Self { drawers, list: None, policy: policy(), sealed: SealedPolicy::default() }
    }

    pub(crate) fn with_list(list: Arc<dyn RevocationList>) -> Self {
        Self { list: Some(list), ..Self::without_list() }
    }

    pub(crate) fn sealed(self, sealed: SealedPolicy) -> Self {
        Self { sealed, ..self }
    }

    pub(crate) fn builder(&self) -> SessionsBuilder {
        let builder = Sessions::sealed(Shared(Arc::clone(&self.drawers)))
            .policy(self.policy.clone())
            .sealed_policy(self.sealed)
            .near_cache(NearCachePolicy::new(1 << 20, LEASE).unwrap());
        match &self.list {
            Some(list) => builder.revocations(Arc::clone(list)),
            None => builder,
        }
    }

    /// A node with this clock.
    pub(crate) fn node(&self, clock: &Arc<ManualClock>) -> World {
        let ears = Arc::new(Ears::default());
        let builder = self.builder().clock(Arc::clone(clock)).events(Arc::clone(&ears));
        World { sessions: builder.build().unwrap(), clock: Arc::clone(clock), ears }
    }
}

/// A list whose link can be cut, whose answers can be lost, and which can lose what it has.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    list: Mutex<Arc<MemoryRevocations>>,
    fate: Mutex<Fate>,
    calls: Mutex<Vec<Verb>>,
}

/// What becomes of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Fate {
    /// They are answered.
    #[default]
    Answered,
    /// They do not arrive.
    Cut,
    /// What adds is carried out, and nobody hears of it; the rest is answered.
    AddsUnheard,
    /// What adds is refused, and nothing of it is there; the rest is answered.
    AddsRefused,
    /// What adds gets lost, and nobody knows; the rest is answered.
    AddsLost,
    /// They take their time: others come in between.
    Slow,
    /// Nothing is ever answered.
    Hangs,
    /// What reads does not arrive; the rest is answered.
    ReadsCut,
    /// What reads is answered after so long.
    Late(Duration),
    /// The same, one entry at a time.
    Crawls(Duration),
}

impl Wire {
    pub(crate) fn set(&self, fate: Fate) {
        *self.fate.lock() = fate;
    }

    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<Verb> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// The list is empty, like one that was restored from before everything.
    pub(crate) fn lose_everything(&self) {
        *self.list.lock() = Arc::default();
    }

    /// The list is this one from now on.
    pub(crate) fn becomes(&self, list: Arc<MemoryRevocations>) {
        *self.list.lock() = list;
    }

    /// Whoever comes to the list from elsewhere finds this.
    pub(crate) fn inside(&self) -> Arc<MemoryRevocations> {
        Arc::clone(&self.list.lock())
    }

    /// The entries in the list now.
    pub(crate) async fn entries(&self) -> Vec<RevocationEntry> {
        let (list, mut place, mut all) = (self.inside(), Place::START, Vec::new());
        loop {
            let Reading::Entries { entries, .. } = list.read(place, 1_000).await.unwrap() else {
                panic!("nothing is lost meanwhile")
            };
            let Some((number, last)) = entries.last() else { return all };
            place = Place { number: *number, nonce: last.nonce };
            all.extend(entries.into_iter().map(|(_, entry)| entry));
        }
    }

    /// Whether a call arrives, and whether its answer does.
    async fn arrives(&self, verb: Verb) -> Result<Arc<MemoryRevocations>, StoreError> {
        self.calls.lock().push(verb);
        let fate = *self.fate.lock();
        match fate {
            Fate::Cut => Err(StoreError::new(ErrorKind::Unavailable, "memory", verb)),
            Fate::ReadsCut if verb == Verb::Watch => {
                Err(StoreError::new(ErrorKind::Unavailable, "memory", verb))
            }
            Fate::AddsRefused if verb == Verb::End => {
                Err(StoreError::new(ErrorKind::ReadOnly, "memory", verb))
            }
            Fate::AddsLost if verb == Verb::End => Err(unheard()),
            Fate::Late(time) | Fate::Crawls(time) if verb == Verb::Watch => {
                let list = self.inside();
                tokio::time::sleep(time).await;
                Ok(list)
            }
            Fate::Hangs => std::future::pending().await,
            Fate::Slow => {
                tokio::task::yield_now().await;
                Ok(self.inside())
            }
            _ => Ok(self.inside()),
        }
    }
}

fn unheard() -> StoreError {
    StoreError::new(ErrorKind::Timeout, "memory", Verb::End).maybe_applied()
}

impl RevocationList for Wire {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: true, shared: true, tells: true }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        StoreFuture::waiting(async move {
            self.arrives(Verb::End).await?.add(entries).await?;
            tokio::task::yield_now().await;
            let fate = *self.fate.lock();
            if fate == Fate::AddsUnheard { Err(unheard()) } else { Ok(()) }
        })
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let limit = if matches!(*self.fate.lock(), Fate::Crawls(_)) { 1 } else { limit };
        StoreFuture::waiting(async move { self.arrives(Verb::Watch).await?.read(place, limit).await })
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        StoreFuture::waiting(async move { self.arrives(Verb::Sweep).await?.prune(now, limit).await })
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        let list = self.inside();
        StoreFuture::waiting(async move { list.changed().await })
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::waiting(async move { self.arrives(Verb::Ping).await?.ping().await })
    }
}

/// Two nodes on one list, each with a clock of its own and a wire of its own.
pub(crate) struct Pair {
    pub(crate) site: Site,
    pub(crate) here: World,
    pub(crate) there: World,
    /// From both to the list.
    pub(crate) wire: Arc<Wire>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::under(SealedPolicy::default())
    }

    pub(crate) fn under(sealed: SealedPolicy) -> Self {
        let wire = Arc::new(Wire::default());
        let list: Arc<dyn RevocationList> = Arc::<Wire>::clone(&wire);
        let site = Site::with_list(list).sealed(sealed);
        let (here, there) = (site.node(&Arc::default()), site.node(&Arc::default()));
        Self { site, here, there, wire }
    }

    /// Time passes on both nodes.
    pub(crate) fn pass(&self, time: Duration) {
        self.here.clock.advance(time);
        self.there.clock.advance(time);
    }

    /// Both nodes have just read the list.
    pub(crate) async fn read(&self) {
        let visit = self.here.visitor().await;
        for node in [&self.here, &self.there] {
            let said = node.sessions.validate_authoritative(&visit.token, Activity::Ignored).await.unwrap();
            assert!(matches!(said, Validation::Active(_)));
        }
        self.wire.calls();
    }
}

/// Ends one session, as somebody who knows its id alone.
pub(crate) async fn end(node: &World, session: &ActiveSession) {
    let because = Revocation::by_system(EndReason::Compromised);
    assert_eq!(node.sessions.revoke(&Selector::One(session.id()), because).await.unwrap().count(), 1);
}

/// Ends a principal's sessions, but for one that may be excepted.
pub(crate) async fn end_all_of(node: &World, name: &str, except: Option<&ActiveSession>) {
    let selector = Selector::Principal { principal: principal(name), except: except.map(ActiveSession::id) };
    let because = Revocation::by_system(EndReason::PasswordChanged);
    let revoked = node.sessions.revoke(&selector, because).await.unwrap();
    assert!(!revoked.is_counted());
}
