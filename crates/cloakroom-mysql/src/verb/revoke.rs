//! The list of ends of sessions that travel in their tokens.

use std::fmt::Write as _;

use cloakroom_core::Timestamp;
use cloakroom_store::{Place, Reading, RevocationEntry, Verb, decode_entry, encode_entry};
use mysql_async::Value;

use super::Report;
use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Columns, at};

/// [`RevocationList::add`](cloakroom_store::RevocationList::add).
#[derive(Debug)]
pub(crate) struct Revoke {
    rows: String,
    count: i64,
}

impl Revoke {
    pub(crate) fn new(entries: &[RevocationEntry]) -> Result<Self, Problem> {
        let (mut rows, mut bytes) = (String::with_capacity(entries.len() * TYPICAL_BYTES), Vec::new());
        for entry in entries {
            bytes.clear();
            encode_entry(entry, &mut bytes)?;
            rows.push_str(if rows.is_empty() { "[[" } else { ",[" });
            let (nonce, kind) = (entry.nonce.cast_signed(), entry.scope.kind());
            let _ = write!(rows, "{nonce},\"{kind}\",");
            match entry.scope.subject() {
                Some(subject) => push_hex(&mut rows, subject.as_bytes()),
                None => rows.push_str("null"),
            }
            let (decided, until) = (entry.at.as_millis(), entry.until.as_millis());
            let _ = write!(rows, ",{decided},{until},\"{}\",", entry.reason);
            push_hex(&mut rows, &bytes);
            rows.push(']');
        }
        rows.push(']');
        Ok(Self { rows, count: i64::try_from(entries.len()).unwrap_or(i64::MAX) })
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    text.push('"');
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
}

impl Work for Revoke {
    type Answer = ();
    const VERB: Verb = Verb::End;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<(), Problem> {
        let rows = Value::Bytes(self.rows.clone().into_bytes());
        let report =
            Report::of(link.ask("CALL revocation_add(?, ?)", vec![rows, Value::Int(self.count)]).await?)?;
        if report.word == b"done" { Ok(()) } else { Err(Problem::Headless) }
    }
}

/// [`RevocationList::read`](cloakroom_store::RevocationList::read).
#[derive(Debug)]
pub(crate) struct Revoked {
    pub(crate) place: Place,
    pub(crate) limit: usize,
}

impl Work for Revoked {
    type Answer = Reading;
    const VERB: Verb = Verb::Watch;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<Reading, Problem> {
        let Ok(number) = i64::try_from(self.place.number) else { return Ok(Reading::Lost) };
        let (number, nonce) = (Value::Int(number), Value::Int(self.place.nonce.cast_signed()));
        // One more, to see whether there is more.
        let most = i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1);
        let [again, once_more, other] = [number.clone(), number.clone(), nonce.clone()];
        let values = vec![number, nonce, again, other, once_more, Value::Int(most)];
        let mut rows = link.ask(READ, values).await?.rows().into_iter().map(Columns::of);
        let mut place = rows.next().ok_or(Problem::Answer("a row"))?;
        if place.integer("read_only")? != 0 {
            // Another one may lead to the primary: the name is looked up anew for each.
            link.hold();
            return Err(Problem::Replica);
        }
        if place.integer("known")? == 0 {
            return Ok(Reading::Lost);
        }
        let mut entries = Vec::new();
        for mut row in rows {
            row.skip(2);
            let number = u64::try_from(row.integer("number")?).map_err(|_| Problem::Column("number"))?;
            entries.push((number, row.bytes("entry")?));
        }
        // The parts of a union promise no order.
        entries.sort_unstable_by_key(|(number, _)| *number);
        let more = entries.len() > self.limit;
        entries.truncate(self.limit);
        let decoded = entries.into_iter().map(|(number, bytes)| Ok((number, decode_entry(&bytes)?)));
        Ok(Reading::Entries { entries: decoded.collect::<Result<_, Problem>>()?, more })
    }
}

/// [`RevocationList::prune`](cloakroom_store::RevocationList::prune).
#[derive(Debug)]
pub(crate) struct ForgetRevoked {
    pub(crate) now: Timestamp,
    pub(crate) limit: usize,
}

impl Work for ForgetRevoked {
    type Answer = usize;
    const VERB: Verb = Verb::Sweep;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<usize, Problem> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let asked = link.ask("CALL revocation_prune(?, ?)", vec![at(self.now), Value::Int(limit)]).await?;
        let mut report = Report::of(asked)?;
        usize::try_from(report.rest.integer("removed")?).map_err(|_| Problem::Column("removed"))
    }
}

/// [`RevocationList::ping`](cloakroom_store::RevocationList::ping).
#[derive(Debug)]
pub(crate) struct PingList;

impl Work for PingList {
    type Answer = Option<Timestamp>;
    const VERB: Verb = Verb::Ping;
    const EFFECT: Effect = Effect::Writes;

    async fn attempt(&self, link: &mut Link) -> Result<Option<Timestamp>, Problem> {
        let mut report = Report::of(link.ask("CALL revocation_ping()", Vec::new()).await?)?;
        report.rest.instant("now").map(Some)
    }
}

/// One statement, and so one snapshot: who answers, whether the place is there, and what follows it.
const READ: &str = "
    (
        SELECT
            @@GLOBAL.read_only AS read_only,
            ((? = 0 AND ? = 0) OR EXISTS (SELECT 1 FROM revocation WHERE number = ? AND nonce = ?)) AS known,
            CAST(NULL AS SIGNED) AS number,
            CAST(NULL AS BINARY) AS entry
    )
    UNION ALL
    (SELECT NULL, NULL, number, entry FROM revocation WHERE number > ? ORDER BY number LIMIT ?)";
const TYPICAL_BYTES: usize = 400;
