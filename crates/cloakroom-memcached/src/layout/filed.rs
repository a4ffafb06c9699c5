//! What is filed under a digest: a record, or what is left of one.

use std::sync::Arc;

use cloakroom_core::{SessionId, SessionRecord, Timestamp, Tombstone};
use cloakroom_store::{Retired, Version, decode_record, encode_record};

use super::ledger::Remains;
use super::wire::{Reader, Writer};
use crate::error::Problem;

/// What is filed under a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Filed {
    /// A record. Its session lives if the ledger says so, and only then.
    Record(Record),
    /// What is left, for as long as anybody may ask.
    Remains { what: Remains, keep_until: Timestamp },
}

/// A session's record as it is filed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) record: Arc<SessionRecord>,
    pub(crate) version: Version,
    pub(crate) state: State,
}

/// Whether a record may be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    /// Its token is being exchanged: whoever wants to replace it first makes sure that the exchange comes to nothing.
    Held,
}

impl Filed {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Record(Record { record, version, state }) => encode_live(record, *version, *state),
            Self::Remains { what, keep_until } => Ok(encode_remains(what, *keep_until)),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader::new(bytes, FORMAT, "record")?;
        match reader.byte()? {
            kind @ (OPEN | HELD) => {
                let version = Version::from_u64(reader.number()?);
                let _filer = reader.number()?;
                let state = if kind == OPEN { State::Open } else { State::Held };
                let record = Arc::new(decode_record(reader.rest())?);
                Ok(Self::Record(Record { record, version, state }))
            }
            ENDED => {
                let (session, keep_until) = (SessionId::from_bytes(reader.array()?), reader.instant()?);
                let (ended_at, reason) = (reader.instant()?, reader.reason()?);
                let principal = match reader.byte()? {
                    0 => None,
                    _ => Some(reader.principal()?),
                };
                reader.end()?;
                let what = Remains::Ended(Tombstone { session, principal, ended_at, reason });
                Ok(Self::Remains { what, keep_until })
            }
            RETIRED => {
                let (session, keep_until) = (SessionId::from_bytes(reader.array()?), reader.instant()?);
                let rotated_at = reader.instant()?;
                reader.end()?;
                Ok(Self::Remains { what: Remains::Retired(Retired { session, rotated_at }), keep_until })
            }
            _ => Err(reader.damaged()),
        }
    }
}

/// The bytes of a live session's record.
pub(crate) fn encode_live(
    record: &SessionRecord,
    version: Version,
    state: State,
) -> Result<Vec<u8>, Problem> {
    encode_filed_by(record, version, state, 0)
}

/// The same as somebody files it who has to know their own again: `filer` is a number that nobody else has.
pub(crate) fn encode_filed_by(
    record: &SessionRecord,
    version: Version,
    state: State,
    filer: u64,
) -> Result<Vec<u8>, Problem> {
    let mut writer = Writer::new(FORMAT);
    writer.byte(if state == State::Open { OPEN } else { HELD });
    writer.number(version.as_u64());
    writer.number(filer);
    let mut bytes = writer.finish();
    encode_record(record, &mut bytes)?;
    if bytes.len() > LARGEST {
        return Err(Problem::TooLarge { what: "the record", bytes: bytes.len(), most: LARGEST });
    }
    Ok(bytes)
}

/// That an id was used, and until when that matters.
pub(crate) fn encode_used(keep_until: Timestamp) -> Vec<u8> {
    let mut writer = Writer::new(FORMAT);
    writer.instant(keep_until);
    writer.finish()
}

pub(crate) fn decode_used(bytes: &[u8]) -> Result<Timestamp, Problem> {
    let mut reader = Reader::new(bytes, FORMAT, "used id")?;
    let keep_until = reader.instant()?;
    reader.end()?;
    Ok(keep_until)
}

fn encode_remains(what: &Remains, keep_until: Timestamp) -> Vec<u8> {
    let mut writer = Writer::new(FORMAT);
    writer.byte(match what {
        Remains::Ended(_) => ENDED,
        Remains::Retired(_) => RETIRED,
    });
    writer.bytes(what.session().as_bytes());
    writer.instant(keep_until);
    match what {
        Remains::Ended(tombstone) => {
            writer.instant(tombstone.ended_at);
            writer.reason(tombstone.reason);
            writer.byte(u8::from(tombstone.principal.is_some()));
            if let Some(principal) = &tombstone.principal {
                writer.text(principal.as_str());
            }
        }
        Remains::Retired(retired) => writer.instant(retired.rotated_at),
    }
    writer.finish()
}

const FORMAT: u8 = 1;
const OPEN: u8 = 0;
const HELD: u8 = 1;
const ENDED: u8 = 2;
const RETIRED: u8 = 3;
/// Largest record: what memcached takes for an item, less what it keeps beside it.
pub(crate) const LARGEST: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_core::{EndReason, Lifetime, PrincipalId};
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn samples() -> Vec<Filed> {
        let session = SessionId::from_bytes([7; 16]);
        let lifetime = Lifetime::new(Duration::from_secs(60), at(90_000), Duration::from_secs(5));
        let record = Arc::new(SessionRecord::new(session, at(1_000), lifetime));
        let live = |state| {
            Filed::Record(Record { record: Arc::clone(&record), version: Version::from_u64(300), state })
        };
        let ended =
            |principal| Tombstone { session, principal, ended_at: at(-5), reason: EndReason::Compromised };
        let remains = |what| Filed::Remains { what, keep_until: at(i64::MAX) };
        vec![
            live(State::Open),
            live(State::Held),
            remains(Remains::Ended(ended(None))),
            remains(Remains::Ended(ended(Some(PrincipalId::new("zoë").unwrap())))),
            remains(Remains::Retired(Retired { session, rotated_at: at(9) })),
        ]
    }

    #[test]
    fn what_is_filed_reads_back() {
        for filed in samples() {
            assert_eq!(Filed::decode(&filed.encode().unwrap()).unwrap(), filed);
        }
        assert_eq!(decode_used(&encode_used(at(-77))).unwrap(), at(-77));
    }

    #[test]
    fn every_truncation_is_an_error_and_no_change_of_a_byte_panics() {
        for filed in samples() {
            let bytes = filed.encode().unwrap();
            for length in 0..bytes.len() {
                assert!(Filed::decode(&bytes[..length]).is_err(), "{filed:?} cut to {length}");
            }
            for position in 0..bytes.len() {
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[position] ^= 1 << bit;
                    let _ = Filed::decode(&damaged);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Filed::decode(&[vec![FORMAT], bytes].concat());
        }
    }
}
