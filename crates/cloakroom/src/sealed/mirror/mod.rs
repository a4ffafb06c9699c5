//! A node's copy of the list of ends, believed only while it is provably complete.
//!
//! The promise is the near cache's: no node accepts a session later than one lease after its end was acknowledged. It rests on
//! the list alone, whose numbers rise in the order in which entries become visible.
//!
//! - **Reading is the proof.** A node reads from where it stopped to the list's end, several times in a lease, and at once when
//!   it is told of something new. An answer holds all that was acknowledged before it was asked for; so the copy is complete as of
//!   the instant at which the last page was *sent*, and is trusted until a lease after that.
//! - **Entries first.** What was read is taken in before the lease that it earns is published. A reader reads the lease, then the
//!   copy, then the clock.
//! - **Own ends at once.** What this node has ended is in its copy when the list has acknowledged it.
//! - **Nothing is taken back.** A list that has lost its history (a backup, a fail-over to a copy that lagged) is read from its
//!   start; what was known stays known, and what the list lacks is offered to it again, by every node that knows it.
//!
//! [`protocol`] is these decisions as plain values; [`copy`] what is known, among threads; [`reading`] who reads when; [`dues`] what
//! the list may lack, and [`offering`] how it gets it.

mod book;
pub(crate) mod copy;
pub(crate) mod dues;
mod ends;
mod epochs;
mod keeping;
mod mark;
mod observe;
mod offering;
pub(crate) mod protocol;
mod reading;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{PrincipalId, SessionId, Timestamp};
use cloakroom_store::{RevocationEntry, RevocationList};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::copy::Copy;
use self::dues::Dues;
use self::observe::MirrorMetrics;
use self::protocol::{Anew, Course, Look, Trust, Words};
use self::reading::Readings;
use super::doubts::Doubt;
use super::seal::Claim;
use crate::streams::Streams;
use crate::{Clock, Random, RandomError};

pub(crate) use self::copy::{After, Cover, Covered};
pub(crate) use self::mark::How;
pub(crate) use self::observe::describe;
pub(crate) use self::protocol::Need;

/// A list, and this node's copy of it.
pub(crate) struct Mirror {
    list: Arc<dyn RevocationList>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    streams: Arc<Streams>,
    lease: Duration,
    longest_life: Duration,
    /// Both readings of the clock when this began.
    began: (Timestamp, Duration),
    copy: Copy,
    /// A [`Trust`]. Written by whoever reads the list, after the entries are in the copy.
    trust: AtomicU64,
    /// What was over by this instant was forgotten, in milliseconds.
    forgot: AtomicI64,
    /// How often all was read anew because too much was forgotten.
    anew: AtomicU64,
    /// When the last complete reading was sent, plus one; zero before the first.
    read_at: AtomicU64,
    course: tokio::sync::Mutex<Course>,
    readings: Readings,
    dues: Mutex<Dues>,
    doubts: Mutex<Vec<Doubt>>,
    /// Something was written here: it is to be read back.
    written: Notify,
    metrics: MirrorMetrics,
}

/// How long what is known counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A copy without another reading.
    pub(crate) lease: Duration,
    /// The end of a session of which nothing else is known.
    pub(crate) longest_life: Duration,
}

impl Anew for Mirror {
    fn take_trust_back(&self) {
        self.trust.store(0, Ordering::Release);
    }

    fn count(&self) {
        self.anew.fetch_add(1, Ordering::AcqRel);
    }

    fn forgot_nothing(&self) {
        self.forgot.store(i64::MIN, Ordering::Release);
    }
}

/// What a look at the copy saw of a token.
pub(crate) type Sight = Look<Cover>;

/// One look at the copy, for one token.
struct Glance<'a> {
    mirror: &'a Mirror,
    claim: &'a Claim<'a>,
}

impl Words for Glance<'_> {
    type Cover = Cover;
    type Stop = Infallible;

    fn newest(&self) -> Result<u64, Infallible> {
        Ok(self.mirror.newest())
    }

    fn anew(&self) -> Result<u64, Infallible> {
        Ok(self.mirror.anew.load(Ordering::Acquire))
    }

    fn forgot(&self) -> Result<Timestamp, Infallible> {
        Ok(self.mirror.forgot())
    }

    fn trust(&self) -> Result<Trust, Infallible> {
        Ok(self.mirror.trust())
    }

    fn cover(&self) -> Result<Option<Cover>, Infallible> {
        Ok(self.mirror.copy.covers(self.claim))
    }

    fn clock(&self) -> Result<u64, Infallible> {
        Ok(self.mirror.nanos())
    }
}

impl Mirror {
    pub(crate) fn new(
        list: Arc<dyn RevocationList>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        streams: Arc<Streams>,
        bounds: Bounds,
    ) -> Self {
        let Bounds { lease, longest_life } = bounds;
        Self {
            began: (clock.now(), clock.monotonic()),
            longest_life,
            metrics: MirrorMetrics::new(),
            list,
            clock,
            random,
            streams,
            lease,
            copy: Copy::default(),
            trust: AtomicU64::new(0),
            forgot: AtomicI64::new(i64::MIN),
            anew: AtomicU64::new(0),
            read_at: AtomicU64::new(0),
            course: tokio::sync::Mutex::default(),
            readings: Readings::default(),
            dues: Mutex::default(),
            doubts: Mutex::default(),
            written: Notify::new(),
        }
    }

    pub(crate) fn list(&self) -> &Arc<dyn RevocationList> {
        &self.list
    }

    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn entries(&self) -> usize {
        self.copy.len()
    }

    /// What the copy says of a token, as far as it may be believed.
    ///
    /// # Cost
    /// Memory only; no allocation where nothing covers it.
    pub(crate) fn look(&self, claim: &Claim<'_>, now: Timestamp) -> Sight {
        let Ok(sight) = protocol::look(&self.glance(claim), claim.contents.known, now);
        sight
    }

    /// What a look reads, one after the other.
    pub(crate) fn glance<'a>(&'a self, claim: &'a Claim<'a>) -> impl Words<Cover = Cover, Stop = Infallible> {
        Glance { mirror: self, claim }
    }

    fn forgot(&self) -> Timestamp {
        Timestamp::from_millis(self.forgot.load(Ordering::Acquire))
    }

    /// Whether something was forgotten that a token may still meet at `now`: this node's clock was ahead.
    fn has_forgotten_too_much(&self, now: Timestamp) -> bool {
        now < self.forgot()
    }

    /// What is known here of a token, however old that is.
    pub(crate) fn covers(&self, claim: &Claim<'_>) -> Option<Covered> {
        self.copy.covers(claim).map(|cover| cover.covered)
    }

    pub(crate) fn knows_end_of(&self, session: SessionId) -> bool {
        self.copy.knows_end_of(session)
    }

    pub(crate) fn exchanges_of(&self, session: SessionId) -> usize {
        self.copy.exchanges_of(session)
    }

    /// Whether states of a session count for nothing below a floor.
    pub(crate) fn has_floor(&self, session: SessionId) -> bool {
        self.copy.has_floor(session)
    }

    /// Whether a token was exchanged, as far as is known: what else is over of it is a state that a change has replaced.
    pub(crate) fn was_exchanged(&self, claim: &Claim<'_>) -> bool {
        self.copy.was_exchanged(claim)
    }

    /// When what `entry` says was decided before by another entry, as far as was read.
    pub(crate) fn exchanged_before(&self, entry: &RevocationEntry) -> Option<Timestamp> {
        self.copy.decided_by_another(entry)
    }

    /// What a new session of `principal` has to come after.
    pub(crate) fn after(&self, principal: Option<&PrincipalId>) -> After {
        let after = self.copy.after(principal);
        After { number: after.number.max(self.readings.last_number()), ..after }
    }

    /// The greatest number that was ever read.
    pub(crate) fn newest(&self) -> u64 {
        self.readings.last_number()
    }

    /// Whether enough is over since it was last forgotten: it takes going through everything, and a sweep has many rounds.
    pub(crate) fn has_much_to_forget(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.forgot.load(Ordering::Acquire).saturating_add(FORGOTTEN_EVERY)
    }

    /// Forgets what no token can meet any more. Not while the list is read: what is read anew because too much was forgotten must not
    /// be forgotten by the rest of that.
    pub(crate) async fn forget_over(&self, now: Timestamp) {
        let _course = self.course.lock().await;
        self.forgot.fetch_max(now.as_millis(), Ordering::AcqRel);
        for room in 0..Copy::ROOMS {
            self.copy.forget_over(room, now);
            tokio::task::yield_now().await;
        }
    }

    /// Whether the copy may be believed now.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust().holds(self.nanos())
    }

    /// How long ago the last complete reading was sent.
    pub(crate) fn read_ago(&self) -> Option<Duration> {
        let read_at = self.read_at.load(Ordering::Acquire).checked_sub(1)?;
        Some(Duration::from_nanos(self.nanos().saturating_sub(read_at)))
    }

    /// Exchanges of which it is not known yet who came first.
    pub(super) fn doubts(&self) -> &Mutex<Vec<Doubt>> {
        &self.doubts
    }

    pub(crate) fn metrics(&self) -> &MirrorMetrics {
        &self.metrics
    }

    /// Random bits that tell an entry from others.
    pub(crate) fn nonce(&self) -> Result<u64, RandomError> {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn trust(&self) -> Trust {
        Trust::from_nanos(self.trust.load(Ordering::Acquire))
    }

    fn nanos(&self) -> u64 {
        crate::near::nanos(self.clock.monotonic())
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("list", &self.list)
            .field("entries", &self.entries())
            .field("trusted", &self.is_trusted())
            .finish_non_exhaustive()
    }
}

/// What is over is forgotten once in a turn of sweeping, in milliseconds: turns are ten seconds apart, their rounds none.
const FORGOTTEN_EVERY: i64 = 5_000;
