//! Rows to and from sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, PrincipalId, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone, Verdict,
    judge,
};
use cloakroom_store::{Live, Retired, Version, decode_record, encode_record};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::epoch::Epochs;
use crate::error::Problem;

/// The columns that [`Head::read`] reads, in its order.
macro_rules! head {
    () => {
        "session.rowid, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, \
         version, generation, ended_at, end_reason"
    };
}
pub(crate) use head;

/// All of a row but its body: what decides whether a session lives.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) rowid: i64,
    pub(crate) id: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) lifetime: Lifetime,
    pub(crate) version: Version,
    generation: i64,
    ended: Option<(Timestamp, EndReason)>,
}

impl Head {
    /// The column after those of [`head!`], for what a statement selects besides.
    pub(crate) const COLUMNS: usize = 12;

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, Problem> {
        let principal = match row.get_ref(2)? {
            ValueRef::Null => None,
            text => Some(text.as_str().ok().and_then(|text| PrincipalId::new(text).ok()))
                .map(|principal| principal.ok_or(Problem::Column("principal")))
                .transpose()?,
        };
        let lifetime = Lifetime::new(duration(row, 5)?, instant(row, 6)?, duration(row, 7)?);
        let ended = match row.get_ref(10)? {
            ValueRef::Null => None,
            _ => Some((instant(row, 10)?, reason(row, 11)?)),
        };
        Ok(Self {
            rowid: row.get(0)?,
            id: session_id(row, 1)?,
            principal,
            created_at: instant(row, 3)?,
            last_seen_at: instant(row, 4)?,
            lifetime,
            version: Version::from_u64(
                u64::try_from(row.get::<_, i64>(8)?).map_err(|_| Problem::Column("version"))?,
            ),
            generation: row.get(9)?,
            ended,
        })
    }

    /// What is left of the session, if it is over by `now`: ended, by an epoch, or by time.
    pub(crate) fn over(&self, epochs: &Epochs, now: Timestamp) -> Option<Tombstone> {
        let (at, reason) = match (self.ended, epochs.first_to_end(self.created_at, self.generation)) {
            (Some(ended), _) => ended,
            // Time may have ended it before the epoch did.
            (None, Some(epoch)) => self.expired(epoch.ended_at).unwrap_or((epoch.ended_at, epoch.reason)),
            (None, None) => self.expired(now)?,
        };
        Some(self.tombstone(at, reason))
    }

    /// What is left of a session that a decision ends now: time may have ended it before. `None` where it has ended
    /// already, by whatever a clock has no part in.
    pub(crate) fn ended_by(&self, epochs: &Epochs, reason: EndReason, now: Timestamp) -> Option<Tombstone> {
        if self.ended.is_some() || epochs.first_to_end(self.created_at, self.generation).is_some() {
            return None;
        }
        let (at, reason) = self.expired(now).unwrap_or((now, reason));
        Some(self.tombstone(at, reason))
    }

    /// Whether its end is written down.
    pub(crate) fn is_buried(&self) -> bool {
        self.ended.is_some()
    }

    pub(crate) fn tombstone(&self, ended_at: Timestamp, reason: EndReason) -> Tombstone {
        Tombstone { session: self.id, principal: self.principal.clone(), ended_at, reason }
    }

    /// The instant at which time ends it if nothing more is heard.
    pub(crate) fn expires_at(&self) -> Timestamp {
        expires_at(&self.lifetime, self.last_seen_at)
    }

    /// The live session with the record in this column.
    pub(crate) fn live(&self, row: &Row<'_>, body: usize) -> Result<Live, Problem> {
        let bytes = row.get_ref(body)?.as_blob().map_err(|_| Problem::Column("body"))?;
        let record = Arc::new(decode_record(bytes)?);
        Ok(Live { record, version: self.version, last_seen_at: self.last_seen_at })
    }

    fn expired(&self, now: Timestamp) -> Option<(Timestamp, EndReason)> {
        let record = SessionRecord::new(self.id, self.created_at, self.lifetime);
        match judge(&record, self.last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some((at, reason)),
        }
    }
}

/// A record as columns, ready for another thread.
#[derive(Debug)]
pub(crate) struct Filing {
    pub(crate) digest: [u8; TokenDigest::LENGTH],
    pub(crate) id: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    pub(crate) lifetime: Lifetime,
    pub(crate) ip: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Filing {
    pub(crate) fn new(record: &SessionRecord, digest: TokenDigest) -> Result<Self, Problem> {
        let mut body = Vec::with_capacity(TYPICAL_BODY_BYTES);
        encode_record(record, &mut body)?;
        Ok(Self {
            digest: digest.to_bytes(),
            id: record.id,
            principal: record.principal.as_ref().map(|principal| principal.id().clone()),
            created_at: record.created_at,
            lifetime: record.lifetime,
            ip: record.device.as_ref().and_then(|device| device.ip()).map(ip_text),
            body,
        })
    }

    pub(crate) fn idle_timeout(&self) -> i64 {
        millis(self.lifetime.idle_timeout)
    }

    pub(crate) fn retention(&self) -> i64 {
        millis(self.lifetime.tombstone_retention)
    }

    pub(crate) fn expires_at(&self, last_seen_at: Timestamp) -> Timestamp {
        expires_at(&self.lifetime, last_seen_at)
    }
}

/// A retired token: its session in column 0, the instant in column 1.
pub(crate) fn retired(row: &Row<'_>) -> Result<Retired, Problem> {
    Ok(Retired { session: session_id(row, 0)?, rotated_at: instant(row, 1)? })
}

pub(crate) fn session_id(row: &Row<'_>, column: usize) -> Result<SessionId, Problem> {
    let bytes = row.get_ref(column)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(SessionId::from_bytes).ok_or(Problem::Column("id"))
}

pub(crate) fn instant(row: &Row<'_>, column: usize) -> Result<Timestamp, Problem> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

pub(crate) fn reason(row: &Row<'_>, column: usize) -> Result<EndReason, Problem> {
    let text = row.get_ref(column)?.as_str().map_err(|_| Problem::Column("end_reason"))?;
    text.parse().map_err(|_| Problem::Column("end_reason"))
}

/// An address as text: the same text for the same address.
pub(crate) fn ip_text(ip: IpAddr) -> String {
    ip.to_string()
}

fn duration(row: &Row<'_>, column: usize) -> Result<Duration, Problem> {
    u64::try_from(row.get::<_, i64>(column)?)
        .map(Duration::from_millis)
        .map_err(|_| Problem::Column("duration"))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn expires_at(lifetime: &Lifetime, last_seen_at: Timestamp) -> Timestamp {
    last_seen_at.plus(lifetime.idle_timeout).min(lifetime.absolute_expires_at)
}

/// A record with a device, an authentication and a small attribute fits without growing.
const TYPICAL_BODY_BYTES: usize = 384;
