//! Where a session was used lately.

use std::net::IpAddr;
use std::time::Duration;

use cloakroom_core::Timestamp;

use crate::rules::ParallelRule;

/// Where a session was used lately, for sessions that were used in more places than one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Track {
    /// When identity was proved; a new proof begins a new track.
    pub(crate) proved_at: Timestamp,
    /// Whether a proof is demanded of whoever is not where identity was proved.
    pub(crate) is_demanded: bool,
    spots: [Option<Spot>; SPOTS],
    current: usize,
    counting_since: Timestamp,
    returns: Returns,
}

/// A program in a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) program: u64,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) seen_at: Timestamp,
}

/// How often a session came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Returns {
    /// With another program, from another network.
    other_program: u32,
    /// With the same program, from another network.
    same_program: u32,
}

/// What a step of a session means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The spot it left.
    pub(crate) left: Spot,
    /// How often it has come back lately, where that is often enough to be told.
    pub(crate) returns: Option<u32>,
}

impl Track {
    pub(crate) fn new(spot: Spot, proved_at: Timestamp) -> Self {
        let mut spots = [None; SPOTS];
        if let Some(first) = spots.first_mut() {
            *first = Some(spot);
        }
        Self {
            proved_at,
            is_demanded: false,
            spots,
            current: 0,
            counting_since: spot.seen_at,
            returns: Returns::default(),
        }
    }

    pub(crate) fn seen_at(&self) -> Timestamp {
        self.here().map_or(Timestamp::EPOCH, |spot| spot.seen_at)
    }

    fn here(&self) -> Option<Spot> {
        self.spots.get(self.current).copied().flatten()
    }

    /// The session is seen at `spot`. `apart` says whether two addresses are of different networks.
    pub(crate) fn step(
        &mut self,
        spot: Spot,
        rule: ParallelRule,
        apart: impl Fn(Option<IpAddr>, Option<IpAddr>) -> bool,
    ) -> Option<Step> {
        let left = self.here()?;
        let is_same = |known: &Spot| known.program == spot.program && !apart(known.ip, spot.ip);
        let known = self.spots.iter().position(|known| known.as_ref().is_some_and(&is_same));
        if known == Some(self.current) {
            self.put(self.current, spot);
            return None;
        }
        if spot.seen_at.since(self.counting_since) > rule.window {
            (self.counting_since, self.returns) = (spot.seen_at, Returns::default());
        }
        let last_there = known.and_then(|known| self.spots.get(known).copied().flatten());
        let is_return = last_there.is_some_and(|there| spot.seen_at.since(there.seen_at) <= rule.window);
        if is_return && apart(left.ip, spot.ip) {
            self.returns.count(left.program == spot.program);
        }
        self.put(known.unwrap_or_else(|| self.oldest()), spot);
        let returns = is_return.then(|| self.returns.too_many(rule)).flatten();
        Some(Step { left, returns })
    }

    fn put(&mut self, index: usize, spot: Spot) {
        if let Some(place) = self.spots.get_mut(index) {
            *place = Some(spot);
            self.current = index;
        }
    }

    fn oldest(&self) -> usize {
        // Where nobody was is older than anything.
        let seen_at = |spot: &Option<Spot>| spot.map(|spot| spot.seen_at);
        self.spots.iter().enumerate().min_by_key(|(_, spot)| seen_at(spot)).map_or(0, |(index, _)| index)
    }

    /// For how long a track is worth keeping compared with others.
    pub(crate) fn importance(&self) -> i64 {
        let seen_at = self.seen_at().as_millis();
        // A demand that is forgotten would have to be earned again.
        if self.is_demanded { seen_at.saturating_add(DEMANDED_MILLIS) } else { seen_at }
    }
}

impl Returns {
    fn count(&mut self, is_same_program: bool) {
        let counter = if is_same_program { &mut self.same_program } else { &mut self.other_program };
        *counter = counter.saturating_add(1);
    }

    fn too_many(self, rule: ParallelRule) -> Option<u32> {
        let most = rule.returns.max(1);
        if self.other_program >= most {
            return Some(self.other_program);
        }
        (self.same_program >= most.saturating_mul(ParallelRule::SAME_PROGRAM_FACTOR))
            .then_some(self.same_program)
    }
}

/// Places told apart per session: where identity was proved, another, and one more.
const SPOTS: usize = 3;
/// A demand counts as much as so much later activity.
const DEMANDED_MILLIS: i64 = 30 * 24 * 3_600 * 1_000;
/// See [`TravelRule`](crate::TravelRule): an earlier position than this says nothing.
pub(crate) const FIX_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);
