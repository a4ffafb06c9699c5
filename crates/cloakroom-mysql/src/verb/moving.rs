//! Telling another store everything, and filing what another store told.

use cloakroom_core::{Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{
    Entry, ErrorKind, ExportCursor, ExportPage, ExportQuery, Filed, Imported, MalformedCursor, Retired, Verb,
};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{
    Columns, Filing, Head, at, digest_bytes, first_epoch, id_bytes, millis, name_bytes, session_columns,
    stripe, word,
};

use super::Report;

/// [`Store::export`](cloakroom_store::Store::export): first sessions, live and ended, in the order of filing, then exchanged
/// tokens, in that of their digests. A session keeps its place whatever happens to it; a token that is exchanged meanwhile
/// moves to where the export has not been.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) query: ExportQuery,
    pub(crate) now: Timestamp,
}

impl Work for Export {
    type Answer = ExportPage;
    const VERB: Verb = Verb::Export;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<ExportPage, Problem> {
        let start = self.query.after.as_ref().map_or(Ok(Place::Sessions { after: 0 }), Place::parse);
        let mut place = start.map_err(|_| Problem::Misuse("a cursor of another store"))?;
        let mut page = ExportPage::default();
        let mut room = usize::from(self.query.limit.get());
        if let Place::Sessions { after } = place {
            let answer = link.ask(SESSIONS, vec![Value::UInt(after), limit(room)]).await?;
            let rows = answer.rows();
            let is_full = rows.len() == room;
            room -= rows.len();
            for row in rows {
                let mut columns = Columns::of(row);
                let number = u64::try_from(columns.integer("number")?);
                place = Place::Sessions { after: number.map_err(|_| Problem::Column("number"))? };
                page.put(session(&mut columns, self.now))?;
            }
            if is_full {
                page.next = Some(place.cursor());
                return Ok(page);
            }
            place = Place::Tokens { after: Vec::new() };
        }
        let Place::Tokens { after } = &place else { return Ok(page) };
        let rows = link.ask(TOKENS, vec![Value::Bytes(after.clone()), limit(room)]).await?.rows();
        let is_full = rows.len() == room;
        for row in rows {
            let mut columns = Columns::of(row);
            let bytes = columns.bytes("digest")?;
            page.put(token(&bytes, &mut columns))?;
            place = Place::Tokens { after: bytes };
        }
        page.next = is_full.then(|| place.cursor());
        Ok(page)
    }
}

/// [`Store::import`](cloakroom_store::Store::import).
#[derive(Debug)]
pub(crate) struct Import {
    call: &'static str,
    values: Vec<Value>,
}

impl Import {
    pub(crate) fn new(filed: &Filed) -> Result<Self, Problem> {
        let digest = digest_bytes(filed.digest);
        Ok(match &filed.entry {
            Entry::Live(live) => {
                let filing = Filing::new(&live.record, filed.digest)?;
                let version = i64::try_from(live.version.as_u64())
                    .map_err(|_| Problem::Misuse("a version beyond all that can be counted to"))?;
                let values = vec![
                    digest,
                    id_bytes(filing.id),
                    name_bytes(filing.principal.as_ref()),
                    Value::Int(version),
                    at(filing.created_at),
                    at(live.last_seen_at),
                    filing.idle_timeout(),
                    filing.absolute_expires_at(),
                    filing.retention(),
                    at(filing.expires_at(live.last_seen_at)),
                    filing.ip(),
                    Value::NULL,
                    Value::NULL,
                    filing.body(),
                    filing.principal.as_ref().map_or(Value::NULL, stripe),
                ];
                Self { call: SESSION, values }
            }
            Entry::Ended { tombstone, created_at, kept_until } => {
                Self { call: SESSION, values: remains(digest, tombstone, *created_at, *kept_until) }
            }
            Entry::Retired { retired, kept_until } => {
                let values = vec![digest, id_bytes(retired.session), at(retired.rotated_at), at(*kept_until)];
                Self { call: TOKEN, values }
            }
        })
    }
}

impl Work for Import {
    type Answer = Imported;
    const VERB: Verb = Verb::Import;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Imported, Problem> {
        let report = Report::of(link.ask(self.call, self.values.clone()).await?)?;
        match report.word.as_slice() {
            b"done" => Ok(Imported::Done),
            b"taken" => Ok(Imported::AlreadyExists),
            _ => Err(Problem::Answer("a word that is known")),
        }
    }
}

/// The values of an ended session, which has no limits any more: its end stands for them.
fn remains(digest: Value, tombstone: &Tombstone, created_at: Timestamp, kept_until: Timestamp) -> Vec<Value> {
    let Tombstone { session, principal, ended_at, reason } = tombstone;
    vec![
        digest,
        id_bytes(*session),
        name_bytes(principal.as_ref()),
        Value::Int(1),
        at(created_at),
        at(*ended_at),
        Value::Int(0),
        at(*ended_at),
        millis(kept_until.since(*ended_at)),
        at(kept_until),
        Value::NULL,
        at(*ended_at),
        word(reason.as_str()),
        Value::NULL,
        principal.as_ref().map_or(Value::NULL, stripe),
    ]
}

/// A place in an export.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Sessions { after: u64 },
    Tokens { after: Vec<u8> },
}

impl Place {
    fn parse(cursor: &ExportCursor) -> Result<Self, MalformedCursor> {
        match cursor.as_str().split_once('.') {
            Some(("session", after)) => {
                Ok(Self::Sessions { after: after.parse().map_err(|_| MalformedCursor)? })
            }
            Some(("retired", after)) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let byte = |pair: &[u8]| match pair {
                    [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
                    _ => None,
                };
                let bytes: Option<Vec<u8>> = after.as_bytes().chunks(2).map(byte).collect();
                Ok(Self::Tokens { after: bytes.ok_or(MalformedCursor)? })
            }
            _ => Err(MalformedCursor),
        }
    }

    fn cursor(&self) -> ExportCursor {
        let text = match self {
            Self::Sessions { after } => format!("session.{after}"),
            Self::Tokens { after } => {
                let digits: String = after.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("retired.{digits}")
            }
        };
        ExportCursor::new(text).expect("a word and a number or a digest are short and visible")
    }
}

/// Where entries are put.
trait Put {
    /// Puts an entry onto the page. One damaged record is left out, and said to be.
    fn put(&mut self, filed: Result<Filed, Problem>) -> Result<(), Problem>;
}

impl Put for ExportPage {
    fn put(&mut self, filed: Result<Filed, Problem>) -> Result<(), Problem> {
        match filed {
            Ok(filed) => self.items.push(filed),
            Err(problem) if problem.kind() == ErrorKind::Corrupt => self.damaged += 1,
            Err(problem) => return Err(problem),
        }
        Ok(())
    }
}

fn session(columns: &mut Columns, now: Timestamp) -> Result<Filed, Problem> {
    let digest = digest(&columns.bytes("digest")?)?;
    let due_at = columns.instant("due_at")?;
    let head = Head::read(columns)?;
    let entry = match head.over(now) {
        None => Entry::Live(head.live(columns)?),
        Some(tombstone) => {
            let kept_until = match head.is_buried() {
                true => due_at,
                false => tombstone.ended_at.plus(head.lifetime.tombstone_retention),
            };
            Entry::Ended { tombstone, created_at: head.created_at, kept_until }
        }
    };
    Ok(Filed { digest, entry })
}

fn token(bytes: &[u8], columns: &mut Columns) -> Result<Filed, Problem> {
    let digest = digest(bytes)?;
    let retired = Retired { session: columns.session_id()?, rotated_at: columns.instant("rotated_at")? };
    Ok(Filed { digest, entry: Entry::Retired { retired, kept_until: columns.instant("keep_until")? } })
}

fn digest(bytes: &[u8]) -> Result<TokenDigest, Problem> {
    TokenDigest::from_bytes(bytes).ok_or(Problem::Column("digest"))
}

fn limit(room: usize) -> Value {
    Value::Int(i64::try_from(room).unwrap_or(i64::MAX))
}

const SESSIONS: &str = concat!(
    "SELECT session.number, session.digest, session.due_at, ",
    session_columns!(),
    " FROM session",
    first_epoch!(),
    " WHERE session.number > ? ORDER BY session.number LIMIT ?"
);
const TOKENS: &str =
    "SELECT digest, id, rotated_at, keep_until FROM retired WHERE digest > ? ORDER BY digest LIMIT ?";
const SESSION: &str = "CALL session_import(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const TOKEN: &str = "CALL retired_import(?, ?, ?, ?)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_another_stores_does_not() {
        for place in [
            Place::Sessions { after: 0 },
            Place::Sessions { after: u64::MAX },
            Place::Tokens { after: Vec::new() },
            Place::Tokens { after: vec![0, 0xAB, 0xFF] },
        ] {
            assert_eq!(Place::parse(&place.cursor()), Ok(place));
        }
        for text in ["session", "session.x", "retired.a", "retired.zz", "other.1", "0"] {
            assert_eq!(Place::parse(&ExportCursor::new(text).unwrap()), Err(MalformedCursor), "{text}");
        }
    }
}
