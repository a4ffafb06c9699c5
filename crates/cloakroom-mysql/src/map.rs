//! Rows to and from sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, PrincipalId, Route, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone,
    Verdict, judge,
};
use cloakroom_store::{Ended, Live, Retired, Version, decode_record, encode_record};
use mysql_async::{Row, Value};

use crate::error::Problem;

/// The columns that [`Head::read`] reads, in its order, and the body after them.
macro_rules! session_columns {
    () => {
        "session.id, session.principal, session.created_at, session.last_seen_at, session.idle_timeout, \
         session.absolute_expires_at, session.retention, session.version, session.ended_at AS ended_at, \
         session.end_reason AS end_reason, epoch.ended_at AS epoch_ended_at, epoch.end_reason AS epoch_end_reason, \
         session.body"
    };
}
pub(crate) use session_columns;

/// Joins the first epoch that ends a session, if there is one.
macro_rules! first_epoch {
    () => {
        " LEFT JOIN epoch ON epoch.number = ( \
            SELECT MIN(ending.number) FROM epoch AS ending \
            WHERE session.created_at < ending.issued_before \
                OR (ending.issued_before IS NULL AND session.generation < ending.number) \
        )"
    };
}
pub(crate) use first_epoch;

/// The values of a row, from left to right.
#[derive(Debug)]
pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub(crate) fn of(row: Row) -> Self {
        Self(row.unwrap().into_iter())
    }

    fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::NULL)
    }

    /// Goes past as many.
    pub(crate) fn skip(&mut self, columns: usize) {
        for _ in 0..columns {
            self.next();
        }
    }

    pub(crate) fn integer_or_null(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        match self.next() {
            Value::NULL => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            Value::UInt(number) => i64::try_from(number).map(Some).map_err(|_| Problem::Column(name)),
            // The text protocol has no other form of a number.
            Value::Bytes(text) => {
                let text = std::str::from_utf8(&text).ok();
                text.and_then(|text| text.parse().ok()).map(Some).ok_or(Problem::Column(name))
            }
            _ => Err(Problem::Column(name)),
        }
    }

    pub(crate) fn integer(&mut self, name: &'static str) -> Result<i64, Problem> {
        self.integer_or_null(name)?.ok_or(Problem::Column(name))
    }

    pub(crate) fn bytes_or_null(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, Problem> {
        match self.next() {
            Value::NULL => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            _ => Err(Problem::Column(name)),
        }
    }

    pub(crate) fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, Problem> {
        self.bytes_or_null(name)?.ok_or(Problem::Column(name))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        String::from_utf8(self.bytes(name)?).map_err(|_| Problem::Column(name))
    }

    pub(crate) fn instant(&mut self, name: &'static str) -> Result<Timestamp, Problem> {
        self.integer(name).map(Timestamp::from_millis)
    }

    pub(crate) fn session_id(&mut self) -> Result<SessionId, Problem> {
        let bytes = self.bytes("id")?;
        bytes.as_slice().try_into().map(SessionId::from_bytes).map_err(|_| Problem::Column("id"))
    }

    fn principal(&mut self) -> Result<Option<PrincipalId>, Problem> {
        let Some(bytes) = self.bytes_or_null("principal")? else { return Ok(None) };
        let principal = std::str::from_utf8(&bytes).ok().and_then(|text| PrincipalId::new(text).ok());
        principal.map(Some).ok_or(Problem::Column("principal"))
    }

    fn duration(&mut self, name: &'static str) -> Result<Duration, Problem> {
        u64::try_from(self.integer(name)?).map(Duration::from_millis).map_err(|_| Problem::Column(name))
    }

    fn reason(&mut self) -> Result<EndReason, Problem> {
        reason(&self.bytes("end_reason")?)
    }

    /// When and why, in two columns; `None` where the first is null.
    fn end(&mut self) -> Result<Option<(Timestamp, EndReason)>, Problem> {
        let at = self.integer_or_null("ended_at")?;
        let why = self.bytes_or_null("end_reason")?;
        at.map(|at| Ok((Timestamp::from_millis(at), reason(&why.unwrap_or_default())?))).transpose()
    }

    /// What a procedure reports of a session it ended: the columns after the word that says so.
    pub(crate) fn ended(&mut self) -> Result<Ended, Problem> {
        Ok(Ended {
            session: self.session_id()?,
            principal: self.principal()?,
            at: self.instant("ended_at")?,
            reason: self.reason()?,
        })
    }

    pub(crate) fn retired(&mut self) -> Result<Retired, Problem> {
        Ok(Retired { session: self.session_id()?, rotated_at: self.instant("rotated_at")? })
    }
}

/// All of a row but its body: what decides whether a session lives.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) lifetime: Lifetime,
    pub(crate) version: Version,
    ended: Option<(Timestamp, EndReason)>,
    /// The first epoch that ends it.
    epoch: Option<(Timestamp, EndReason)>,
}

impl Head {
    /// How many columns it has.
    pub(crate) const COLUMNS: usize = 12;

    pub(crate) fn read(columns: &mut Columns) -> Result<Self, Problem> {
        Ok(Self {
            id: columns.session_id()?,
            principal: columns.principal()?,
            created_at: columns.instant("created_at")?,
            last_seen_at: columns.instant("last_seen_at")?,
            lifetime: {
                let idle_timeout = columns.duration("idle_timeout")?;
                let absolute_expires_at = columns.instant("absolute_expires_at")?;
                Lifetime::new(idle_timeout, absolute_expires_at, columns.duration("retention")?)
            },
            version: {
                let number = columns.integer("version")?;
                Version::from_u64(u64::try_from(number).map_err(|_| Problem::Column("version"))?)
            },
            ended: columns.end()?,
            epoch: columns.end()?,
        })
    }

    /// What is left of the session, if it is over by `now`: ended, by an epoch, or by time.
    pub(crate) fn over(&self, now: Timestamp) -> Option<Tombstone> {
        let (ended_at, reason) = match (self.ended, self.epoch) {
            (Some(ended), _) => ended,
            // Time may have ended it before the epoch did.
            (None, Some((at, reason))) => self.expired(at).unwrap_or((at, reason)),
            (None, None) => self.expired(now)?,
        };
        Some(Tombstone { session: self.id, principal: self.principal.clone(), ended_at, reason })
    }

    /// The live session with the body in the next column.
    pub(crate) fn live(&self, columns: &mut Columns) -> Result<Live, Problem> {
        let record = Arc::new(decode_record(&columns.bytes("body")?)?);
        Ok(Live { record, version: self.version, last_seen_at: self.last_seen_at })
    }

    /// Whether its end is written down.
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

/// A record as columns, ready to be sent more than once.
#[derive(Debug)]
pub(crate) struct Filing {
    pub(crate) digest: TokenDigest,
    pub(crate) id: SessionId,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    pub(crate) lifetime: Lifetime,
    ip: Option<IpAddr>,
    body: Vec<u8>,
}

impl Filing {
    pub(crate) fn new(record: &SessionRecord, digest: TokenDigest) -> Result<Self, Problem> {
        let mut body = Vec::with_capacity(TYPICAL_BODY_BYTES);
        encode_record(record, &mut body)?;
        Ok(Self {
            digest,
            id: record.id,
            principal: record.principal.as_ref().map(|principal| principal.id().clone()),
            created_at: record.created_at,
            lifetime: record.lifetime,
            ip: record.device.as_ref().and_then(|device| device.ip()),
            body,
        })
    }

    pub(crate) fn idle_timeout(&self) -> Value {
        millis(self.lifetime.idle_timeout)
    }

    pub(crate) fn absolute_expires_at(&self) -> Value {
        at(self.lifetime.absolute_expires_at)
    }

    pub(crate) fn retention(&self) -> Value {
        millis(self.lifetime.tombstone_retention)
    }

    pub(crate) fn ip(&self) -> Value {
        self.ip.map_or(Value::NULL, ip_text)
    }

    pub(crate) fn body(&self) -> Value {
        Value::Bytes(self.body.clone())
    }

    /// The instant at which time ends it if nothing is heard after `last_seen_at`.
    pub(crate) fn expires_at(&self, last_seen_at: Timestamp) -> Timestamp {
        last_seen_at.plus(self.lifetime.idle_timeout).min(self.lifetime.absolute_expires_at)
    }
}

pub(crate) fn at(instant: Timestamp) -> Value {
    Value::Int(instant.as_millis())
}

pub(crate) fn digest_bytes(digest: TokenDigest) -> Value {
    Value::Bytes(digest.to_bytes().to_vec())
}

pub(crate) fn id_bytes(id: SessionId) -> Value {
    Value::Bytes(id.as_bytes().to_vec())
}

pub(crate) fn name_bytes(principal: Option<&PrincipalId>) -> Value {
    principal.map_or(Value::NULL, |principal| Value::Bytes(principal.as_str().as_bytes().to_vec()))
}

pub(crate) fn word(text: &'static str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

/// An address as text: the same text for the same address.
pub(crate) fn ip_text(ip: IpAddr) -> Value {
    Value::Bytes(ip.to_string().into_bytes())
}

/// The row that whoever has to see all sessions of a principal at once locks.
pub(crate) fn stripe(principal: &PrincipalId) -> Value {
    Value::Int(i64::from(Route::of_principal(principal).as_u16() % STRIPES))
}

pub(crate) fn millis(duration: Duration) -> Value {
    Value::Int(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn reason(bytes: &[u8]) -> Result<EndReason, Problem> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Problem::Column("end_reason"))
}

/// As many as the migration makes.
const STRIPES: u16 = 1024;
/// A record with a device, an authentication and a small attribute fits without growing.
const TYPICAL_BODY_BYTES: usize = 384;
