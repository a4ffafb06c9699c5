//! What a server says, read strictly.
//!
//! A server is trusted to keep data, not to be well: whatever is not exactly an answer of the meta protocol ends the
//! connection, since after it nobody knows which answer belongs to which question.

use std::ops::Range;

/// One answer, as it stands in the buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    /// The number of the question, where the server repeated it.
    pub(crate) opaque: Option<u64>,
    pub(crate) cas: Option<u64>,
    pub(crate) flags: Option<u32>,
    /// Where the value stands in the buffer.
    pub(crate) value: Option<Range<usize>>,
    /// Bytes of the whole answer.
    pub(crate) length: usize,
}

/// The kinds of answer there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `HD`, `VA`: done, or found.
    Done,
    /// `EN`, `NF`: there is no such item.
    Missing,
    /// `NS`: not stored, the condition does not hold.
    NotStored,
    /// `EX`: the item has changed since it was read.
    Changed,
    /// `MN`: everything before this is answered.
    Noop,
    /// `SERVER_ERROR`: the server could not; the connection is in order.
    Failed(String),
}

/// The bytes are no answer: the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a line of more than {LONGEST_LINE} bytes")]
    Line,
    #[error("a value of more than {LARGEST_VALUE} bytes")]
    Value,
    #[error("no answer of the meta protocol: {0:?}; needs memcached 1.6 or later")]
    Answer(String),
    #[error("an answer to another question")]
    Order,
    #[error("items without versions, by which nothing can be decided: start memcached without -C")]
    Versionless,
}

/// Reads the answer at the beginning of `bytes`; `None` where it is not all there yet.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= LONGEST_LINE { Err(Malformed::Line) } else { Ok(None) };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let malformed = || Malformed::Answer(shown(line));
    let text = std::str::from_utf8(line).map_err(|_| malformed())?;
    let after = end.saturating_add(2);
    if let Some(why) = text.strip_prefix("SERVER_ERROR ") {
        let kind = Kind::Failed(why.to_owned());
        return Ok(Some(Answer { kind, opaque: None, cas: None, flags: None, value: None, length: after }));
    }
    let mut words = text.split(' ');
    let (kind, size) = match words.next() {
        Some("HD") => (Kind::Done, None),
        Some("VA") => {
            let size: usize = words.next().and_then(number).ok_or_else(malformed)?;
            (Kind::Done, Some(size))
        }
        Some("EN" | "NF") => (Kind::Missing, None),
        Some("NS") => (Kind::NotStored, None),
        Some("EX") => (Kind::Changed, None),
        Some("MN") => (Kind::Noop, None),
        _ => return Err(malformed()),
    };
    let mut answer = Answer { kind, opaque: None, cas: None, flags: None, value: None, length: after };
    for word in words {
        read_flag(word, &mut answer).ok_or_else(malformed)?;
    }
    match size {
        Some(size) => read_value(bytes, size, answer),
        None => Ok(Some(answer)),
    }
}

fn read_flag(word: &str, answer: &mut Answer) -> Option<()> {
    let mut rest = word.chars();
    match rest.next()? {
        'O' => answer.opaque = Some(number(rest.as_str())?),
        'c' => answer.cas = Some(number(rest.as_str())?),
        'f' => answer.flags = Some(number(rest.as_str())?),
        // A later version may tell more than it was asked.
        other if other.is_ascii_alphabetic() => {}
        _ => return None,
    }
    Some(())
}

fn read_value(bytes: &[u8], size: usize, mut answer: Answer) -> Result<Option<Answer>, Malformed> {
    if size > LARGEST_VALUE {
        return Err(Malformed::Value);
    }
    let start = answer.length;
    let end = start.saturating_add(size);
    match bytes.get(end..end.saturating_add(2)) {
        None => Ok(None),
        Some(b"\r\n") => {
            answer.value = Some(start..end);
            answer.length = end.saturating_add(2);
            Ok(Some(answer))
        }
        Some(_) => Err(Malformed::Answer("a value longer than it said".to_owned())),
    }
}

/// A number as the protocol writes it: digits and nothing else.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// As much of a line as belongs into an error. Answers never hold values, so nothing of a record is shown.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..SHOWN).unwrap_or(line)).into_owned()
}

/// Longest line of an answer: the longest key and every flag fit several times.
const LONGEST_LINE: usize = 2_048;
/// Largest value of an answer; memcached keeps no larger items unless told to, and nothing here writes one.
const LARGEST_VALUE: usize = 1_048_576;
/// Bytes of a strange line that an error shows.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_one(text: &str) -> Answer {
        read(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn every_answer_of_the_protocol_is_understood() {
        for (text, kind) in [
            ("HD O5 c7\r\n", Kind::Done),
            ("HD \r\n", Kind::Done),
            ("EN\r\n", Kind::Missing),
            ("EN O5\r\n", Kind::Missing),
            ("NF O5\r\n", Kind::Missing),
            ("NS O5\r\n", Kind::NotStored),
            ("EX O5\r\n", Kind::Changed),
            ("MN\r\n", Kind::Noop),
            (
                "SERVER_ERROR out of memory storing object\r\n",
                Kind::Failed("out of memory storing object".into()),
            ),
        ] {
            match read(text.as_bytes()) {
                Ok(Some(answer)) => assert_eq!((answer.kind, answer.length), (kind, text.len()), "{text:?}"),
                other => assert!(text == "HD \r\n" && other.is_err(), "{text:?}: {other:?}"),
            }
        }
        let answer = read_one("VA 3 c12 f4294967295 O9 Wx\r\nabc\r\nHD\r\n");
        assert_eq!((answer.cas, answer.flags, answer.opaque), (Some(12), Some(u32::MAX), Some(9)));
        assert_eq!((answer.value, answer.length), (Some(28..31), 33));
    }

    #[test]
    fn a_value_may_hold_line_ends_and_answers() {
        let answer = read_one("VA 8\r\nEN\r\nEN\r\n\r\n");
        assert_eq!(answer.value, Some(6..14));
    }

    #[test]
    fn an_answer_that_is_not_all_there_is_waited_for() {
        let whole = b"VA 5 c1 O2\r\nhello\r\n";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "ERROR\r\n",
            "CLIENT_ERROR bad data chunk\r\n",
            "VA\r\n",
            "VA x\r\n",
            "VA -1\r\n",
            "VA +1\r\n",
            "HD c\r\n",
            "HD cx\r\n",
            "HD c99999999999999999999\r\n",
            "HD f4294967296\r\n",
            "HD O-1\r\n",
            "\r\n",
            "VA 3\r\nabcd\r\n",
            "hd\r\n",
            "VALUE k 0 3\r\nabc\r\nEND\r\n",
            "HD 5\r\n",
            "HD  c1\r\n",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(read(&[b'x'; LONGEST_LINE]), Err(Malformed::Line));
        assert_eq!(read(&[b'x'; LONGEST_LINE - 1]), Ok(None));
        let (largest, too_large) = (LARGEST_VALUE, LARGEST_VALUE + 1);
        assert_eq!(read(format!("VA {largest}\r\n").as_bytes()), Ok(None));
        assert_eq!(read(format!("VA {too_large}\r\n").as_bytes()), Err(Malformed::Value));
        assert_eq!(read(b"VA 18446744073709551615\r\n"), Err(Malformed::Value));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_none_are_read_twice(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Some(answer)) = read(&bytes) {
                prop_assert!(answer.length >= 4 && answer.length <= bytes.len());
                if let Some(value) = answer.value {
                    prop_assert!(value.end + 2 == answer.length);
                }
            }
        }

        #[test]
        fn whatever_nearly_is_an_answer_is_read_or_refused(
            text in "(HD|VA|EN|NF|NS|EX|MN|ER) ?[0-9]{0,4}( [Ocfkt][0-9]{0,20}){0,4}\r?\n?[a-c\r\n]{0,20}",
        ) {
            let whole = read(text.as_bytes());
            // An answer does not depend on what follows it, nor on how it arrived.
            if let Ok(Some(answer)) = whole {
                for length in 0..answer.length {
                    prop_assert_eq!(read(&text.as_bytes()[..length]), Ok(None));
                }
            }
        }
    }
}
