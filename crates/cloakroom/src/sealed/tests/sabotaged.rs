//! Whole engines, one of them with a step of the mirror broken: each of the steps that can be told without threads is noticed.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{EndReason, SessionToken, Timestamp};
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{
    ListStanding, NONCE_BYTES, OpenedSeal, Place, Reading, RevocationEntry, RevocationList, SealError,
    SealRefusal, SealedContents, Sealing, Selector, StoreError, StoreFuture,
};
use parking_lot::Mutex;

use crate::sealed::MirrorHarm;
use crate::sealed::mirror::sabotage::Sabotage;
use crate::sessions::Keeping;
use crate::{Activity, Issue, Issued, ManualClock, NearCachePolicy, Revocation, Sessions, Validation};

/// Seals by keeping.
#[derive(Debug, Default)]
struct Drawer(Mutex<Vec<SealedContents>>);

impl Sealing for Drawer {
    fn seal(
        &self,
        contents: &SealedContents,
        _: [u8; NONCE_BYTES],
        _: Timestamp,
    ) -> Result<SessionToken, SealError> {
        let mut inside = self.0.lock();
        inside.push(contents.clone());
        Ok(SessionToken::from_sealed(&[&inside.len().to_be_bytes()[..], &[0; 40]].concat()))
    }

    fn open(&self, token: &SessionToken, _: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        let sealed = token.sealed().ok_or(SealRefusal::Malformed)?;
        let number = usize::from_be_bytes(sealed[..8].try_into().unwrap());
        let contents = self.0.lock().get(number - 1).cloned().ok_or(SealRefusal::Forged)?;
        Ok(OpenedSeal { contents, is_stale: false })
    }
}

/// A list whose answers take their time, come one entry at a time, and which can lose everything.
#[derive(Debug, Default)]
pub(super) struct Slow {
    list: Mutex<Arc<MemoryRevocations>>,
    pub(super) takes: Mutex<Duration>,
    /// Answers that were given.
    pub(super) pages: Mutex<usize>,
    /// How a reading fails.
    pub(super) fails: Mutex<Option<fn() -> StoreError>>,
    pub(super) clock: Arc<ManualClock>,
}

impl RevocationList for Slow {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn standing(&self) -> ListStanding {
        ListStanding { durable: true, shared: true, tells: false }
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        let list = Arc::clone(&self.list.lock());
        StoreFuture::waiting(async move { list.add(entries).await })
    }

    fn read(&self, place: Place, _: usize) -> StoreFuture<'_, Reading> {
        let list = Arc::clone(&self.list.lock());
        StoreFuture::waiting(async move {
            let fails = *self.fails.lock();
            if let Some(error) = fails {
                return Err(error());
            }
            let answer = list.read(place, 1).await;
            *self.pages.lock() += 1;
            self.clock.advance(*self.takes.lock());
            answer
        })
    }

    fn prune(&self, _: Timestamp, _: usize) -> StoreFuture<'_, usize> {
        StoreFuture::ready(Ok(0))
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        StoreFuture::waiting(std::future::pending())
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        StoreFuture::ready(Ok(None))
    }
}

pub(super) struct Site {
    pub(super) list: Arc<Slow>,
    drawer: Arc<Drawer>,
}

impl Site {
    pub(super) fn new() -> Self {
        Self { list: Arc::default(), drawer: Arc::default() }
    }

    pub(super) fn node(&self, harm: MirrorHarm) -> Sessions {
        let list: Arc<dyn RevocationList> = Arc::<Slow>::clone(&self.list);
        let mut builder = Sessions::sealed_shared(Arc::<Drawer>::clone(&self.drawer))
            .revocations(list)
            .clock(Arc::clone(&self.list.clock))
            .near_cache(NearCachePolicy::off_beside(LEASE).unwrap());
        if let Keeping::Sealed(parts) = builder.keeping_mut() {
            parts.harm = harm;
        }
        builder.build().unwrap()
    }

    async fn read_by(&self, node: &Sessions) {
        let visit = visit(node).await;
        node.validate_authoritative(&visit.token, Activity::Ignored).await.unwrap();
    }
}

pub(super) async fn visit(node: &Sessions) -> Issued {
    node.issue(Issue::anonymous()).await.unwrap().expect_issued()
}

pub(super) async fn end(node: &Sessions, issued: &Issued) {
    let because = Revocation::by_system(EndReason::Compromised);
    node.revoke(&Selector::One(issued.session.id()), because).await.unwrap();
}

async fn lives(node: &Sessions, issued: &Issued) -> bool {
    matches!(node.validate(&issued.token, Activity::Ignored).await.unwrap(), Validation::Active(_))
}

/// Who is let in by a node with this harm, and must not be.
async fn breaches(harm: MirrorHarm) -> Vec<&'static str> {
    let mut breaches = Vec::new();
    let mut note = |what, is_breach: bool| {
        if is_breach {
            breaches.push(what);
        }
    };
    {
        // An end that is acknowledged just after the reading was sent, whose answer takes most of a lease.
        let site = Site::new();
        let (broken, sound) = (site.node(harm), site.node(MirrorHarm::default()));
        let issued = visit(&broken).await;
        *site.list.takes.lock() = LEASE * 3 / 4;
        site.read_by(&broken).await;
        *site.list.takes.lock() = Duration::ZERO;
        end(&sound, &issued).await;
        site.list.clock.advance(LEASE / 4);
        note("a lease counted from the answer", lives(&broken, &issued).await);
    }
    {
        let site = Site::new();
        let (broken, sound) = (site.node(harm), site.node(MirrorHarm::default()));
        let (one, other) = (visit(&broken).await, visit(&broken).await);
        end(&sound, &one).await;
        end(&sound, &other).await;
        note("the second page", lives(&broken, &other).await);
        *site.list.list.lock() = Arc::default();
        site.read_by(&broken).await;
        note("what the list has lost", lives(&broken, &one).await);
    }
    {
        let site = Site::new();
        let broken = site.node(harm);
        let issued = visit(&broken).await;
        site.read_by(&broken).await;
        end(&broken, &issued).await;
        note("an end of its own", lives(&broken, &issued).await);
    }
    {
        let site = Site::new();
        let broken = site.node(harm);
        let issued = visit(&broken).await;
        end(&broken, &issued).await;
        site.read_by(&broken).await;
        *site.list.list.lock() = Arc::default();
        // Something comes after it, so that the place is missed.
        end(&site.node(MirrorHarm::default()), &visit(&broken).await).await;
        let node = broken.clone();
        let upkeep = tokio::spawn(async move { node.upkeep(std::future::pending()).await });
        tokio::time::sleep(LEASE).await;
        upkeep.abort();
        note("what nobody told a new node again", lives(&site.node(MirrorHarm::default()), &issued).await);
    }
    breaches
}

#[tokio::test(start_paused = true)]
async fn a_sound_mirror_lets_nobody_in() {
    assert_eq!(breaches(MirrorHarm::default()).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_step_that_is_broken_is_noticed_by_whoever_uses_the_engine() {
    for (sabotage, breach) in [
        (Sabotage::LeaseFromReply, "a lease counted from the answer"),
        (Sabotage::FirstPageIsAll, "the second page"),
        (Sabotage::ForgetWhatWasLost, "what the list has lost"),
        (Sabotage::OwnEndsUntold, "an end of its own"),
        (Sabotage::KeepToOneself, "what nobody told a new node again"),
    ] {
        let found = breaches(MirrorHarm::by(sabotage)).await;
        assert!(found.contains(&breach), "{sabotage:?}: {found:?}");
    }
}

const LEASE: Duration = Duration::from_secs(1);
