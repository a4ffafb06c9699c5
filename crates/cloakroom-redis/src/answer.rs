//! Taking a script's answer apart.

use redis::Value;

use crate::error::Problem;
use crate::map::Found;

/// An answer, and to which script, for errors.
pub(crate) struct Answer {
    pub(crate) of: &'static str,
    pub(crate) value: Value,
}

/// The elements of an answer, taken one after the other.
pub(crate) struct Parts {
    of: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Answer {
    pub(crate) fn parts(self) -> Result<Parts, Problem> {
        match self.value {
            Value::Array(values) => Ok(Parts { of: self.of, values: values.into_iter() }),
            _ => Err(Problem::Answer(self.of)),
        }
    }

    pub(crate) fn number(self) -> Result<u64, Problem> {
        match self.value {
            Value::Int(number) => u64::try_from(number).map_err(|_| Problem::Answer(self.of)),
            _ => Err(Problem::Answer(self.of)),
        }
    }
}

impl Parts {
    /// The next element; nothing where there is none, as a list of a script ends with its last value.
    pub(crate) fn next(&mut self) -> Option<Answer> {
        self.values.next().map(|value| Answer { of: self.of, value })
    }

    pub(crate) fn bytes(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match self.values.next() {
            None | Some(Value::Nil) => Ok(None),
            Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
            Some(_) => Err(Problem::Answer(self.of)),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, Problem> {
        self.next().ok_or(Problem::Answer(self.of))?.number()
    }

    /// A word that says how it went.
    pub(crate) fn word(&mut self) -> Result<String, Problem> {
        let word = self.bytes()?.and_then(|bytes| String::from_utf8(bytes).ok());
        word.ok_or(Problem::Answer(self.of))
    }

    /// A record, its entry, and whether it is among those of its principal.
    pub(crate) fn found(&mut self) -> Result<Found, Problem> {
        let (record, entry) = (self.bytes()?, self.bytes()?);
        let is_listed = !matches!(self.values.next(), None | Some(Value::Nil));
        Ok(Found { record, entry, is_listed })
    }

    /// The name of the script.
    pub(crate) fn of(&self) -> &'static str {
        self.of
    }

    /// The rest, one by one.
    pub(crate) fn rest(self) -> impl Iterator<Item = Answer> {
        let of = self.of;
        self.values.map(move |value| Answer { of, value })
    }
}
