//! Whole engines on one list. What a mirror has to do right is asked of one whose list does it wrong in its place: each is noticed.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{EndReason, SessionToken, Timestamp};
use cloakroom_memory::MemoryRevocations;
use cloakroom_store::{
    ErrorKind, ListStanding, NONCE_BYTES, OpenedSeal, Place, Reading, RevocationEntry, RevocationList,
    SealError, SealRefusal, SealedContents, Sealing, Selector, StoreError, StoreFuture, Verb,
};
use parking_lot::Mutex;

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
    /// How what is added is refused.
    pub(super) refuses: Mutex<Option<fn() -> StoreError>>,
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
        let refuses = *self.refuses.lock();
        StoreFuture::waiting(async move {
            match refuses {
                Some(error) => Err(error()),
                None => list.add(entries).await,
            }
        })
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

/// How one node's list answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// As it is.
    Sound,
    /// By what it held when its answer set out, as if the lease counted from the instant of the answer.
    Late,
    /// A page is said to be all.
    FirstPageIsAll,
    /// What was added is said not to be, and nothing holds where it was written.
    AddsDenied,
    /// What is added is said to be, and is not.
    AddsSwallowed,
}

/// What one node sees of the list.
#[derive(Debug)]
struct View {
    list: Arc<Slow>,
    way: Mutex<Way>,
    /// What is answered next, whatever there is by then.
    under_way: Mutex<Option<Reading>>,
}

impl RevocationList for View {
    fn name(&self) -> &'static str {
        self.list.name()
    }

    fn standing(&self) -> ListStanding {
        self.list.standing()
    }

    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()> {
        let way = *self.way.lock();
        StoreFuture::waiting(async move {
            match way {
                Way::AddsSwallowed => Ok(()),
                Way::AddsDenied => {
                    self.list.add(entries).await?;
                    Err(StoreError::new(ErrorKind::Unavailable, "memory", Verb::End))
                }
                _ => self.list.add(entries).await,
            }
        })
    }

    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading> {
        let (way, under_way) = (*self.way.lock(), self.under_way.lock().take());
        StoreFuture::waiting(async move {
            match (way, under_way) {
                (Way::Late, Some(answer)) => Ok(answer),
                (Way::FirstPageIsAll, _) => Ok(match self.list.read(place, limit).await? {
                    Reading::Entries { entries, .. } => Reading::Entries { entries, more: false },
                    Reading::Lost => Reading::Lost,
                }),
                _ => self.list.read(place, limit).await,
            }
        })
    }

    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize> {
        self.list.prune(now, limit)
    }

    fn changed(&self) -> StoreFuture<'_, ()> {
        self.list.changed()
    }

    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>> {
        self.list.ping()
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

    pub(super) fn node(&self) -> Sessions {
        self.node_that_sees(Arc::<Slow>::clone(&self.list))
    }

    fn node_that_sees(&self, list: Arc<dyn RevocationList>) -> Sessions {
        Sessions::sealed_shared(Arc::<Drawer>::clone(&self.drawer))
            .revocations(list)
            .clock(Arc::clone(&self.list.clock))
            .near_cache(NearCachePolicy::off_beside(LEASE).unwrap())
            .build()
            .unwrap()
    }

    /// What a node sees whose list answers in this way.
    fn view(&self, way: Way) -> Arc<View> {
        let (list, way) = (Arc::clone(&self.list), Mutex::new(way));
        Arc::new(View { list, way, under_way: Mutex::default() })
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

/// An end that is acknowledged just after a reading was sent, whose answer takes most of a lease.
async fn lives_after_a_slow_answer(way: Way) -> bool {
    let site = Site::new();
    let view = site.view(way);
    let (node, other) = (site.node_that_sees(Arc::<View>::clone(&view)), site.node());
    let issued = visit(&node).await;
    if way == Way::Late {
        *view.under_way.lock() = Some(site.list.read(Place::START, 1).await.unwrap());
        site.list.clock.advance(LEASE * 3 / 4);
        end(&other, &issued).await;
        site.read_by(&node).await;
    } else {
        *site.list.takes.lock() = LEASE * 3 / 4;
        site.read_by(&node).await;
        *site.list.takes.lock() = Duration::ZERO;
        end(&other, &issued).await;
    }
    site.list.clock.advance(LEASE / 4);
    lives(&node, &issued).await
}

async fn lives_by_the_second_page(way: Way) -> bool {
    let site = Site::new();
    let (node, other) = (site.node_that_sees(site.view(way)), site.node());
    let (one, two) = (visit(&node).await, visit(&node).await);
    end(&other, &one).await;
    end(&other, &two).await;
    lives(&node, &two).await
}

/// The list has lost everything since; a node that forgets with it is one that begins anew.
async fn lives_after_a_loss(forgets: bool) -> bool {
    let site = Site::new();
    let (node, other) = (site.node(), site.node());
    let issued = visit(&node).await;
    end(&other, &issued).await;
    site.read_by(&node).await;
    *site.list.list.lock() = Arc::default();
    let node = if forgets { site.node() } else { node };
    site.read_by(&node).await;
    lives(&node, &issued).await
}

async fn lives_where_it_was_ended(way: Way) -> bool {
    let site = Site::new();
    let node = site.node_that_sees(site.view(way));
    let issued = visit(&node).await;
    site.read_by(&node).await;
    let because = Revocation::by_system(EndReason::Compromised);
    let ended = node.revoke(&Selector::One(issued.session.id()), because).await;
    assert_eq!(ended.is_err(), way == Way::AddsDenied);
    lives(&node, &issued).await
}

/// What the list has lost is offered to it again, and a node that begins then knows it.
async fn lives_where_nobody_has_offered_it(way: Way) -> bool {
    let site = Site::new();
    let view = site.view(Way::Sound);
    let node = site.node_that_sees(Arc::<View>::clone(&view));
    let issued = visit(&node).await;
    end(&node, &issued).await;
    site.read_by(&node).await;
    *site.list.list.lock() = Arc::default();
    *view.way.lock() = way;
    // Something comes after it, so that the place is missed.
    end(&site.node(), &visit(&node).await).await;
    let upkeep = tokio::spawn(async move { node.upkeep(std::future::pending()).await });
    tokio::time::sleep(LEASE).await;
    upkeep.abort();
    lives(&site.node(), &issued).await
}

#[tokio::test(start_paused = true)]
async fn a_sound_mirror_lets_nobody_in() {
    assert!(!lives_after_a_slow_answer(Way::Sound).await);
    assert!(!lives_by_the_second_page(Way::Sound).await);
    assert!(!lives_after_a_loss(false).await);
    assert!(!lives_where_it_was_ended(Way::Sound).await);
    assert!(!lives_where_nobody_has_offered_it(Way::Sound).await);
}

#[tokio::test(start_paused = true)]
async fn each_step_that_is_done_wrong_is_noticed_by_whoever_uses_the_engine() {
    assert!(lives_after_a_slow_answer(Way::Late).await, "a lease counted from the answer");
    assert!(lives_by_the_second_page(Way::FirstPageIsAll).await, "one page read as all");
    assert!(lives_after_a_loss(true).await, "forgotten with the list");
    assert!(lives_where_it_was_ended(Way::AddsDenied).await, "an end of its own, not held");
    assert!(lives_where_nobody_has_offered_it(Way::AddsSwallowed).await, "kept to itself");
}

const LEASE: Duration = Duration::from_secs(1);
