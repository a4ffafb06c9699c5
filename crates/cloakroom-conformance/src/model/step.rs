//! Random calls, in words that make sense whatever happened before: sessions and tokens are named by number.

use cloakroom_core::{EndReason, OnLimit};
use cloakroom_store::{ListOrder, StateFilter};
use proptest::prelude::*;

/// A call, and which handle of a shared store it goes through.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) call: Call,
    pub(super) through_second: bool,
}

/// What to do. Times are milliseconds from now; numbers choose among what there is, wrapping around.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// The clock moves, also backwards.
    Wait(i64),
    Insert(Insert),
    /// Files something under a digest, or with an id, that is known already.
    InsertTaken {
        token: usize,
        by_id: bool,
    },
    Replace {
        token: usize,
        version: Guess,
        value: u8,
    },
    Rekey {
        token: usize,
        version: Guess,
        to: Option<usize>,
    },
    Touch(Vec<(usize, i64)>),
    EndOne {
        session: usize,
        reason: EndReason,
    },
    EndPrincipal {
        who: usize,
        except: Option<usize>,
        reason: EndReason,
    },
    EndIssuedBefore {
        instant: i64,
        reason: EndReason,
    },
    EndAll {
        reason: EndReason,
    },
    List(List),
    Sweep {
        limit: usize,
    },
    /// A live session comes from another store, where it had this version and was seen so much after its issue.
    Come {
        insert: Insert,
        version: u64,
        seen: i64,
    },
    /// Everything is told.
    Tell {
        limit: u16,
    },
    /// Closes the store and opens it again, where it is durable.
    Restart,
}

#[derive(Clone, Debug)]
pub(super) struct Insert {
    pub(super) who: usize,
    /// How far the issuing clock is from the one that asks.
    pub(super) skew: i64,
    pub(super) idle: u64,
    pub(super) life: u64,
    pub(super) retention: u64,
    pub(super) limit: Option<(u32, OnLimit)>,
    pub(super) replaces: Option<usize>,
    pub(super) address: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) session: Option<usize>,
    pub(super) who: Option<usize>,
    pub(super) beginning: Option<usize>,
    pub(super) order: ListOrder,
    pub(super) state: StateFilter,
    pub(super) from: Option<i64>,
    pub(super) before: Option<i64>,
    pub(super) address: Option<u8>,
    pub(super) limit: u16,
}

/// Which version a caller believes a record to have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guess {
    Right,
    Earlier,
    Later,
}

/// Sequences of calls.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (call(), any::<bool>()).prop_map(|(call, through_second)| Step { call, through_second });
    prop::collection::vec(step, 1..LONGEST)
}

const LONGEST: usize = 60;

fn call() -> impl Strategy<Value = Call> {
    let number = || 0..64_usize;
    prop_oneof![
        6 => wait().prop_map(Call::Wait),
        8 => insert().prop_map(Call::Insert),
        1 => (number(), any::<bool>()).prop_map(|(token, by_id)| Call::InsertTaken { token, by_id }),
        3 => (number(), guess(), any::<u8>())
            .prop_map(|(token, version, value)| Call::Replace { token, version, value }),
        3 => (number(), guess(), prop::option::weighted(0.2, number()))
            .prop_map(|(token, version, to)| Call::Rekey { token, version, to }),
        4 => prop::collection::vec((number(), -60..=0_i64), 0..5).prop_map(Call::Touch),
        3 => (number(), reason()).prop_map(|(session, reason)| Call::EndOne { session, reason }),
        2 => (0..4_usize, prop::option::of(number()), reason())
            .prop_map(|(who, except, reason)| Call::EndPrincipal { who, except, reason }),
        1 => (-100..=100_i64, reason()).prop_map(|(instant, reason)| Call::EndIssuedBefore { instant, reason }),
        1 => reason().prop_map(|reason| Call::EndAll { reason }),
        2 => list().prop_map(Call::List),
        3 => prop::sample::select(vec![1_usize, 2, 100]).prop_map(|limit| Call::Sweep { limit }),
        2 => (insert(), prop::sample::select(vec![1_u64, 2, 90]), 0..100_i64)
            .prop_map(|(insert, version, seen)| Call::Come { insert, version, seen }),
        1 => prop::sample::select(vec![1_u16, 3, 50]).prop_map(|limit| Call::Tell { limit }),
        1 => Just(Call::Restart),
    ]
}

/// Round numbers meet round timeouts at their instant; odd ones miss them by a millisecond.
fn wait() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 9, 10, 10, 20, 20, 39, 40, 49, 50, 100, 101, 300, -1, -10, -50, -200])
}

fn insert() -> impl Strategy<Value = Insert> {
    let limit =
        (1..4_u32, prop::sample::select(vec![OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse]));
    (
        0..4_usize,
        prop::sample::select(vec![0, 0, 0, 0, 1, -1, 10, -20, 200]),
        prop::sample::select(vec![40_u64, 100, 1_000]),
        prop::sample::select(vec![60_u64, 300, 3_000]),
        prop::sample::select(vec![0_u64, 50, 500]),
        prop::option::of(limit),
        prop::option::of(0..64_usize),
        prop::option::of(0..2_u8),
    )
        .prop_map(|(who, skew, idle, life, retention, limit, replaces, address)| Insert {
            who,
            skew,
            idle,
            life,
            retention,
            limit,
            replaces,
            address,
        })
}

fn list() -> impl Strategy<Value = List> {
    (
        prop::option::weighted(0.2, 0..64_usize),
        prop::option::of(0..4_usize),
        prop::option::weighted(0.2, 0..4_usize),
        prop::sample::select(vec![ListOrder::NewestFirst, ListOrder::OldestFirst]),
        prop::sample::select(vec![StateFilter::Active, StateFilter::Ended, StateFilter::Any]),
        prop::option::weighted(0.3, -100..=0_i64),
        prop::option::weighted(0.3, -50..=50_i64),
        prop::option::weighted(0.3, 0..2_u8),
        prop::sample::select(vec![1_u16, 2, 3, 50]),
    )
        .prop_map(|(session, who, beginning, order, state, from, before, address, limit)| List {
            session,
            who,
            beginning,
            order,
            state,
            from,
            before,
            address,
            limit,
        })
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![6 => Just(Guess::Right), 1 => Just(Guess::Earlier), 1 => Just(Guess::Later)]
}

fn reason() -> impl Strategy<Value = EndReason> {
    prop::sample::select(vec![EndReason::SignedOut, EndReason::RevokedByAdmin, EndReason::Compromised])
}
