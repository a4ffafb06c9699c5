//! Questions to a server, several at once.

use std::fmt::Write as _;
use std::time::Duration;

/// Questions that are sent together and answered in their order.
///
/// Every change is conditional: there is a way to add, to swap and to delete what was read before, and none to set.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    questions: Vec<Question>,
}

/// A question, waiting for its number.
#[derive(Debug)]
struct Question {
    /// The command up to where the number goes.
    head: String,
    /// What is stored.
    value: Option<Vec<u8>>,
}

/// The version of an item on one server, as long as the connection it was read through lasts: a server that restarted
/// counts anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cas(u64);

impl Cas {
    pub(crate) const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// What is stored beside a key.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) value: Vec<u8>,
    /// When the server may drop it.
    pub(crate) expiry: Expiry,
    /// Thirty-two bits that can be read without the value.
    pub(crate) flags: u32,
}

/// A server's own expiry: a safety net that removes what is over anyway, never a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expiry(u32);

impl Expiry {
    /// By eviction only.
    pub(crate) const NEVER: Self = Self(0);

    /// After `time`, and not before a margin that covers clocks that differ; never, where that is more than the server
    /// can count as a span of time. What never expires leaves by eviction.
    pub(crate) fn after(time: Duration) -> Self {
        let seconds = time.saturating_add(MARGIN).as_secs();
        Self(u32::try_from(seconds).ok().filter(|seconds| *seconds <= LONGEST_SPAN).unwrap_or(0))
    }
}

impl Batch {
    /// Asks for an item: value, version and flags.
    pub(crate) fn get(mut self, key: &str) -> Self {
        self.ask(format!("mg {key} v c f"), None);
        self
    }

    /// Asks for an item's version and flags.
    pub(crate) fn peek(mut self, key: &str) -> Self {
        self.ask(format!("mg {key} c f"), None);
        self
    }

    /// Stores an item where there is none: `Done`, or `NotStored`.
    pub(crate) fn add(mut self, key: &str, item: Item) -> Self {
        let head = format!("ms {key} {} ME T{} F{}", item.value.len(), item.expiry.0, item.flags);
        self.ask(head, Some(item.value));
        self
    }

    /// Stores an item where the one there is still the one read: `Done`, `Changed` or `Missing`.
    pub(crate) fn swap(mut self, key: &str, seen: Cas, item: Item) -> Self {
        let head = format!("ms {key} {} C{} T{} F{}", item.value.len(), seen.0, item.expiry.0, item.flags);
        self.ask(head, Some(item.value));
        self
    }

    /// Deletes an item where it is still the one read: `Done`, `Changed` or `Missing`.
    pub(crate) fn delete(mut self, key: &str, seen: Cas) -> Self {
        self.ask(format!("md {key} C{}", seen.0), None);
        self
    }

    /// How many questions there are.
    pub(crate) fn len(&self) -> usize {
        self.questions.len()
    }

    /// Bytes it will take to send, about.
    pub(crate) fn size(&self) -> usize {
        self.questions
            .iter()
            .map(|question| question.head.len() + 32 + question.value.as_ref().map_or(0, Vec::len))
            .sum()
    }

    /// Writes the questions, numbered from `first`.
    pub(crate) fn write(&self, first: u64, buffer: &mut Vec<u8>) {
        let mut line = String::new();
        for (number, question) in (first..).zip(&self.questions) {
            line.clear();
            // Writing to a string never fails.
            let _ = write!(line, "{} O{number}\r\n", question.head);
            buffer.extend_from_slice(line.as_bytes());
            if let Some(value) = &question.value {
                buffer.extend_from_slice(value);
                buffer.extend_from_slice(b"\r\n");
            }
        }
    }

    fn ask(&mut self, head: String, value: Option<Vec<u8>>) {
        self.questions.push(Question { head, value });
    }
}

/// Most seconds that memcached takes for a span; a larger number is an instant of its own clock.
const LONGEST_SPAN: u32 = 60 * 60 * 24 * 30;
/// Kept for this much longer than needed: clocks differ, and nothing is decided by this.
const MARGIN: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: &[u8]) -> Item {
        Item { value: value.to_vec(), expiry: Expiry::after(Duration::ZERO), flags: 7 }
    }

    #[test]
    fn questions_are_numbered_and_values_follow_their_line() {
        let batch = Batch::default()
            .get("a")
            .peek("b")
            .add("c", item(b"one"))
            .swap("d", Cas(5), item(b""))
            .delete("e", Cas(6));
        let mut bytes = Vec::new();
        batch.write(41, &mut bytes);
        let expected = "mg a v c f O41\r\nmg b c f O42\r\nms c 3 ME T300 F7 O43\r\none\r\nms d 0 C5 T300 F7 O44\r\n\r\n\
                        md e C6 O45\r\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(batch.len(), 5);
    }

    #[test]
    fn an_expiry_is_a_span_or_never_and_never_an_instant() {
        assert_eq!(Expiry::after(Duration::ZERO), Expiry(300));
        assert_eq!(Expiry::after(Duration::from_secs(2_591_700)), Expiry(LONGEST_SPAN));
        assert_eq!(Expiry::after(Duration::from_secs(2_591_701)), Expiry(0));
        assert_eq!(Expiry::after(Duration::MAX), Expiry(0));
    }
}
