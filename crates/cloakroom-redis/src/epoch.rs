//! Ends of everything, or of everything before an instant: one small key of each bucket, compared with at every look-up.

use cloakroom_core::{EndReason, Timestamp};

use crate::error::Problem;
use crate::map::Reader;

/// A bucket's time: what was begun when its first session was filed, and how often everything has ended since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Epoch {
    /// Different each time it is begun anew: an epoch that was lost takes its sessions with it.
    pub(crate) incarnation: [u8; 8],
    /// How often everything has ended.
    pub(crate) generation: u32,
    ends: Vec<End>,
}

/// One end of many sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    scope: Scope,
    pub(crate) ended_at: Timestamp,
    pub(crate) reason: EndReason,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    /// Sessions of an earlier generation than this one.
    All { generation: u32 },
    /// Sessions issued before this instant, also where they arrive late.
    IssuedBefore(Timestamp),
}

impl Epoch {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader(bytes);
        let ([b'E'], incarnation) = (reader.take()?, reader.take()?) else {
            return Err(Problem::Value("epoch"));
        };
        let generation = u32::from_be_bytes(reader.take()?);
        let _oldest: [u8; 4] = reader.take()?;
        // The latest end of everything, which only an import asks for.
        let _all_ended_at: [u8; 8] = reader.take()?;
        let [length] = reader.take()?;
        let _all_reason = reader.slice(usize::from(length))?;
        let mut ends = Vec::new();
        while !reader.0.is_empty() {
            let [scope] = reader.take()?;
            let number = u32::from_be_bytes(reader.take()?);
            let instant = reader.instant()?;
            let scope = match scope {
                b'A' => Scope::All { generation: number },
                b'B' => Scope::IssuedBefore(instant),
                _ => return Err(Problem::Value("epoch")),
            };
            ends.push(End { scope, ended_at: reader.instant()?, reason: reader.reason()? });
        }
        Ok(Self { incarnation, generation, ends })
    }

    /// The end of everything that was the first to end a session.
    pub(crate) fn first_to_end(&self, created_at: Timestamp, generation: u32) -> Option<&End> {
        self.ends.iter().find(|end| match end.scope {
            Scope::All { generation: number } => generation < number,
            Scope::IssuedBefore(instant) => created_at < instant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::instant;

    #[test]
    fn the_first_end_that_is_about_a_session_is_its_end() {
        let at = Timestamp::from_millis;
        let mut bytes = b"E\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x02\0\0\0\0".to_vec();
        bytes.extend([0; 9]);
        for (scope, number, before, ended, reason) in
            [(b'B', 0_u32, 50, 210, "compromised"), (b'A', 2, 0, 230, "revoked_by_admin")]
        {
            bytes.push(scope);
            bytes.extend(number.to_be_bytes());
            bytes.extend(instant(at(before)));
            bytes.extend(instant(at(ended)));
            bytes.push(u8::try_from(reason.len()).unwrap());
            bytes.extend(reason.bytes());
        }
        let epoch = Epoch::read(&bytes).unwrap();
        let reason = |created, generation| {
            epoch.first_to_end(at(created), generation).map(|end| (end.reason, end.ended_at))
        };
        assert_eq!(reason(49, 1), Some((EndReason::Compromised, at(210))));
        assert_eq!(reason(50, 1), Some((EndReason::RevokedByAdmin, at(230))));
        assert_eq!(reason(50, 2), None);
        assert!(Epoch::read(&bytes[..bytes.len() - 1]).is_err());
        assert!(Epoch::read(b"").is_err());
    }
}
