//! Log lines that whoever holds an old token could have us write as often as they like.

use std::time::Duration;

use cloakroom_core::{SessionId, Timestamp};
use parking_lot::Mutex;

use crate::Event;

/// What was said lately, of which session. Each session has one place, of few: two that share one are silent for each
/// other's minute. Hence there are never more than [`PLACES`] lines a [`SILENCE`], whatever is sent here, and the memory for it
/// does not grow.
#[derive(Debug)]
pub(crate) struct Repeats {
    places: Mutex<Box<[Said]>>,
}

/// Whether a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// It is. Since the last one of this place, so many others were not.
    Written { left_out: u64 },
    /// It is not: it would say what was just said.
    LeftOut,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    at: Timestamp,
    left_out: u64,
}

impl Default for Repeats {
    fn default() -> Self {
        let nothing = Said { at: LONG_AGO, left_out: 0 };
        Self { places: Mutex::new(vec![nothing; PLACES].into()) }
    }
}

impl Repeats {
    /// Whether the line about `event` is written. Events without a session share one place.
    pub(crate) fn line(&self, event: &Event) -> Line {
        let mut places = self.places.lock();
        let Some(said) = places.get_mut(place_of(event.session)) else { return Line::LeftOut };
        // A clock that was set back must not silence us until it has caught up.
        let lately = said.at <= event.at && event.at.since(said.at) < SILENCE;
        if lately {
            said.left_out = said.left_out.saturating_add(1);
            return Line::LeftOut;
        }
        let left_out = std::mem::take(&mut said.left_out);
        said.at = event.at;
        Line::Written { left_out }
    }
}

/// The place of a session: the end of its id, which is random and of our own making.
fn place_of(session: Option<SessionId>) -> usize {
    let Some(session) = session else { return 0 };
    let [.., high, low] = *session.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % PLACES
}

/// Sessions that are told apart: 48 KiB of memory.
const PLACES: usize = 3 * 1024;
/// A session is spoken of this often.
const SILENCE: Duration = Duration::from_secs(60);
const LONG_AGO: Timestamp = Timestamp::from_millis(i64::MIN);

#[cfg(test)]
mod tests {
    use cloakroom_core::{EndReason, Route};

    use super::*;
    use crate::EventKind;

    fn used(session: [u8; SessionId::RANDOM_BYTES], at: i64) -> Event {
        let id = SessionId::from_random(Route::from_bytes([0, 0]), session);
        let kind = EventKind::UsedAfterEnd(EndReason::SignedOut);
        Event::new(kind, Timestamp::from_millis(at)).about(id, None)
    }

    fn session(number: u16) -> [u8; SessionId::RANDOM_BYTES] {
        let mut random = [0; SessionId::RANDOM_BYTES];
        random[SessionId::RANDOM_BYTES - 2..].copy_from_slice(&number.to_be_bytes());
        random
    }

    #[test]
    fn a_session_is_spoken_of_once_a_minute_and_what_was_left_out_is_said_then() {
        let repeats = Repeats::default();
        for (at, line) in [
            (0, Line::Written { left_out: 0 }),
            (1, Line::LeftOut),
            (59_999, Line::LeftOut),
            (60_000, Line::Written { left_out: 2 }),
            (60_001, Line::LeftOut),
            // A clock that is set back does not silence anybody for longer than a line.
            (10_000, Line::Written { left_out: 1 }),
        ] {
            assert_eq!(repeats.line(&used(session(1), at)), line, "{at}");
        }
        assert_eq!(repeats.line(&used(session(2), 10_001)), Line::Written { left_out: 0 }, "another session");
    }

    #[test]
    fn however_many_sessions_there_are_the_lines_of_a_minute_are_bounded() {
        let repeats = Repeats::default();
        let written =
            (0..=u16::MAX).filter(|number| repeats.line(&used(session(*number), 5)) != Line::LeftOut).count();
        assert_eq!(written, PLACES);
    }
}
