//! Asking for sessions, and for entries of a plain map, in turns.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use cloakroom::{Activity, SessionToken, Sessions, Validation};
use cloakroom_core::{SessionRecord, TokenDigest};
use cloakroom_http::{CookiePolicy, Found as FoundToken, find_token as find_token_in};
use foldhash::fast::RandomState;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use crate::allocator::counted;
use crate::error::{Doing as _, Error, Outcome};
use crate::machine::processor_nanoseconds;
use crate::population::{Found, Task};
use crate::statistics::{each, number};
use crate::stopwatch::Stopwatch;
use crate::stores::Kind;

/// What one of the things done in a turn cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) nanoseconds: f64,
    /// Processor time of all threads.
    pub(super) processor_nanoseconds: f64,
    /// Of the asking thread.
    pub(super) allocations: f64,
}

/// Lets each kind of look-up take its turn, round after round.
pub(super) async fn ask(
    sessions: &Sessions,
    tokens: &[SessionToken],
    task: &Task,
    found: &mut Found,
) -> Outcome {
    let mut map: HashMap<TokenDigest, Arc<SessionRecord>, RandomState> = HashMap::default();
    let mut digests = Vec::new();
    if task.store == Kind::Memory && !task.metrics {
        for token in tokens {
            digests.push(token.digest());
            map.insert(token.digest(), record_of(sessions, token).await?);
        }
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..=task.rounds {
        let hot = validate(sessions, tokens, task.look_ups, || 0).await?;
        let uniform = validate(sessions, tokens, task.look_ups, || random.below(tokens.len())).await?;
        let turns = (!map.is_empty()).then(|| {
            let hot = look_up(&map, &digests, task.look_ups, || 0);
            Ok((hot?, look_up(&map, &digests, task.look_ups, || random.below(digests.len()))?))
        });
        // The first round warms up.
        if round > 0 {
            found.hot.push(hot);
            found.uniform.push(uniform);
            if let Some((hot, uniform)) = turns.transpose()? {
                found.map_hot.push(hot);
                found.map_uniform.push(uniform);
            }
        }
    }
    Ok(())
}

/// Finds the token among a browser's headers, again and again.
pub(super) fn find_token(tokens: &[SessionToken], rounds: usize) -> Outcome<Vec<Turn>> {
    let token = tokens.first().doing("taking a token")?.expose();
    let policy = CookiePolicy::default();
    let cookies = format!("theme=dark; {}={}; _ga=GA1.1.1", policy.name(), token.as_str());
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
    headers.insert(header::COOKIE, HeaderValue::from_str(&cookies).doing("writing a header")?);
    let turn = || {
        measured(FINDS, || {
            for _ in 0..FINDS {
                let FoundToken::Cookie(token) = find_token_in(black_box(&headers), &policy) else {
                    return Err(Error::new("finding a token", "it was not found"));
                };
                black_box(token);
            }
            Ok(())
        })
    };
    (0..rounds).map(|_| turn()).collect()
}

async fn record_of(sessions: &Sessions, token: &SessionToken) -> Outcome<Arc<SessionRecord>> {
    match sessions.validate(token, Activity::Ignored).await.doing("validating")? {
        Validation::Active(session) => Ok(Arc::clone(session.record())),
        other => Err(Error::new("validating", format!("the session is not alive: {other:?}"))),
    }
}

async fn validate(
    sessions: &Sessions,
    tokens: &[SessionToken],
    count: usize,
    mut next: impl FnMut() -> usize,
) -> Outcome<Turn> {
    let begun = Begun::now()?;
    for _ in 0..count {
        let token = tokens.get(next()).doing("taking a token")?;
        match sessions.validate(token, Activity::Counts).await.doing("validating")? {
            Validation::Active(session) => drop(black_box(session)),
            other => return Err(Error::new("validating", format!("the session is not alive: {other:?}"))),
        }
    }
    begun.finished(count)
}

fn look_up(
    map: &HashMap<TokenDigest, Arc<SessionRecord>, RandomState>,
    digests: &[TokenDigest],
    count: usize,
    mut next: impl FnMut() -> usize,
) -> Outcome<Turn> {
    measured(count, || {
        for _ in 0..count {
            let record = digests.get(next()).and_then(|digest| map.get(black_box(digest)));
            drop(black_box(record.doing("looking up")?.clone()));
        }
        Ok(())
    })
}

fn measured(count: usize, body: impl FnOnce() -> Outcome) -> Outcome<Turn> {
    let begun = Begun::now()?;
    body()?;
    begun.finished(count)
}

/// The readings before a turn.
struct Begun {
    watch: Stopwatch,
    processor: u64,
    allocations: u64,
}

impl Begun {
    fn now() -> Outcome<Self> {
        Ok(Self { processor: processor()?, allocations: counted().allocations, watch: Stopwatch::start() })
    }

    fn finished(self, count: usize) -> Outcome<Turn> {
        let elapsed = self.watch.elapsed();
        let allocations = counted().allocations.wrapping_sub(self.allocations);
        let processor = processor()?.saturating_sub(self.processor);
        Ok(Turn {
            nanoseconds: each(elapsed.as_secs_f64() * 1e9, count),
            processor_nanoseconds: each(number(processor), count),
            allocations: each(number(allocations), count),
        })
    }
}

fn processor() -> Outcome<u64> {
    processor_nanoseconds(std::process::id()).doing("reading the processor time of this process")
}

/// Marsaglia's xorshift: which session is next needs no better.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap_or_default() % bound.max(1)
    }
}

/// Headers searched in a turn.
const FINDS: usize = 200_000;
