//! A server whose disk is full, and then is not.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::EndReason;
use cloakroom_core::EndReason::RevokedByAdmin;
use cloakroom_store::{
    Applied, EndRequest, Ended, ErrorKind, InsertRequest, Inserted, Lookup, Selector, Store, StoreError,
};

use crate::fixtures::{Filing, Fixtures, Seeded, T0, at, principal_id};
use crate::subject::Subject;

/// The disk of a store's server.
pub trait ServerDisk {
    /// Leaves no room on it.
    fn fill(&self);

    /// What an operator does: makes room, and starts the server again if it gave up.
    fn make_room(&self);
}

/// What a store did while its server's disk was full, as its documentation has it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fullness {
    /// How sign-ins failed: each kind once.
    pub refusals: Vec<(ErrorKind, Applied)>,
    /// How look-ups failed; empty where all of them were answered.
    pub lookups: Vec<ErrorKind>,
    /// How ending a session failed; empty where it was ended.
    pub ends: Vec<(ErrorKind, Applied)>,
    /// Sign-ins that still fitted.
    pub fitted: usize,
}

/// Fills the disk while sessions live, tries everything, makes room, and tries again, without opening the store anew.
///
/// A sign-in on a full disk is refused. A look-up is right or fails; ending is done or fails. Once there is room, whatever
/// was acknowledged before or meanwhile is there, what ended is not alive, and what was refused for certain was not done.
///
/// # Panics
/// Where that is not so.
pub async fn check_full_disk(store: Arc<dyn Store>, disk: &impl ServerDisk) -> Fullness {
    let mut story = Story::begin(store).await;
    disk.fill();
    story.sign_ins_are_refused().await;
    story.look_ups_are_right_or_fail().await;
    story.ending_is_done_or_fails().await;
    story.sign_ins_are_refused().await;
    story.look_ups_are_right_or_fail().await;
    disk.make_room();
    story.is_well_again().await;
    story.is_as_acknowledged().await;
    story.told
}

struct Story {
    store: Subject,
    fixtures: Fixtures,
    noise: Seeded,
    /// Acknowledged, and not ended.
    live: Vec<Filing>,
    /// Acknowledged to have ended.
    ended: Vec<Filing>,
    /// Refused with nothing changed.
    refused: Vec<Filing>,
    /// An end that may have happened or not.
    doubtful: Vec<Filing>,
    told: Fullness,
}

impl Story {
    async fn begin(store: Arc<dyn Store>) -> Self {
        let mut story = Self {
            store: Subject::new(store, false),
            fixtures: Fixtures::new(1),
            noise: Seeded::new(1),
            live: Vec::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            doubtful: Vec::new(),
            told: Fullness::default(),
        };
        for name in ["alice", "bob", "carol", "alice", "bob", "dave"] {
            let filing = story.next(name);
            story.store.file(&filing).await;
            story.live.push(filing);
        }
        let gone = story.live.pop().expect("six were filed");
        story.store.finish_one(gone.id(), RevokedByAdmin, at(1)).await;
        story.ended.push(gone);
        story
    }

    /// A session that takes room that no compression spares.
    fn next(&mut self, name: &str) -> Filing {
        let noise: Vec<u8> =
            std::iter::repeat_with(|| self.noise.bytes::<8>()).take(1_000).flatten().collect();
        let filing = self.fixtures.signed_in(name).with_idle_timeout(LONG).with_retention(LONG);
        filing.with_absolute_at(T0.plus(LONG)).with_attribute("noise", noise)
    }

    async fn sign_in(&mut self, name: &str) -> Result<(), StoreError> {
        let filing = self.next(name);
        let request = InsertRequest {
            record: &filing.record,
            digest: filing.digest,
            limit: None,
            replaces: None,
            now: T0,
        };
        match self.store.insert(request).await {
            Ok(answer) => {
                assert_eq!(answer, Inserted::Done { ended: Vec::new() });
                self.live.push(filing);
                Ok(())
            }
            Err(error) => {
                // Whether one of which nothing is known was filed does not matter: nobody has its token.
                if error.applied() == Applied::No {
                    self.refused.push(filing);
                }
                Err(error)
            }
        }
    }

    /// Some may still fit into pages that the server has; then several in a row are refused.
    async fn sign_ins_are_refused(&mut self) {
        let mut refusals = 0;
        while refusals < SEVERAL {
            match self.sign_in("eve").await {
                Ok(()) => {
                    (refusals, self.told.fitted) = (0, self.told.fitted + 1);
                    assert!(self.told.fitted < MOST, "a full disk is full at some time");
                }
                Err(error) => {
                    refusals += 1;
                    note(&mut self.told.refusals, (error.kind(), error.applied()));
                }
            }
        }
    }

    async fn look_ups_are_right_or_fail(&mut self) {
        for (filings, lives) in [(&self.live, true), (&self.ended, false)] {
            for filing in filings {
                match self.store.get(filing.digest, at(2)).await {
                    Ok(found) => assert_eq!(matches!(found, Lookup::Live(_)), lives, "{found:?}"),
                    Err(error) => note(&mut self.told.lookups, error.kind()),
                }
            }
        }
    }

    async fn ending_is_done_or_fails(&mut self) {
        let one = self.live.remove(0);
        self.end(&Selector::One(one.id()), vec![one]).await;
        let (of_bob, others) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|filing| filing.principal() == Some(principal_id("bob")));
        self.live = others;
        self.end(&Selector::Principal { principal: principal_id("bob"), except: None }, of_bob).await;
    }

    async fn end(&mut self, selector: &Selector, filings: Vec<Filing>) {
        match self.store.end(EndRequest { selector, reason: REASON, now: at(1) }).await {
            Ok(ending) => {
                let told = crate::subject::sorted(ending.ended);
                let expected: Vec<Ended> =
                    filings.iter().map(|one| one.tombstone(REASON, at(1)).into()).collect();
                assert_eq!(told, crate::subject::sorted(expected), "what is said to have ended is all of it");
                self.ended.extend(filings);
            }
            Err(error) => {
                note(&mut self.told.ends, (error.kind(), error.applied()));
                let certain = error.applied() == Applied::No;
                if certain { &mut self.live } else { &mut self.doubtful }.extend(filings);
            }
        }
    }

    /// The same store, never opened anew.
    async fn is_well_again(&mut self) {
        let mut last = None;
        let healing = tokio::time::timeout(PATIENCE, async {
            while let Err(error) = self.sign_in("frank").await {
                last = Some(error);
                tokio::task::yield_now().await;
            }
        });
        let healed = healing.await.is_ok();
        assert!(healed, "once there is room, people sign in: {last:?}; while it was full: {:?}", self.told);
    }

    async fn is_as_acknowledged(&mut self) {
        for filing in &self.live {
            assert_eq!(self.store.look_up(filing.digest, at(2)).await, Lookup::Live(filing.live()));
        }
        for filing in &self.ended {
            let tombstone = Lookup::Ended(filing.tombstone(REASON, at(1)));
            assert_eq!(self.store.look_up(filing.digest, at(2)).await, tombstone);
        }
        for filing in &self.refused {
            assert_eq!(self.store.look_up(filing.digest, at(2)).await, Lookup::Unknown);
        }
        // Whole or not at all: asked again, ending is certain.
        let doubtful = std::mem::take(&mut self.doubtful);
        for filing in &doubtful {
            let found = self.store.look_up(filing.digest, at(2)).await;
            let whole = [Lookup::Live(filing.live()), Lookup::Ended(filing.tombstone(REASON, at(1)))];
            assert!(whole.contains(&found), "{found:?}");
        }
        let everybody: Vec<Filing> = std::mem::take(&mut self.live).into_iter().chain(doubtful).collect();
        for filing in &everybody {
            self.store.finish_one(filing.id(), REASON, at(3)).await;
            let found = self.store.look_up(filing.digest, at(4)).await;
            assert!(matches!(found, Lookup::Ended(_)), "{found:?}");
        }
    }
}

fn note<T: PartialEq>(seen: &mut Vec<T>, new: T) {
    if !seen.contains(&new) {
        seen.push(new);
    }
}

const REASON: EndReason = RevokedByAdmin;

/// Refusals in a row after which the disk is taken to be full.
const SEVERAL: usize = 3;
/// Most sessions of eight kilobytes that may fit into what a server has reserved.
const MOST: usize = 5_000;

const LONG: Duration = Duration::from_secs(30 * 60);
/// How long a server may take to be well again.
const PATIENCE: Duration = Duration::from_secs(60);
