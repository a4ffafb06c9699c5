//! When the store is left alone, and how it is tried again: the rules, without any I/O.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::GuardPolicy;

/// How a guard sees its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// It answers. Every call goes through.
    Closed,
    /// It answers again since a moment ago. Few calls go through at once, more with each answer.
    Recovering,
    /// It failed. Calls are refused at once, but for one now and then that tries it.
    Open,
}

impl BreakerState {
    /// The value of the metric `cloakroom_store_breaker_state`.
    pub(super) const fn as_gauge(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::Recovering => 1.0,
            Self::Open => 2.0,
        }
    }
}

/// The rules of a circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: GuardPolicy,
    /// What became of the last 64 calls, the latest in the lowest bit; 1 is a failure. All zero while all is well.
    history: AtomicU64,
    /// Whether the phase is `Closed`: then nothing else is looked at.
    closed: AtomicU8,
    /// Counts openings: what a call of an earlier epoch came to says nothing about this one.
    epoch: AtomicU64,
    course: Mutex<Course>,
}

#[derive(Debug)]
struct Course {
    phase: Phase,
    /// Openings since the store was last well.
    attempt: u32,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    Probing,
    Recovering { since: Instant, limit: usize, answers: usize },
}

/// Leave to ask the store. Dropping it unsettled says nothing about the store, but lets another one probe.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    epoch: u64,
    probes: bool,
    settled: bool,
}

/// What a call came to, as far as it shows how the store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    /// It answered; whatever it said.
    Answered,
    /// It could not be reached, or did not answer in time.
    Failed,
}

/// What has to change around the breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It opened: send away who waits.
    Opened {
        /// For how long nobody will be let through.
        rest: Duration,
        /// What made it open.
        by: Opening,
    },
    /// So many calls may be in flight now.
    Allows {
        /// How many.
        limit: usize,
        /// How the store is seen from now on.
        state: BreakerState,
        /// Whether this is the first answer after it had failed.
        first: bool,
    },
}

/// What makes a breaker open. An outage lasts from the first opening until the store is well again, however many follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// An outage begins.
    Outage,
    /// The call that tried the store failed: it goes on.
    Probe,
    /// The store answered for a while and fails again, before it was well.
    Relapse,
}

/// What holds at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    pub(super) state: BreakerState,
    /// How many calls may be in flight.
    pub(super) limit: usize,
}

impl Breaker {
    pub(super) fn new(policy: GuardPolicy) -> Self {
        Self {
            policy,
            history: AtomicU64::new(0),
            closed: AtomicU8::new(1),
            epoch: AtomicU64::new(0),
            course: Mutex::new(Course { phase: Phase::Closed, attempt: 0 }),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let full = self.policy.max_in_flight.max(1);
        match self.course.lock().phase {
            Phase::Closed => Standing { state: BreakerState::Closed, limit: full },
            Phase::Recovering { limit, .. } => Standing { state: BreakerState::Recovering, limit },
            Phase::Open { .. } | Phase::Probing => {
                Standing { state: BreakerState::Open, limit: FIRST_IN_FLIGHT.min(full) }
            }
        }
    }

    /// Leave to ask the store, or how long to wait before asking for it again. Only a call that shows quickly how the store
    /// is may be the one that tries it.
    ///
    /// # Cost
    /// Two loads while all is well; the time is not asked for then.
    pub(super) fn admit(
        &self,
        may_probe: bool,
        now: impl FnOnce() -> Instant,
    ) -> Result<Ticket<'_>, Duration> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let ticket = |probes, epoch| Ticket { breaker: self, epoch, probes, settled: false };
        if self.closed.load(Ordering::Acquire) == 1 {
            return Ok(ticket(false, epoch));
        }
        let mut course = self.course.lock();
        let epoch = self.epoch.load(Ordering::Acquire);
        match course.phase {
            Phase::Closed | Phase::Recovering { .. } => Ok(ticket(false, epoch)),
            Phase::Probing => Err(self.policy.rest),
            Phase::Open { until } => {
                let now = now();
                if now < until {
                    return Err(until - now);
                }
                if !may_probe {
                    return Err(self.policy.rest);
                }
                course.phase = Phase::Probing;
                Ok(ticket(true, epoch))
            }
        }
    }

    fn settle(&self, ticket: &mut Ticket<'_>, sign: Sign, now: Instant, jitter: u32) -> Change {
        ticket.settled = true;
        if ticket.epoch != self.epoch.load(Ordering::Acquire) {
            return Change::None;
        }
        match sign {
            Sign::Answered => self.answered(ticket, now),
            Sign::Failed => self.failed(ticket, now, jitter),
        }
    }

    fn answered(&self, ticket: &Ticket<'_>, now: Instant) -> Change {
        if self.history.load(Ordering::Relaxed) != 0 {
            // Only ever lost to another call's bit: good enough for a rate.
            let _ =
                self.history.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |history| Some(history << 1));
        }
        if self.closed.load(Ordering::Acquire) == 1 {
            return Change::None;
        }
        let mut course = self.course.lock();
        if ticket.epoch != self.epoch.load(Ordering::Acquire) {
            return Change::None;
        }
        let full = self.policy.max_in_flight.max(1);
        match &mut course.phase {
            Phase::Probing if ticket.probes => {
                let limit = FIRST_IN_FLIGHT.min(full);
                self.history.store(0, Ordering::Relaxed);
                course.phase = Phase::Recovering { since: now, limit, answers: 0 };
                Change::Allows { limit, state: BreakerState::Recovering, first: true }
            }
            Phase::Recovering { since, limit, answers } => {
                *answers += 1;
                let rested = now.saturating_duration_since(*since) >= LONGEST_RECOVERY;
                if rested || (*answers >= *limit && limit.saturating_mul(2) >= full) {
                    *course = Course { phase: Phase::Closed, attempt: 0 };
                    self.closed.store(1, Ordering::Release);
                    return Change::Allows { limit: full, state: BreakerState::Closed, first: false };
                }
                if *answers < *limit {
                    return Change::None;
                }
                (*limit, *answers) = (limit.saturating_mul(2), 0);
                Change::Allows { limit: *limit, state: BreakerState::Recovering, first: false }
            }
            Phase::Closed | Phase::Open { .. } | Phase::Probing => Change::None,
        }
    }

    fn failed(&self, ticket: &Ticket<'_>, now: Instant, jitter: u32) -> Change {
        let shifted = |history: u64| Some((history << 1) | 1);
        let before = self.history.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shifted);
        let history = (before.unwrap_or_else(|same| same) << 1) | 1;
        let in_a_row = history.trailing_ones();
        let is_too_much = in_a_row >= self.policy.failures.clamp(1, u64::BITS)
            || history.count_ones() >= FAILURES_OF_64.max(self.policy.failures);
        let mut course = self.course.lock();
        if ticket.epoch != self.epoch.load(Ordering::Acquire) {
            return Change::None;
        }
        let by = match course.phase {
            Phase::Probing if ticket.probes => Opening::Probe,
            Phase::Closed if is_too_much => Opening::Outage,
            Phase::Recovering { .. } if is_too_much => Opening::Relapse,
            _ => return Change::None,
        };
        let rest = self.rest_after(course.attempt, jitter);
        *course =
            Course { phase: Phase::Open { until: now + rest }, attempt: course.attempt.saturating_add(1) };
        self.closed.store(0, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.history.store(0, Ordering::Relaxed);
        Change::Opened { rest, by }
    }

    /// Twice as long each time, up to the longest; of that, between half and all, so that nodes do not march in step.
    fn rest_after(&self, attempt: u32, jitter: u32) -> Duration {
        let doubled = self.policy.rest.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let half = doubled.min(self.policy.longest_rest) / 2;
        half + half.saturating_mul(jitter) / u32::MAX
    }
}

impl Ticket<'_> {
    /// Whether this is the one call that tries a store that failed.
    pub(super) fn probes(&self) -> bool {
        self.probes
    }

    /// Says what the call came to. `jitter` is random.
    ///
    /// # Cost
    /// A load while all is well.
    pub(super) fn settle(
        mut self,
        sign: Sign,
        now: impl FnOnce() -> Instant,
        jitter: impl FnOnce() -> u32,
    ) -> Change {
        let breaker = self.breaker;
        let is_well = breaker.closed.load(Ordering::Acquire) == 1
            && breaker.history.load(Ordering::Relaxed) == 0
            && sign == Sign::Answered;
        if is_well {
            self.settled = true;
            return Change::None;
        }
        let jitter = if sign == Sign::Failed { jitter() } else { 0 };
        breaker.settle(&mut self, sign, now(), jitter)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.settled || !self.probes {
            return;
        }
        // The caller went away before the store answered: the next one probes.
        let mut course = self.breaker.course.lock();
        if matches!(course.phase, Phase::Probing) {
            course.phase = Phase::Open { until: crate::system::timer_now() };
        }
    }
}

/// Calls in flight when a store has answered its first one again.
const FIRST_IN_FLIGHT: usize = 8;
/// A store that answered for this long is well, however few asked it.
const LONGEST_RECOVERY: Duration = Duration::from_secs(10);
/// Failures among the last 64 calls that open the breaker even where some succeed: every second one. Those of a part of
/// the store are not among them, however many.
const FAILURES_OF_64: u32 = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn policy() -> GuardPolicy {
        GuardPolicy::default().with_failures(3).with_rest(100 * MILLI, 800 * MILLI).with_room(64, 64)
    }

    fn settle(breaker: &Breaker, sign: Sign, now: Instant) -> Change {
        let ticket = breaker.admit(true, || now).expect("calls are let through");
        ticket.settle(sign, || now, || u32::MAX)
    }

    fn opened(breaker: &Breaker, now: Instant) {
        for _ in 0..2 {
            assert_eq!(settle(breaker, Sign::Failed, now), Change::None);
        }
        let opened = Change::Opened { rest: 100 * MILLI, by: Opening::Outage };
        assert_eq!(settle(breaker, Sign::Failed, now), opened);
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_in_between_begins_the_row_anew() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        for _ in 0..20 {
            settle(&breaker, Sign::Failed, now);
            settle(&breaker, Sign::Failed, now);
            settle(&breaker, Sign::Answered, now);
            settle(&breaker, Sign::Answered, now);
            settle(&breaker, Sign::Answered, now);
        }
        assert_eq!(breaker.standing().state, BreakerState::Closed, "two in five");
        opened(&breaker, now);
        assert_eq!(breaker.admit(true, || now).unwrap_err(), 100 * MILLI);
    }

    #[test]
    fn every_second_call_failing_opens_it_too() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        for _ in 0..31 {
            assert_eq!(settle(&breaker, Sign::Failed, now), Change::None);
            assert_eq!(settle(&breaker, Sign::Answered, now), Change::None);
        }
        assert!(matches!(settle(&breaker, Sign::Failed, now), Change::Opened { .. }));
    }

    #[test]
    fn one_probe_at_a_time_and_rests_double_up_to_the_longest() {
        let mut now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        for rest in [100, 200, 400, 800, 800] {
            assert!(breaker.admit(true, || now + rest * MILLI - MILLI).is_err());
            now += rest * MILLI;
            let probe = breaker.admit(true, || now).unwrap();
            assert!(probe.probes());
            assert!(breaker.admit(true, || now).is_err(), "another one is probing");
            let next = (2 * rest).min(800) * MILLI;
            let opened = Change::Opened { rest: next, by: Opening::Probe };
            assert_eq!(probe.settle(Sign::Failed, || now, || u32::MAX), opened);
        }
    }

    #[test]
    fn a_probe_whose_caller_left_is_followed_by_another() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        let later = now + Duration::from_secs(1);
        drop(breaker.admit(true, || later).unwrap());
        assert!(breaker.admit(true, || later).unwrap().probes());
    }

    #[test]
    fn a_list_does_not_probe() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        let later = now + Duration::from_secs(1);
        assert!(breaker.admit(false, || later).is_err());
        assert!(breaker.admit(true, || later).unwrap().probes());
    }

    #[test]
    fn after_a_good_probe_more_and_more_calls_go_through_until_all_do() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        let later = now + Duration::from_secs(1);
        let mut limits = Vec::new();
        for _ in 0..64 {
            if let Change::Allows { limit, state, first } = settle(&breaker, Sign::Answered, later) {
                limits.push((limit, state, first));
            }
        }
        let more = |limit| (limit, BreakerState::Recovering, false);
        let first = (8, BreakerState::Recovering, true);
        assert_eq!(limits, [first, more(16), more(32), (64, BreakerState::Closed, false)]);
        opened(&breaker, later);
    }

    #[test]
    fn a_store_that_fails_while_it_recovers_relapses_and_only_a_well_one_begins_another_outage() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        let later = now + Duration::from_secs(1);
        settle(&breaker, Sign::Answered, later);
        for _ in 0..2 {
            assert_eq!(settle(&breaker, Sign::Failed, later), Change::None);
        }
        let relapse = Change::Opened { rest: 200 * MILLI, by: Opening::Relapse };
        assert_eq!(settle(&breaker, Sign::Failed, later), relapse, "and it rests longer than at first");
        let mut much_later = later + Duration::from_secs(1);
        settle(&breaker, Sign::Answered, much_later);
        much_later += LONGEST_RECOVERY;
        settle(&breaker, Sign::Answered, much_later);
        opened(&breaker, much_later);
    }

    #[test]
    fn a_store_that_few_ask_is_well_again_after_ten_seconds() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        opened(&breaker, now);
        settle(&breaker, Sign::Answered, now + Duration::from_secs(1));
        assert_eq!(breaker.standing().state, BreakerState::Recovering);
        settle(&breaker, Sign::Answered, now + Duration::from_secs(11));
        assert_eq!(breaker.standing().state, BreakerState::Closed);
    }

    #[test]
    fn what_a_call_from_before_the_outage_came_to_says_nothing_now() {
        let now = crate::system::timer_now();
        let breaker = Breaker::new(policy());
        let old: Vec<Ticket<'_>> = (0..8).map(|_| breaker.admit(true, || now).unwrap()).collect();
        opened(&breaker, now);
        let later = now + Duration::from_secs(1);
        settle(&breaker, Sign::Answered, later);
        for ticket in old {
            assert_eq!(ticket.settle(Sign::Failed, || later, || 0), Change::None);
        }
        assert_eq!(breaker.standing().state, BreakerState::Recovering);
    }

    #[test]
    fn jitter_takes_between_none_and_half_of_a_rest() {
        let breaker = Breaker::new(policy());
        assert_eq!(breaker.rest_after(0, 0), 50 * MILLI);
        assert_eq!(breaker.rest_after(0, u32::MAX), 100 * MILLI);
        assert_eq!(breaker.rest_after(u32::MAX, u32::MAX), 800 * MILLI);
    }

    proptest! {
        /// Whatever happens: at most one probe, never open for longer than the longest rest, and a store that answers
        /// is asked by everybody in the end.
        #[test]
        fn it_never_sticks(steps in proptest::collection::vec((0..4_u8, 0..1_000_u16), 1..200)) {
            let mut now = crate::system::timer_now();
            let breaker = Breaker::new(policy());
            let mut in_flight: Vec<Ticket<'_>> = Vec::new();
            for (step, millis) in steps {
                match step {
                    0 => in_flight.extend(breaker.admit(true, || now)),
                    1 => if let Some(ticket) = in_flight.pop() {
                        ticket.settle(Sign::Failed, || now, || u32::from(millis) << 16);
                    },
                    2 => if let Some(ticket) = in_flight.pop() {
                        ticket.settle(Sign::Answered, || now, || 0);
                    },
                    _ => now += Duration::from_millis(millis.into()),
                }
                let probing = in_flight.iter().filter(|t| t.probes() && t.epoch == breaker.epoch.load(Ordering::Relaxed));
                prop_assert!(probing.count() <= 1);
                if let Err(wait) = breaker.admit(true, || now).map(drop) {
                    prop_assert!(wait <= 800 * MILLI);
                }
            }
            drop(in_flight);
            now += Duration::from_secs(1);
            for _ in 0..200 {
                let ticket = breaker.admit(true, || now).expect("nobody probes, and every rest is over");
                ticket.settle(Sign::Answered, || now, || 0);
            }
            prop_assert_eq!(breaker.standing().state, BreakerState::Closed);
        }
    }
}
