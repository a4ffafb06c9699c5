//! What was ended of sessions that nobody keeps a record of.

use std::fmt::Debug;
use std::time::Duration;

use cloakroom_core::{EndReason, PrincipalId, SessionId, Timestamp};
use serde_bytes::ByteBuf;

use crate::{CodecError, StoreFuture, Version};

/// Where ends are written down for sessions that travel in their tokens: a log that only grows, and forgets what no token
/// can need any more.
///
/// Entries have numbers that rise in the order in which they became visible: whoever has read up to a number has read all
/// there will ever be up to it. That, and nothing else, is what lets a node keep a copy and know that it is complete. A
/// number is used once, whatever was pruned since; there may be gaps.
///
/// A number is also an instant: the next one, or if that is later the microseconds since 1970 by the clock of the store. So
/// a list that had to begin anew (emptied, restored, failed over to a copy that lagged) goes on above what nodes and tokens
/// have kept of the one before. Numbers stay below 2⁵³.
///
/// `cloakroom_conformance` tests all of this.
///
/// # Errors
/// As [`Store`](crate::Store)'s, under these verbs: `add` is [`End`](crate::Verb::End), `read` and `changed` are
/// [`Watch`](crate::Verb::Watch), `prune` is [`Sweep`](crate::Verb::Sweep), `ping` [`Ping`](crate::Verb::Ping). Everything
/// but `changed` answers within the patience of the store it is kept in.
pub trait RevocationList: Debug + Send + Sync + 'static {
    /// The name of the kind of store it is kept in: `sqlite`, `redis`, ….
    fn name(&self) -> &'static str;

    /// What can be relied on.
    fn standing(&self) -> ListStanding;

    /// Adds entries, all or none, in this order; at most [`MOST_ENTRIES`] of them. No read ever sees some of them and not
    /// the others, unless its own limit cuts them.
    ///
    /// When this returns, every [`read`](Self::read) that is begun afterwards, on whichever node, finds them.
    /// Nothing is looked up first: the same end may be added twice, and the first one counts.
    ///
    /// Dropped half-way, it adds all of them, or none.
    ///
    /// # Errors
    /// [`Applied::Unknown`](crate::Applied::Unknown) where they may have been added.
    /// [`Internal`](crate::ErrorKind::Internal), and nothing added, where there are more than [`MOST_ENTRIES`].
    ///
    /// # Cost
    /// One round trip. Adds of all nodes take turns: each waits for the commit of the one before it.
    fn add<'a>(&'a self, entries: &'a [RevocationEntry]) -> StoreFuture<'a, ()>;

    /// The entries after `place`, oldest first, at most `limit` of them; [`Reading::Lost`] where `place` is not one of this
    /// list's history: it was restored from a backup, failed over to a copy that lagged, or was emptied. Also where the
    /// entry of `place` was pruned, which nobody can tell from that. [`Place::START`] is of every history.
    ///
    /// A limit of 0 counts as 1. A list may answer fewer than `limit`; never none while there is more.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) where one of the entries cannot be decoded: what it ended is not known, so
    /// it is never left out.
    ///
    /// # Cost
    /// One round trip; where there is nothing new, a small one.
    ///
    /// # Security
    /// Answers by what was acknowledged before it was asked, never by a copy that lags.
    fn read(&self, place: Place, limit: usize) -> StoreFuture<'_, Reading>;

    /// Removes entries that are over by `now` (`until <= now`) and by the clock of the list where it has one, at most `limit`
    /// of them, those first that were over first; answers how many. The newest entry stays, whatever its time: it is the
    /// [`Place`] of every node that has read everything. A limit of 0 counts as 1. A list may remove fewer than `limit`;
    /// never none while there are any that nobody else is removing.
    ///
    /// # Security
    /// What is removed ends nothing any more. One node whose clock is ahead for a moment must not be able to do that to
    /// everybody: so a list on a server goes by the server's clock too.
    ///
    /// # Cost
    /// One round trip.
    fn prune(&self, now: Timestamp, limit: usize) -> StoreFuture<'_, usize>;

    /// Resolves when something may have been added since this was called (not: since it was first polled), through
    /// whichever handle: a hint, to read before the next turn. Whoever calls this, then reads everything, then waits,
    /// overlooks nothing.
    ///
    /// A hint may come late, and now and then for nothing. It comes at all where [`ListStanding::tells`]; elsewhere this
    /// never resolves. Also there a lost hint (a broken connection) costs time and nothing else: what counts is what a
    /// read answers.
    ///
    /// # Cost
    /// Nothing for each call: who waits on one handle shares what tells them.
    fn changed(&self) -> StoreFuture<'_, ()>;

    /// Whether it can be written to; the store's own clock's reading, where it has one. Adds nothing.
    fn ping(&self) -> StoreFuture<'_, Option<Timestamp>>;
}

/// Most entries in one [`add`](RevocationList::add), and most that a [`read`](RevocationList::read) answers or a
/// [`prune`](RevocationList::prune) removes at once: a megabyte or so, and a fraction of every store's patience.
pub const MOST_ENTRIES: usize = 4_096;

/// What can be relied on of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts")]
pub struct ListStanding {
    /// What was acknowledged is there after a restart.
    pub durable: bool,
    /// Other processes may use it at the same time.
    pub shared: bool,
    /// [`changed`](RevocationList::changed) resolves soon after an add through any handle, while all is well. Where not,
    /// a node learns of others' ends when it reads in turn.
    pub tells: bool,
}

/// An end that is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationEntry {
    /// Which sessions.
    pub scope: Scope,
    /// When it was decided.
    pub at: Timestamp,
    /// Until when a token might be presented that it covers; then it may be forgotten.
    pub until: Timestamp,
    /// Why.
    pub reason: EndReason,
    /// Random, and drawn anew for each call of [`add`](RevocationList::add), also where the same end is added once more
    /// (because the first answer was in doubt, or because the list has lost it): tells this entry from any other that may
    /// once have had its number. An old nonce at its old number would vouch for a history in which what comes before it
    /// is another.
    pub nonce: u64,
}

impl RevocationEntry {
    /// The entry with which an empty list begins: whatever was issued before `at` is over, for as long as any token could live.
    ///
    /// Nobody can tell a new list from one that has forgotten everything, since the newest entry always stays. So whoever finds
    /// one without a single entry adds this first: a node that is to believe it, a command before an end of its own. In a new
    /// installation there is nothing to end.
    #[must_use]
    pub fn of_the_beginning(at: Timestamp, longest_life: Duration, nonce: u64) -> Self {
        let (scope, reason) = (Scope::IssuedBefore(at), EndReason::RevokedByService);
        Self { scope, at, until: at.plus(longest_life), reason, nonce }
    }
}

/// Which sessions an entry is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Scope {
    /// One session, whatever its token.
    Session(SessionId),
    /// One token of a session, and whatever was sealed around the same core: it was exchanged for another.
    Token {
        /// Which session goes on under another token.
        session: SessionId,
        /// The first sixteen bytes of the hash in the digest of what stands for the token's core
        /// ([`TokenCore::token`](cloakroom_core::TokenCore::token)).
        core: [u8; 16],
    },
    /// Tokens of a session that hold a version before this one: its state then counts for nothing any more.
    Floor {
        /// Which session.
        session: SessionId,
        /// The oldest version that is accepted.
        version: Version,
    },
    /// All sessions of a principal that did not know of this entry when they were issued.
    Principal {
        /// Whose.
        principal: PrincipalId,
        /// Which one lives on.
        except: Option<SessionId>,
    },
    /// All sessions issued before an instant, by the clock of the node that issued them.
    IssuedBefore(Timestamp),
    /// All sessions that did not know of this entry when they were issued.
    All,
}

impl Scope {
    /// What kind of scope it is, in one word: for tables that people read, and for labels.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Token { .. } => "token",
            Self::Floor { .. } => "floor",
            Self::Principal { .. } => "principal",
            Self::IssuedBefore(_) => "issued_before",
            Self::All => "all",
        }
    }

    /// Whom or what it is about, for people: the id of a session, of a principal, or an instant; nothing for all. Says
    /// less than the scope.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Session(session) | Self::Token { session, .. } | Self::Floor { session, .. } => {
                Some(session.to_string())
            }
            Self::Principal { principal, .. } => Some(principal.as_str().to_owned()),
            Self::IssuedBefore(instant) => Some(instant.to_string()),
            Self::All => None,
        }
    }
}

/// How far somebody has read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// The number of the last entry that was read; zero for none.
    pub number: u64,
    /// Its nonce.
    pub nonce: u64,
}

impl Place {
    /// Before the first entry.
    pub const START: Self = Self { number: 0, nonce: 0 };
}

/// The answer to [`RevocationList::read`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// What follows the place that was asked from.
    Entries {
        /// Entries with their numbers, ascending.
        entries: Vec<(u64, RevocationEntry)>,
        /// Whether there is more to be read at once.
        more: bool,
    },
    /// The place is none of this list's. Begin at [`Place::START`], and keep what is known.
    Lost,
}

/// Appends the bytes of `entry`, its nonce and its `until` included, to `buffer`: a format version, then MessagePack.
///
/// # Later versions
/// Nodes of this version read what later ones write while a cluster is upgraded, or taken back, and none of them may close for it. A
/// later reason is read as [`RevokedByService`](EndReason::RevokedByService). A later kind of scope has a number that tells how it is to
/// be taken by whoever does not know it, rather too wide than too narrow:
///
/// | numbers | `subject` | is taken as |
/// |---|---|---|
/// | 16 to 31 | begins with a session's id | [`Scope::Session`] |
/// | 32 to 47 | ends with a principal's id, which is all of it but the first `number` bytes | [`Scope::Principal`], with no exception |
/// | 48 to 63 | anything | [`Scope::All`] |
///
/// Whatever else is new needs another format version, and is written when every node has been upgraded.
///
/// # Errors
/// [`CodecError::Encode`] never happens; it is no panic because the encoder says it may fail.
pub fn encode_entry(entry: &RevocationEntry, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    buffer.push(ENTRY_FORMAT);
    let (kind, subject, number): (u8, Vec<u8>, u64) = match &entry.scope {
        Scope::Session(session) => (1, session.as_bytes().to_vec(), 0),
        Scope::Token { session, core } => (2, [&session.as_bytes()[..], core].concat(), 0),
        Scope::Floor { session, version } => (3, session.as_bytes().to_vec(), version.as_u64()),
        Scope::Principal { principal, except } => {
            let mut subject = except.map_or_else(Vec::new, |except| except.as_bytes().to_vec());
            let length = u64::try_from(subject.len()).unwrap_or(0);
            subject.extend_from_slice(principal.as_str().as_bytes());
            (4, subject, length)
        }
        Scope::IssuedBefore(instant) => (5, instant.as_millis().to_be_bytes().to_vec(), 0),
        Scope::All => (6, Vec::new(), 0),
    };
    let times = (entry.at.as_millis(), entry.until.as_millis());
    let wire = (kind, ByteBuf::from(subject), number, times, entry.reason.as_str(), entry.nonce);
    rmp_serde::encode::write(buffer, &wire).map_err(CodecError::Encode)
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`CodecError`] where the bytes are no entry. Whoever keeps a copy of the list cannot know then what was ended.
pub fn decode_entry(bytes: &[u8]) -> Result<RevocationEntry, CodecError> {
    type Wire<'a> = (u8, ByteBuf, u64, (i64, i64), &'a str, u64);
    let body = match bytes.split_first() {
        Some((&ENTRY_FORMAT, body)) => body,
        Some((&version, _)) => return Err(CodecError::Version(version)),
        None => return Err(CodecError::Empty),
    };
    let (kind, subject, number, (at, until), reason, nonce): Wire<'_> =
        rmp_serde::from_slice(body).map_err(CodecError::Decode)?;
    Ok(RevocationEntry {
        scope: scope(kind, &subject, number)?,
        at: Timestamp::from_millis(at),
        until: Timestamp::from_millis(until),
        reason: reason.parse().unwrap_or(EndReason::RevokedByService),
        nonce,
    })
}

fn scope(kind: u8, subject: &[u8], number: u64) -> Result<Scope, CodecError> {
    let principal = |bytes: &[u8]| {
        let name = std::str::from_utf8(bytes).map_err(|_| CodecError::Value("principal"))?;
        PrincipalId::new(name).map_err(|_| CodecError::Value("principal"))
    };
    let parted = || {
        let length = usize::try_from(number).map_err(|_| CodecError::Value("principal"))?;
        subject.split_at_checked(length).ok_or(CodecError::Value("principal"))
    };
    let session =
        |bytes: &[u8]| bytes.try_into().map(SessionId::from_bytes).map_err(|_| CodecError::Value("session"));
    Ok(match kind {
        1 => Scope::Session(session(subject)?),
        2 => {
            let (id, core) = subject.split_last_chunk::<16>().ok_or(CodecError::Value("token"))?;
            Scope::Token { session: session(id)?, core: *core }
        }
        3 => Scope::Floor { session: session(subject)?, version: Version::from_u64(number) },
        4 => {
            let (except, name) = parted()?;
            let principal = principal(name)?;
            let except = if except.is_empty() { None } else { Some(session(except)?) };
            Scope::Principal { principal, except }
        }
        5 => {
            let millis = subject.try_into().map_err(|_| CodecError::Value("instant"))?;
            Scope::IssuedBefore(Timestamp::from_millis(i64::from_be_bytes(millis)))
        }
        6 => Scope::All,
        LATER_OF_A_SESSION..LATER_OF_A_PRINCIPAL => {
            let (id, _) = subject.split_at_checked(SESSION_BYTES).ok_or(CodecError::Value("session"))?;
            Scope::Session(session(id)?)
        }
        LATER_OF_A_PRINCIPAL..LATER_OF_ALL => {
            Scope::Principal { principal: principal(parted()?.1)?, except: None }
        }
        LATER_OF_ALL..UNKNOWN => Scope::All,
        _ => return Err(CodecError::Value("scope")),
    })
}

/// The first kind of scope of later versions that is taken as one of a session.
const LATER_OF_A_SESSION: u8 = 16;
/// The first that is taken as one of a principal.
const LATER_OF_A_PRINCIPAL: u8 = 32;
/// The first that is taken as one of everything.
const LATER_OF_ALL: u8 = 48;
/// From here on nobody can say what an entry ends.
const UNKNOWN: u8 = 64;
/// Bytes of a session's id.
const SESSION_BYTES: usize = 16;
/// The format that [`encode_entry`] writes.
const ENTRY_FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_reads_back() {
        let session = SessionId::from_bytes([7; 16]);
        let alice = PrincipalId::new("alice").unwrap();
        for scope in [
            Scope::Session(session),
            Scope::Token { session, core: [9; 16] },
            Scope::Floor { session, version: Version::from_u64(u64::MAX) },
            Scope::Principal { principal: alice.clone(), except: None },
            Scope::Principal { principal: alice, except: Some(session) },
            Scope::IssuedBefore(Timestamp::from_millis(-1)),
            Scope::All,
        ] {
            let (at, until) = (Timestamp::from_millis(1), Timestamp::from_millis(i64::MAX));
            let entry = RevocationEntry { scope, at, until, reason: EndReason::Compromised, nonce: u64::MAX };
            let mut bytes = Vec::new();
            encode_entry(&entry, &mut bytes).unwrap();
            assert_eq!(decode_entry(&bytes).unwrap(), entry);
            for length in 0..bytes.len() {
                assert!(decode_entry(&bytes[..length]).is_err(), "{length} of {bytes:?}");
            }
        }
    }

    /// An entry as a later version may write it.
    fn later(kind: u8, subject: &[u8], number: u64, reason: &str) -> Vec<u8> {
        let mut bytes = vec![ENTRY_FORMAT];
        let wire = (kind, ByteBuf::from(subject.to_vec()), number, (1_i64, 2_i64), reason, 7_u64);
        rmp_serde::encode::write(&mut bytes, &wire).unwrap();
        bytes
    }

    #[test]
    fn what_a_later_version_ends_is_ended_by_this_one_too_rather_too_much_than_too_little() {
        let session = SessionId::from_bytes([7; 16]);
        let alice = Scope::Principal { principal: PrincipalId::new("alice").unwrap(), except: None };
        let of_a_session = [&[7; 16][..], b"and more"].concat();
        for (kind, subject, number, scope) in [
            (1, &[7; 16][..], 0, Scope::Session(session)),
            (16, &of_a_session, 3, Scope::Session(session)),
            (31, &of_a_session[..16], 0, Scope::Session(session)),
            (32, b"alice", 0, alice.clone()),
            (47, b"since 2031 alice", 11, alice),
            (48, b"", 0, Scope::All),
            (63, b"whatever", 9, Scope::All),
        ] {
            let entry = decode_entry(&later(kind, subject, number, "tomorrow")).unwrap();
            assert_eq!((entry.scope, entry.reason), (scope, EndReason::RevokedByService), "{kind}");
            assert_eq!((entry.at.as_millis(), entry.until.as_millis(), entry.nonce), (1, 2, 7));
        }
        // The bytes of one of them, so that they stay what they are.
        let bytes =
            [&[1, 0x96, 16, 0xc4, 16][..], &[7; 16], &[0, 0x92, 1, 2, 0xa8], b"tomorrow", &[7]].concat();
        assert_eq!(bytes, later(16, &[7; 16], 0, "tomorrow"));
        assert_eq!(decode_entry(&bytes).unwrap().scope, Scope::Session(session));
    }

    #[test]
    fn an_entry_of_which_nobody_can_say_what_it_ends_is_refused() {
        for (kind, subject, number) in [
            (0, &[7; 16][..], 0),
            (7, &[7; 16], 0),
            (15, &[7; 16], 0),
            (16, &[7; 15], 0),
            (32, b"alice", 6),
            (32, b"", 0),
            (32, b"\xff", 0),
            (64, b"", 0),
            (255, b"", 0),
        ] {
            assert!(decode_entry(&later(kind, subject, number, "signed_out")).is_err(), "{kind} {subject:?}");
        }
        let mut format = later(6, b"", 0, "signed_out");
        format[0] = ENTRY_FORMAT + 1;
        assert!(matches!(decode_entry(&format), Err(CodecError::Version(2))));
    }
}
