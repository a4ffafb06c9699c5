//! One kind of look-up, for a while, by one thread or by several.

use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cloakroom::{Activity, SessionToken, Sessions, Validation};
use cloakroom_core::{SessionRecord, TokenDigest};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::allocator::counted;
use crate::error::{Doing as _, Error, Outcome};
use crate::statistics::{each, number};
use crate::stopwatch::Stopwatch;

/// What is looked up, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// One session, validated.
    Hot,
    /// All sessions in turn, validated.
    Uniform,
    /// One entry of a plain map that nobody else uses, by a digest that is there already.
    MapHot,
    MapUniform,
}

/// What a look-up cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) kind: Kind,
    pub(super) threads: usize,
    /// For each thread: they run at the same time.
    pub(super) nanoseconds: f64,
    pub(super) allocations: f64,
}

/// Whom to ask, and for what.
pub(super) struct Asked<'a> {
    sessions: &'a Sessions,
    tokens: &'a [SessionToken],
    digests: Vec<TokenDigest>,
    map: HashMap<TokenDigest, Arc<SessionRecord>, RandomState>,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Hot, Self::Uniform, Self::MapHot, Self::MapUniform];
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        sessions: &'a Sessions,
        tokens: &'a [SessionToken],
        records: Vec<(TokenDigest, Arc<SessionRecord>)>,
    ) -> Self {
        let digests = records.iter().map(|(digest, _)| *digest).collect();
        Self { sessions, tokens, digests, map: records.into_iter().collect() }
    }

    /// Everybody's record, for the map.
    pub(super) async fn gather(
        sessions: &Sessions,
        tokens: &[SessionToken],
    ) -> Outcome<Vec<(TokenDigest, Arc<SessionRecord>)>> {
        let mut records = Vec::with_capacity(tokens.len());
        for token in tokens {
            match sessions.validate(token, Activity::Ignored).await.doing("validating")? {
                // A copy: were it shared, the map would keep in memory what the store itself would let go.
                Validation::Active(session) => {
                    records.push((token.digest(), Arc::new(SessionRecord::clone(session.record()))));
                }
                other => {
                    return Err(Error::new("validating", format!("the session is not alive: {other:?}")));
                }
            }
        }
        Ok(records)
    }

    /// Each thread makes so many look-ups, at its own place of the walk, `walked` being where the first begins.
    pub(super) fn turn(
        &self,
        kind: Kind,
        threads: NonZeroUsize,
        walked: usize,
        count: usize,
    ) -> Outcome<Turn> {
        let begin = |thread: usize| (walked + thread * count) % self.tokens.len().max(1);
        let costs: Vec<Outcome<(f64, f64)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.get())
                .map(|thread| scope.spawn(move || self.work(kind, begin(thread), count)))
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|done| done.unwrap_or_else(|_| Err(Error::new("looking up", "a thread panicked"))))
                .collect()
        });
        let costs = costs.into_iter().collect::<Outcome<Vec<_>>>()?;
        let mean = |value: fn(&(f64, f64)) -> f64| each(costs.iter().map(value).sum(), costs.len());
        Ok(Turn {
            kind,
            threads: threads.get(),
            nanoseconds: mean(|cost| cost.0),
            allocations: mean(|cost| cost.1),
        })
    }

    /// Nanoseconds and allocations of each look-up.
    fn work(&self, kind: Kind, begin: usize, count: usize) -> Outcome<(f64, f64)> {
        let runtime = Builder::new_current_thread().build().doing("building a runtime")?;
        let walk = self.tokens.iter().cycle().skip(begin).take(count);
        let digests = self.digests.iter().cycle().skip(begin).take(count);
        let hot = self.tokens.first().doing("taking a token")?;
        let hot_digest = self.digests.first().doing("taking a digest")?;
        let (watch, allocations) = (Stopwatch::start(), counted().allocations);
        match kind {
            Kind::Hot => runtime.block_on(self.validate(std::iter::repeat_n(hot, count)))?,
            Kind::Uniform => runtime.block_on(self.validate(walk))?,
            Kind::MapHot => self.look_up(std::iter::repeat_n(hot_digest, count))?,
            Kind::MapUniform => self.look_up(digests)?,
        }
        let nanoseconds = each(watch.elapsed().as_secs_f64() * 1e9, count);
        Ok((nanoseconds, each(number(counted().allocations.wrapping_sub(allocations)), count)))
    }

    async fn validate(&self, tokens: impl Iterator<Item = &SessionToken>) -> Outcome {
        for token in tokens {
            match self.sessions.validate(black_box(token), Activity::Counts).await.doing("validating")? {
                Validation::Active(session) => drop(black_box(session)),
                other => {
                    return Err(Error::new("validating", format!("the session is not alive: {other:?}")));
                }
            }
        }
        Ok(())
    }

    fn look_up<'d>(&self, digests: impl Iterator<Item = &'d TokenDigest>) -> Outcome {
        for digest in digests {
            drop(black_box(self.map.get(black_box(digest)).doing("looking up")?.clone()));
        }
        Ok(())
    }
}
