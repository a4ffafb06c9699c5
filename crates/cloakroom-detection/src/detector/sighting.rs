//! A live session that is used: compared with the device that was proven, and followed through the places it is used in.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use cloakroom_core::{Device, SessionId, Timestamp};

use super::Detector;
use crate::finding::{Seen, What};
use crate::geography::Moved;
use crate::place::speed_kmh;
use crate::rules::Roaming;
use crate::track::{FIX_MAX_AGE, Spot, Step, Track};
use crate::{Grade, Kinship, Signal};

/// A session that is used, and by whom.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sighting<'a> {
    /// Which session.
    pub session: SessionId,
    /// With which device identity was last proved; `None` where nobody knows.
    pub proven: Option<&'a Device>,
    /// When that was.
    pub proved_at: Timestamp,
    /// The present address.
    pub ip: Option<IpAddr>,
    /// The present user agent, as it came.
    pub user_agent: Option<&'a [u8]>,
}

impl Sighting<'_> {
    /// A session of which nothing else is known than when identity was proved.
    #[must_use]
    pub const fn new(session: SessionId, proved_at: Timestamp) -> Self {
        Self { session, proven: None, proved_at, ip: None, user_agent: None }
    }
}

impl Detector {
    /// A live session is used.
    ///
    /// # Cost
    /// Where nothing is suspicious: a comparison of texts, and a short lock where places are known or any session is used
    /// in several. No allocation then.
    pub fn seen(&self, sighting: &Sighting<'_>, now: Timestamp) -> Seen {
        let kinship = self.kinship(sighting.proven.and_then(Device::user_agent), sighting.user_agent);
        let moved = self.geography.moved(sighting.proven.and_then(Device::ip), sighting.ip);
        let is_home = sighting.proven.is_some() && kinship.is_same_program() && moved == Moved::No;
        let mut look = Look { detector: self, sighting, is_home, now, seen: Seen::default() };
        if kinship == Kinship::Other {
            look.raise(Signal::UserAgentChanged, self.hash(sighting.user_agent), What::Program);
        }
        let may_move = self.rules.network.roaming == Roaming::Allowed && kinship.is_same_program();
        match moved {
            Moved::Within(from, to) if !may_move => look.raise_moved(What::Network { from, to }),
            Moved::Abroad(from, to) => look.raise_moved(What::Network { from, to }),
            Moved::Within(..) | Moved::No => {}
        }
        look.follow();
        look.seen
    }
}

/// A sighting while it is judged.
struct Look<'a> {
    detector: &'a Detector,
    sighting: &'a Sighting<'a>,
    /// Whether it is the device that was proven, in its network.
    is_home: bool,
    now: Timestamp,
    seen: Seen,
}

impl Look<'_> {
    fn raise(&mut self, signal: Signal, value: u64, what: What) -> Grade {
        let subject = self.sighting.session;
        self.detector.raise(&mut self.seen, signal, (subject, value), what, self.now)
    }

    fn raise_moved(&mut self, what: What) {
        let What::Network { to, .. } = what else { return };
        let value = self.detector.geography.number(self.sighting.ip, to, &self.detector.hasher);
        self.raise(Signal::NetworkChanged, value, what);
    }

    /// Raises what was noticed of the session as a whole: whoever is where identity was proved need not prove it again, and
    /// a demand for everybody else is remembered.
    fn raise_of_session(&mut self, signal: Signal, what: What) {
        let before = self.seen.grade;
        let grade = self.raise(signal, 0, what);
        if grade != Grade::Reauthenticate {
            return;
        }
        if self.is_home {
            self.seen.grade = before.max(Grade::Log);
        }
        let session = self.sighting.session;
        if let Some(track) = self.detector.shard(session).lock().get_mut(&session) {
            track.is_demanded = true;
        }
    }

    /// Follows the session through the places it is used in.
    fn follow(&mut self) {
        let everywhere = self.detector.geography.knows_places();
        if self.is_home && !everywhere && self.detector.tracked.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(step) = self.step(everywhere) else { return };
        self.travelled(step.left);
        if let Some(count) = step.returns {
            let within = self.detector.rules.parallel.window;
            self.raise_of_session(Signal::ParallelUse, What::Returns { count, within });
        }
    }

    /// Notes where the session is, and says what that step means; `None` where it is no step.
    fn step(&mut self, everywhere: bool) -> Option<Step> {
        let (detector, sighting) = (self.detector, self.sighting);
        let program = detector.hash(sighting.user_agent);
        let spot = Spot { program, ip: sighting.ip, seen_at: self.now };
        let is_apart = |one, other| detector.geography.is_apart(one, other);
        let rule = detector.rules.parallel;
        let mut tracks = detector.shard(sighting.session).lock();
        let known = tracks.get_mut(&sighting.session).filter(|track| track.proved_at == sighting.proved_at);
        if let Some(track) = known {
            if track.is_demanded && !self.is_home {
                self.seen.grade = self.seen.grade.max(Grade::Reauthenticate);
            }
            return track.step(spot, rule, is_apart);
        }
        if self.is_home && !everywhere {
            return None;
        }
        let mut track = Track::new(self.home().unwrap_or(spot), sighting.proved_at);
        let step = track.step(spot, rule, is_apart);
        let before = tracks.len();
        tracks.insert(sighting.session, track, Track::importance);
        let after = tracks.len();
        drop(tracks);
        detector.tracked.fetch_add(after, Ordering::Relaxed);
        detector.tracked.fetch_sub(before, Ordering::Relaxed);
        step
    }

    /// Where identity was proved, as a spot.
    fn home(&self) -> Option<Spot> {
        let device = self.sighting.proven?;
        let program = self.detector.hash(device.user_agent().map(str::as_bytes));
        Some(Spot { program, ip: device.ip(), seen_at: self.sighting.proved_at })
    }

    /// The session was at `left` before. Is the way from there one that nobody travels?
    fn travelled(&mut self, left: Spot) {
        let (Some(before), Some(present)) = (left.ip, self.sighting.ip) else { return };
        let geography = &self.detector.geography;
        let (from, to) = (geography.place(before), geography.place(present));
        let (Some(there), Some(here)) = (from.position, to.position) else { return };
        let within = self.now.since(left.seen_at);
        let km = there.surely_km_to(&here);
        let rule = self.detector.rules.travel;
        let is_possible = within > FIX_MAX_AGE
            || km <= f64::from(rule.distance_km)
            || speed_kmh(km, within) <= f64::from(rule.speed_kmh);
        if !is_possible {
            self.raise_of_session(
                Signal::ImpossibleTravel,
                What::Travel { from, to, km: whole_km(km), within },
            );
        }
    }
}

fn whole_km(km: f64) -> u32 {
    // No two places on Earth are farther apart than 20,016 km.
    (0..=20_100).rev().find(|whole| f64::from(*whole) <= km).unwrap_or(0)
}
