//! The detector: facts and instants in, signals out.

mod sighting;

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::{Device, EndReason, PrincipalId, SessionId, Timestamp};
use parking_lot::Mutex;

use crate::bounded::Bounded;
use crate::bursts::Bursts;
use crate::finding::{Finding, Replay, Seen, What};
use crate::geography::{Geography, customer};
use crate::rules::Burst;
use crate::told::Told;
use crate::track::{Spot, Track};
use crate::{Grade, Kinship, Places, Rules, Signal};

pub use sighting::Sighting;

/// Tells signals from ordinary traffic.
///
/// Knows what was proven from the facts it is given, and remembers, within bounds, what facts alone do not tell: where
/// sessions were used lately, who exchanged a token, what happens how often, and what was told already. What it forgets
/// first matters least; a detector that has forgotten is late, never wrong about what a session's own record says.
///
/// ```
/// use cloakroom_core::{Device, SessionId, Timestamp};
/// use cloakroom_detection::{Detector, Grade, Rules, Sighting, Signal};
///
/// let detector = Detector::new(Rules::default(), None);
/// let proven = Device::new().with_user_agent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
/// let mut sighting = Sighting::new(SessionId::from_bytes([7; 16]), Timestamp::EPOCH);
/// sighting.proven = Some(&proven);
/// sighting.user_agent = Some(b"curl/8.5.0");
/// let seen = detector.seen(&sighting, Timestamp::EPOCH);
/// assert_eq!((seen.findings[0].signal, seen.grade), (Signal::UserAgentChanged, Grade::Log));
/// ```
#[derive(Debug)]
pub struct Detector {
    rules: Rules,
    geography: Geography,
    hasher: RandomState,
    tracks: Box<[Mutex<Bounded<SessionId, Track>>]>,
    tracked: AtomicUsize,
    kinships: Mutex<Bounded<u64, Kinship>>,
    exchanges: Mutex<Bounded<SessionId, Spot>>,
    afterlives: Mutex<Bounded<SessionId, Spot>>,
    guessing: Mutex<Bursts<IpAddr>>,
    failures: Mutex<Bursts<u64>>,
    sign_ins: Mutex<Bursts<u64>>,
    told: Mutex<Told>,
}

impl Detector {
    /// A detector that judges by `rules`, and knows of `places` what is in there.
    #[must_use]
    pub fn new(rules: Rules, places: Option<Arc<dyn Places>>) -> Self {
        let shard = || Mutex::new(Bounded::new(MAX_TRACKS / SHARDS));
        Self {
            geography: Geography::new(rules.network, places),
            hasher: RandomState::new(),
            tracks: std::iter::repeat_with(shard).take(SHARDS).collect(),
            tracked: AtomicUsize::new(0),
            kinships: Mutex::new(Bounded::new(MAX_KINSHIPS)),
            exchanges: Mutex::new(Bounded::new(MAX_EXCHANGES)),
            afterlives: Mutex::new(Bounded::new(MAX_AFTERLIVES)),
            guessing: Mutex::new(Bursts::new(rules.guessing.0, MAX_BURSTS)),
            failures: Mutex::new(Bursts::new(rules.failures.0, MAX_BURSTS)),
            sign_ins: Mutex::new(Bursts::new(rules.sign_ins.0, MAX_BURSTS)),
            told: Mutex::new(Told::new(rules.repeats.0, MAX_TOLD)),
            rules,
        }
    }

    /// The rules it judges by.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A session ended: where it was used is of no interest any more.
    pub fn ended(&self, session: SessionId) {
        if self.tracked.load(Ordering::Relaxed) > 0 && self.shard(session).lock().remove(&session).is_some() {
            self.tracked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A session's token was exchanged, by `device`.
    pub fn exchanged(&self, session: SessionId, device: Option<&Device>, now: Timestamp) {
        let spot = self.spot(device, now);
        self.exchanges.lock().insert(session, spot, |spot| spot.seen_at.as_millis());
    }

    /// A token of `session` that was exchanged at `exchanged_at` is used again, by `device`.
    pub fn replayed(
        &self,
        session: SessionId,
        exchanged_at: Timestamp,
        device: Option<&Device>,
        now: Timestamp,
    ) -> Replay {
        if now.since(exchanged_at) > self.rules.grace.after_exchange {
            return Replay::Attack;
        }
        let Some(exchange) = self.exchanges.lock().get(&session).copied() else { return Replay::Unclear };
        let present = self.spot(device, now);
        let is_same =
            exchange.program == present.program && !self.geography.is_apart(exchange.ip, present.ip);
        if is_same { Replay::Ordinary } else { Replay::Attack }
    }

    /// That a token of `session` was replayed, unless it was told already.
    pub fn replay(
        &self,
        session: SessionId,
        exchanged_at: Timestamp,
        device: Option<&Device>,
        now: Timestamp,
    ) -> Seen {
        let mut seen = Seen::default();
        let value = self.hash(device.and_then(Device::user_agent));
        let what = What::Replay { later: now.since(exchanged_at) };
        self.raise(&mut seen, Signal::TokenReplayed, (session, value), what, now);
        seen
    }

    /// The token of `session`, which ended for `reason` at `ended_at`, is used by `device`.
    ///
    /// A client whose own cookie went with the end has none to use later. Any other learns of the end by this use, and is
    /// told to forget its cookie: the first use is ordinary, one much later or from elsewhere is not.
    pub fn used_after_end(
        &self,
        session: SessionId,
        (reason, ended_at): (EndReason, Timestamp),
        device: Option<&Device>,
        now: Timestamp,
    ) -> Seen {
        let mut seen = Seen::default();
        let spot = self.spot(device, now);
        let mut afterlives = self.afterlives.lock();
        let first = afterlives.get(&session).copied();
        if first.is_none() {
            afterlives.insert(session, spot, |spot| spot.seen_at.as_millis());
        }
        drop(afterlives);
        let grace = self.rules.grace.after_end;
        let is_ordinary = match first {
            _ if matches!(reason, EndReason::SignedOut | EndReason::Replaced) => now.since(ended_at) <= grace,
            None => true,
            Some(first) => {
                let is_same = first.program == spot.program && !self.geography.is_apart(first.ip, spot.ip);
                is_same && now.since(first.seen_at) <= grace
            }
        };
        if !is_ordinary {
            let what = What::AfterEnd { reason, later: now.since(ended_at) };
            self.raise(&mut seen, Signal::UsedAfterEnd, (session, spot.program), what, now);
        }
        seen
    }

    /// A token that nobody knows came from `address`.
    pub fn unknown_token(&self, address: IpAddr, now: Timestamp) -> Seen {
        let group = customer(address);
        let is_burst = self.guessing.lock().count(group, now);
        self.burst(Signal::TokenGuessing, is_burst, self.hash(group), self.rules.guessing.0, now)
    }

    /// A sign-in to `account` failed, whether or not there is such an account.
    pub fn sign_in_failed(&self, account: &str, now: Timestamp) -> Seen {
        let subject = self.hash(account);
        let is_burst = self.failures.lock().count(subject, now);
        self.burst(Signal::SignInFailures, is_burst, subject, self.rules.failures.0, now)
    }

    /// `principal` signed in.
    pub fn signed_in(&self, principal: &PrincipalId, now: Timestamp) -> Seen {
        let subject = self.hash(principal.as_str());
        let is_burst = self.sign_ins.lock().count(subject, now);
        self.burst(Signal::SignInBurst, is_burst, subject, self.rules.sign_ins.0, now)
    }

    /// A finding that was passed on to nobody: it is told again when the signal is given again.
    pub fn untold(&self, finding: &Finding) {
        self.told.lock().forget(finding.key, finding.value);
    }

    fn burst(&self, signal: Signal, is_burst: bool, subject: u64, burst: Burst, now: Timestamp) -> Seen {
        let mut seen = Seen::default();
        if is_burst {
            let what = What::Burst { count: burst.count, window: burst.window };
            self.raise(&mut seen, signal, (subject, 0), what, now);
        }
        seen
    }

    /// Says what a signal asks for, and tells of it unless that was done lately.
    fn raise<S: Hash>(
        &self,
        seen: &mut Seen,
        signal: Signal,
        (subject, value): (S, u64),
        what: What,
        now: Timestamp,
    ) -> Grade {
        let grade = self.rules.grades.of(signal);
        if grade == Grade::Ignore {
            return grade;
        }
        seen.grade = seen.grade.max(grade);
        let key = self.hash((signal, subject));
        if self.told.lock().is_news(key, value, now) {
            seen.findings.push(Finding { signal, grade, what, key, value });
        }
        grade
    }

    fn kinship(&self, proven: Option<&str>, present: Option<&[u8]>) -> Kinship {
        // Nothing is known that could have changed.
        let Some(proven) = proven else { return Kinship::Identical };
        if present == Some(proven.as_bytes()) {
            return Kinship::Identical;
        }
        let key = self.hash((proven, present));
        if let Some(kinship) = self.kinships.lock().get(&key) {
            return *kinship;
        }
        // Cut and cleaned as the proven one was.
        let device = present.map(|bytes| Device::new().with_user_agent(&String::from_utf8_lossy(bytes)));
        let kinship = Kinship::between(Some(proven), device.as_ref().and_then(Device::user_agent));
        self.kinships.lock().insert(key, kinship, |_| 0);
        kinship
    }

    fn spot(&self, device: Option<&Device>, seen_at: Timestamp) -> Spot {
        let program = self.hash(device.and_then(Device::user_agent));
        Spot { program, ip: device.and_then(Device::ip), seen_at }
    }

    fn shard(&self, session: SessionId) -> &Mutex<Bounded<SessionId, Track>> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let index = usize::try_from(self.hash(session) % shards).unwrap_or(0);
        self.tracks.get(index).expect("a remainder is less than the number of shards")
    }

    fn hash<T: Hash>(&self, value: T) -> u64 {
        self.hasher.hash_one(value)
    }
}

const SHARDS: usize = 16;
/// Sessions followed: some 200 bytes each, 7 MiB in all.
const MAX_TRACKS: usize = 32_768;
/// Pairs of user agents whose kinship is remembered: 16 bytes each.
const MAX_KINSHIPS: usize = 8_192;
/// Exchanges of tokens remembered for the time of grace.
const MAX_EXCHANGES: usize = 16_384;
/// Ended sessions whose first use after the end is remembered.
const MAX_AFTERLIVES: usize = 16_384;
/// Addresses, accounts and principals that are counted, each.
const MAX_BURSTS: usize = 65_536;
/// Signals of sessions and accounts that are not told again: 56 bytes each.
const MAX_TOLD: usize = 65_536;

#[cfg(test)]
mod tests;
