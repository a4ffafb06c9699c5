//! Writing activity down.

use std::fmt::Write as _;

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Touch, TouchReport, Verb};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::at;

/// [`Store::touch`](cloakroom_store::Store::touch).
#[derive(Debug)]
pub(crate) struct TouchAll {
    /// The latest of each session, in the order of the digests.
    touches: Vec<(TokenDigest, Timestamp)>,
    /// As many as were asked for.
    asked: usize,
    now: Timestamp,
}

impl TouchAll {
    pub(crate) fn new(touches: &[Touch], now: Timestamp) -> Self {
        let asked = touches.len();
        let mut touches: Vec<(TokenDigest, Timestamp)> =
            touches.iter().map(|touch| (touch.digest, touch.seen_at)).collect();
        touches.sort_unstable_by(|(digest, seen), (other, other_seen)| {
            digest.cmp(other).then(other_seen.cmp(seen))
        });
        touches.dedup_by_key(|(digest, _)| *digest);
        Self { touches, asked, now }
    }
}

impl Work for TouchAll {
    type Answer = TouchReport;
    const VERB: Verb = Verb::Touch;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<TouchReport, Problem> {
        let mut touched = 0;
        // Each statement commits by itself; a second attempt after the first of several moves nothing twice.
        for batch in self.touches.chunks(AT_ONCE) {
            let answer = link.ask(TOUCH, vec![json(batch), at(self.now)]).await?;
            touched += usize::try_from(answer.affected).unwrap_or(usize::MAX);
        }
        Ok(TouchReport { touched, ignored: self.asked.saturating_sub(touched) })
    }
}

fn json(batch: &[(TokenDigest, Timestamp)]) -> Value {
    let mut text = String::with_capacity(batch.len() * TYPICAL_BYTES);
    for (digest, seen_at) in batch {
        text.push_str(if text.is_empty() { "[[\"" } else { ",[\"" });
        for byte in digest.to_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = write!(text, "\",{}]", seen_at.as_millis());
    }
    text.push(']');
    Value::Bytes(text.into_bytes())
}

const TOUCH: &str = include_str!("../../schema/touch.sql");
/// Rows that one statement locks: some milliseconds' work.
const AT_ONCE: usize = 1_000;
const TYPICAL_BYTES: usize = 90;

#[cfg(test)]
mod tests {
    use cloakroom_core::{Route, SessionToken};

    use super::*;

    #[test]
    fn a_batch_names_each_session_once_at_its_latest_in_the_order_of_digests() {
        let digest = |seed| SessionToken::from_random(Route::from_bytes([seed, 0]), [seed; 32]).digest();
        let touch = |seed, millis| Touch { digest: digest(seed), seen_at: Timestamp::from_millis(millis) };
        let all = TouchAll::new(&[touch(2, 5), touch(1, 9), touch(2, 7), touch(2, -1)], Timestamp::EPOCH);
        let expected = [(digest(1), Timestamp::from_millis(9)), (digest(2), Timestamp::from_millis(7))];
        assert_eq!((all.touches.as_slice(), all.asked), (&expected[..], 4));
    }
}
