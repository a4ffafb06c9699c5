//! Rows to and from sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, PrincipalId, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict,
    judge,
};
use cloakroom_store::{Ended, Live, Retired, Version, decode_record, encode_record};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::Problem;

/// The columns that [`Found::read`] reads, in its order.
macro_rules! found {
    () => {
        $crate::map::found!("rotated_at")
    };
    // What there is for a column that only exchanged tokens have.
    ($rotated_at:literal) => {
        concat!(
            "id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, version, ended_at, ",
            "end_reason, cut_at, cut_reason, ",
            $rotated_at,
            ", body"
        )
    };
}
pub(crate) use found;

/// What is filed under a digest.
#[derive(Debug)]
pub(crate) enum Found {
    /// A session, live or over.
    Session(Box<Head>),
    /// A token that was exchanged.
    Retired(Retired),
}

impl Found {
    /// Reads the columns of [`found!`], the first of which is this one.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Self, Problem> {
        let session = session_id(row, first)?;
        match column::<Option<i64>>(row, first + 12, "rotated_at")? {
            Some(millis) => {
                Ok(Self::Retired(Retired { session, rotated_at: Timestamp::from_millis(millis) }))
            }
            None => Head::read(row, first, session).map(|head| Self::Session(Box::new(head))),
        }
    }
}

/// All of a session but its body: what decides whether it lives.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    last_seen_at: Timestamp,
    lifetime: Lifetime,
    pub(crate) version: Version,
    ended: Option<(Timestamp, EndReason)>,
    /// By the first epoch that covers it.
    cut: Option<(Timestamp, EndReason)>,
    body: usize,
}

impl Head {
    fn read(row: &Row, first: usize, id: SessionId) -> Result<Self, Problem> {
        let lifetime =
            Lifetime::new(duration(row, first + 4)?, instant(row, first + 5)?, duration(row, first + 6)?);
        let version: i64 = column(row, first + 7, "version")?;
        Ok(Self {
            id,
            principal: principal(row, first + 1)?,
            created_at: instant(row, first + 2)?,
            last_seen_at: instant(row, first + 3)?,
            lifetime,
            version: Version::from_u64(u64::try_from(version).map_err(|_| Problem::Column("version"))?),
            ended: end(row, first + 8)?,
            cut: end(row, first + 10)?,
            body: first + 13,
        })
    }

    /// What is left of the session, if it is over by `now`: ended, by an epoch, or by time.
    pub(crate) fn over(&self, now: Timestamp) -> Option<Tombstone> {
        let (ended_at, reason) = match (self.ended, self.cut) {
            (Some(ended), _) => ended,
            // Time may have ended it before the epoch did.
            (None, Some(cut)) => self.expired(cut.0).unwrap_or(cut),
            (None, None) => self.expired(now)?,
        };
        Some(Tombstone { session: self.id, principal: self.principal.clone(), ended_at, reason })
    }

    /// The live session in this row.
    pub(crate) fn live(&self, row: &Row) -> Result<Live, Problem> {
        let record = Arc::new(decode_record(column(row, self.body, "body")?)?);
        Ok(Live { record, version: self.version, last_seen_at: self.last_seen_at })
    }

    /// Until when what is left of it is kept, if it ended at `ended_at` and is not buried yet.
    pub(crate) fn kept_after(&self, ended_at: Timestamp) -> Timestamp {
        ended_at.plus(self.lifetime.tombstone_retention)
    }

    /// Whether its row is what is left of it already.
    pub(crate) fn is_buried(&self) -> bool {
        self.ended.is_some()
    }

    fn expired(&self, now: Timestamp) -> Option<(Timestamp, EndReason)> {
        let record = SessionRecord::new(self.id, self.created_at, self.lifetime);
        match judge(&record, self.last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some((at, reason)),
        }
    }
}

/// A record as columns.
#[derive(Debug)]
pub(crate) struct Filing<'a> {
    pub(crate) digest: [u8; TokenDigest::LENGTH],
    pub(crate) id: &'a [u8],
    pub(crate) principal: Option<&'a str>,
    pub(crate) created_at: i64,
    pub(crate) idle_timeout: i64,
    pub(crate) absolute_expires_at: i64,
    pub(crate) retention: i64,
    pub(crate) ip: Option<IpAddr>,
    /// For people who look at the table.
    pub(crate) device: Option<&'a str>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Filing<'a> {
    pub(crate) fn new(record: &'a SessionRecord, digest: TokenDigest) -> Result<Self, Problem> {
        let mut body = Vec::with_capacity(TYPICAL_BODY_BYTES);
        encode_record(record, &mut body)?;
        let device = record.device.as_deref();
        Ok(Self {
            digest: digest.to_bytes(),
            id: record.id.as_bytes(),
            principal: record.principal.as_ref().map(|principal| principal.id().as_str()),
            created_at: record.created_at.as_millis(),
            idle_timeout: millis(record.lifetime.idle_timeout),
            absolute_expires_at: record.lifetime.absolute_expires_at.as_millis(),
            retention: millis(record.lifetime.tombstone_retention),
            ip: device.and_then(cloakroom_core::Device::ip),
            device: device.and_then(|device| device.label().or(device.user_agent())).map(readable),
            body,
        })
    }
}

/// A session that ended: its id in this column, then principal, instant and reason.
pub(crate) fn ended(row: &Row, first: usize) -> Result<Ended, Problem> {
    let (at, reason) = end(row, first + 2)?.ok_or(Problem::Column("ended_at"))?;
    Ok(Ended { session: session_id(row, first)?, principal: principal(row, first + 1)?, at, reason })
}

pub(crate) fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    index: usize,
    name: &'static str,
) -> Result<T, Problem> {
    row.try_get(index).map_err(|_| Problem::Column(name))
}

/// A duration as a column has it.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn session_id(row: &Row, index: usize) -> Result<SessionId, Problem> {
    let bytes: &[u8] = column(row, index, "id")?;
    bytes.try_into().map(SessionId::from_bytes).map_err(|_| Problem::Column("id"))
}

pub(crate) fn instant(row: &Row, index: usize) -> Result<Timestamp, Problem> {
    column(row, index, "instant").map(Timestamp::from_millis)
}

fn principal(row: &Row, index: usize) -> Result<Option<PrincipalId>, Problem> {
    let text: Option<&str> = column(row, index, "principal")?;
    text.map(PrincipalId::new).transpose().map_err(|_| Problem::Column("principal"))
}

/// An instant and a reason, in these two columns.
fn end(row: &Row, first: usize) -> Result<Option<(Timestamp, EndReason)>, Problem> {
    let at: Option<i64> = column(row, first, "ended_at")?;
    let reason: Option<&str> = column(row, first + 1, "end_reason")?;
    match (at, reason) {
        (None, None) => Ok(None),
        (Some(at), Some(reason)) => {
            let reason = reason.parse().map_err(|_| Problem::Column("end_reason"))?;
            Ok(Some((Timestamp::from_millis(at), reason)))
        }
        _ => Err(Problem::Column("end_reason")),
    }
}

fn duration(row: &Row, index: usize) -> Result<Duration, Problem> {
    let millis: i64 = column(row, index, "duration")?;
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| Problem::Column("duration"))
}

/// As much of a text as a person reads in a column.
fn readable(text: &str) -> &str {
    let end = text.char_indices().nth(DEVICE_MAX_CHARS).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// A record with a device, an authentication and a small attribute fits without growing.
const TYPICAL_BODY_BYTES: usize = 384;
/// "Firefox on Linux" whole; of a user agent what tells it from another.
const DEVICE_MAX_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_device_is_cut_between_characters() {
        assert_eq!(readable("Firefox on Linux"), "Firefox on Linux");
        let long = "ü".repeat(200);
        assert_eq!(readable(&long).chars().count(), DEVICE_MAX_CHARS);
    }
}
