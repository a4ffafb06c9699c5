//! What a node writes down of each answer: twenty-four bytes.

use std::fs;
use std::path::Path;

use cloakroom::Validation;

use crate::Fallible;
use crate::clock::Nanos;

/// One answer of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which token, by the driver's count.
    pub token: u32,
    /// What was said of it.
    pub outcome: Outcome,
    /// When it was asked.
    pub asked: Nanos,
    /// When the answer was there.
    pub answered: Nanos,
}

/// What was said of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Let in.
    Active,
    /// Ended.
    Ended,
    /// Exchanged for another.
    Retired,
    /// Nobody knows it.
    Unknown,
    /// No answer: the store could not be asked.
    Unavailable,
}

impl Outcome {
    /// What an engine's answer amounts to.
    pub fn of<E>(answer: &Result<Validation, E>) -> Self {
        match answer {
            Ok(Validation::Active(_)) => Self::Active,
            Ok(Validation::Ended(_)) => Self::Ended,
            Ok(Validation::Retired(_)) => Self::Retired,
            Ok(Validation::Unknown) => Self::Unknown,
            Err(_) => Self::Unavailable,
        }
    }

    const ALL: [Self; 5] = [Self::Active, Self::Ended, Self::Retired, Self::Unknown, Self::Unavailable];
}

impl Record {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let outcome = Outcome::ALL.iter().position(|one| *one == self.outcome).unwrap_or_default();
        let mut bytes = [0; LENGTH];
        let parts = [
            self.token.to_le_bytes().to_vec(),
            u32::try_from(outcome).unwrap_or_default().to_le_bytes().to_vec(),
            self.asked.to_le_bytes().to_vec(),
            self.answered.to_le_bytes().to_vec(),
        ];
        for (place, byte) in bytes.iter_mut().zip(parts.concat()) {
            *place = byte;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; LENGTH]) -> Option<Self> {
        let (token, rest) = bytes.split_first_chunk()?;
        let (outcome, rest) = rest.split_first_chunk()?;
        let (asked, rest) = rest.split_first_chunk()?;
        let (answered, _) = rest.split_first_chunk()?;
        let outcome = usize::try_from(u32::from_le_bytes(*outcome)).ok()?;
        Some(Self {
            token: u32::from_le_bytes(*token),
            outcome: *Outcome::ALL.get(outcome)?,
            asked: u64::from_le_bytes(*asked),
            answered: u64::from_le_bytes(*answered),
        })
    }

    /// All records of a file.
    ///
    /// # Errors
    /// If it cannot be read, or is no file of records.
    pub fn read_all(file: &Path) -> Fallible<Vec<Self>> {
        let bytes = fs::read(file)?;
        let (records, rest) = bytes.as_chunks::<LENGTH>();
        if !rest.is_empty() {
            return Err("a file of records ends within one".into());
        }
        records.iter().map(|bytes| Self::from_bytes(bytes).ok_or_else(|| "no record".into())).collect()
    }
}

/// Bytes of a record.
pub const LENGTH: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for outcome in Outcome::ALL {
            let record = Record { token: 7, outcome, asked: u64::MAX - 1, answered: u64::MAX };
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }
}
