//! Where a session lives, and how it changes its home.
//!
//! A session's home is the old store as long as its digest is live there. It leaves by a compare-and-swap: the old store
//! exchanges its digest for a **sealed** one, which no token has. From that instant no node can read or change it there,
//! not even one that knows only the old store; what is left under the sealed digest is fixed. Whoever sees a sealed session
//! that has not arrived yet brings it home to the new store; it arrives once.

use std::sync::Arc;

use cloakroom_core::{AttributeKey, EndReason, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone};
use cloakroom_store::{
    EndRequest, Entry, ErrorKind, Filed, Imported, ListFilter, ListItem, ListQuery, Live, Lookup,
    RekeyRequest, Rekeyed, Selector, StateFilter, StoreError, Verb, Version,
};

use super::MovingStore;

/// Where a token leads.
#[derive(Debug)]
pub(super) enum Home {
    /// To the new store, which answers this.
    New(Lookup),
    /// To a live session in the old store.
    Old(Live),
}

impl MovingStore {
    /// Where `digest` leads. A session that has left the old store and not arrived is brought home.
    pub(super) async fn look(&self, digest: TokenDigest, now: Timestamp) -> Result<Home, StoreError> {
        let sealed = sealed(digest);
        let (in_new, in_old, left) =
            tokio::join!(self.new.get(digest, now), self.old.get(digest, now), self.old.get(sealed, now));
        match in_new? {
            Lookup::Live(live) => {
                // An end may have come between its leaving and its arrival: then it is written there alone.
                match unless_damaged(left)? {
                    Lookup::Ended(tombstone) if objects(&tombstone) => {
                        self.end_in_new(&tombstone, now).await?;
                        Ok(Home::New(Lookup::Ended(tombstone)))
                    }
                    _ => Ok(Home::New(Lookup::Live(live))),
                }
            }
            known @ (Lookup::Ended(_) | Lookup::Retired(_)) => Ok(Home::New(known)),
            Lookup::Unknown => match in_old? {
                Lookup::Live(live) => Ok(Home::Old(live)),
                ended @ Lookup::Ended(_) => Ok(Home::New(ended)),
                // It may have left since the first question.
                gone @ (Lookup::Retired(_) | Lookup::Unknown) => {
                    self.follow(digest, gone, now).await.map(Home::New)
                }
            },
        }
    }

    /// What became of a session that is no longer in the old store under its own digest; `gone` where it did not leave
    /// for the new one.
    async fn follow(&self, digest: TokenDigest, gone: Lookup, now: Timestamp) -> Result<Lookup, StoreError> {
        match unless_damaged(self.old.get(sealed(digest), now).await)? {
            Lookup::Live(left) if seal_of(&left, sealed(digest)) == Some(digest) => {
                self.arrive(digest, left, now).await
            }
            Lookup::Live(_) => Ok(gone),
            Lookup::Ended(tombstone) if objects(&tombstone) => Ok(Lookup::Ended(tombstone)),
            Lookup::Ended(tombstone) => match self.new.get(digest, now).await? {
                Lookup::Unknown if tombstone.reason == MOVED => Ok(gone),
                Lookup::Unknown => Ok(Lookup::Ended(tombstone)),
                known => Ok(known),
            },
            Lookup::Retired(_) | Lookup::Unknown => Ok(gone),
        }
    }

    /// Moves a session that lives in the old store; what it is in the new one then.
    ///
    /// Whoever else changes it there meanwhile was in time, or is too late: nobody's change is lost.
    pub(super) async fn bring(
        &self,
        digest: TokenDigest,
        mut live: Live,
        now: Timestamp,
    ) -> Result<Lookup, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let mut record = SessionRecord::clone(&live.record);
            record.attributes.insert_bytes(seal_key(), digest.to_bytes().into());
            let request = RekeyRequest {
                old: digest,
                new: sealed(digest),
                version: live.version,
                record: &record,
                // Moving is no activity: nobody's silence begins anew by it.
                now: live.last_seen_at.min(now),
            };
            match self.old.rekey(request).await? {
                Rekeyed::Done(_) | Rekeyed::AlreadyExists => {
                    return self.follow(digest, Lookup::Unknown, now).await;
                }
                Rekeyed::Retired(retired) => {
                    return self.follow(digest, Lookup::Retired(retired), now).await;
                }
                Rekeyed::Conflict(theirs) => live = theirs,
                Rekeyed::Ended(tombstone) => return Ok(Lookup::Ended(tombstone)),
                // Somebody who moved it may have left a marker that was swept since: silence counted from before.
                Rekeyed::Unknown => return self.follow(digest, Lookup::Unknown, now).await,
            }
        }
        let error = StoreError::new(ErrorKind::Unavailable, self.old.name(), Verb::Rekey);
        Err(error.caused_by("the session kept changing while it was to be moved"))
    }

    /// Files what has left the old store in the new one. Any number of nodes may do so at once.
    pub(super) async fn arrive(
        &self,
        digest: TokenDigest,
        left: Live,
        now: Timestamp,
    ) -> Result<Lookup, StoreError> {
        self.try_arrive(digest, left, now).await?.ok_or_else(|| {
            let error = StoreError::new(ErrorKind::Unavailable, self.new.name(), Verb::Import);
            error.caused_by(
                "the new store keeps this session out: it is still arriving there, or left it once",
            )
        })
    }

    /// The same; `None` where the new store keeps it out. Then it stays where it is.
    pub(super) async fn try_arrive(
        &self,
        digest: TokenDigest,
        left: Live,
        now: Timestamp,
    ) -> Result<Option<Lookup>, StoreError> {
        let session = left.record.id;
        // Sealing counted the version up without changing a thing: whoever read the session before still reads the same.
        let version = Version::from_u64(left.version.as_u64().saturating_sub(1));
        let live =
            Live { record: Arc::new(unsealed(&left.record)), version, last_seen_at: left.last_seen_at };
        let filed = Filed { digest, entry: Entry::Live(live) };
        if self.new.import(&filed, now).await? == Imported::AlreadyExists
            && !self.has_arrived(digest, session, now).await?
        {
            return Ok(None);
        }
        // What is left in the old store ends, so that it is not counted, listed or reported there any more. That it ends
        // by this call shows that no decision had ended it before.
        let selector = Selector::One(session);
        let request = EndRequest { selector: &selector, reason: MOVED, now };
        let ending = self.old.end(request).await?;
        if !ending.ended.iter().any(|ended| ended.session == session && ended.reason == MOVED)
            && let Lookup::Ended(tombstone) = unless_damaged(self.old.get(sealed(digest), now).await)?
            && objects(&tombstone)
        {
            self.end_in_new(&tombstone, now).await?;
        }
        self.new.get(digest, now).await.map(Some)
    }

    /// Whether the new store has this session, or had it since it left: under this digest, or under one that its token was
    /// exchanged for.
    async fn has_arrived(
        &self,
        digest: TokenDigest,
        session: SessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match unless_damaged(self.new.get(digest, now).await)? {
            Lookup::Live(live) => Ok(live.record.id == session),
            Lookup::Ended(tombstone) => Ok(tombstone.session == session && tombstone.reason != MOVED),
            Lookup::Retired(retired) if !self.new.capabilities().listing => Ok(retired.session == session),
            Lookup::Retired(retired) => Ok(retired.session == session && !self.was_left(session, now).await?),
            Lookup::Unknown => Ok(!self.was_left(session, now).await?),
        }
    }

    /// Whether the new store lacks a session, or knows it as one that left it in an earlier move. One that cannot say so
    /// lacks it: what is sealed may be the only copy, and stays.
    async fn was_left(&self, session: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        if !self.new.capabilities().listing {
            return Ok(true);
        }
        let mut filter = ListFilter::default();
        filter.session = Some(session);
        filter.state = StateFilter::Any;
        let found = self.new.list(&ListQuery::new(filter), now).await?.items.pop();
        Ok(match found {
            Some(ListItem::Live(_)) => false,
            Some(ListItem::Ended { tombstone, .. }) => tombstone.reason == MOVED,
            None => true,
        })
    }

    /// Ends in the new store what a decision has ended in the old one.
    pub(super) async fn end_in_new(&self, tombstone: &Tombstone, now: Timestamp) -> Result<(), StoreError> {
        let selector = Selector::One(tombstone.session);
        let request = EndRequest { selector: &selector, reason: tombstone.reason, now };
        self.new.end(request).await.map(drop)
    }
}

/// The digest under which a session leaves the old store: every bit but those of the route the other way round. No token
/// has it, as finding one would be a pre-image; and it is its own way back.
pub(super) fn sealed(digest: TokenDigest) -> TokenDigest {
    let mut bytes = digest.to_bytes();
    let route = TokenDigest::LENGTH - digest.hash().len();
    for byte in bytes.iter_mut().skip(route) {
        *byte = !*byte;
    }
    TokenDigest::from_bytes(&bytes).expect("it has the length of a digest")
}

/// The digest that a sealed session had, written into its record: a session that was left half-way is known for what it is
/// however late somebody comes upon it.
///
/// # Security
/// Attributes are the application's, and it may let clients write them: a seal counts only where it fits the digest that
/// the session is filed under. One that somebody wrote leads to a digest that no token has.
pub(super) fn seal_of(live: &Live, filed_under: TokenDigest) -> Option<TokenDigest> {
    let digest = live.record.attributes.bytes(SEAL).and_then(TokenDigest::from_bytes)?;
    (sealed(digest) == filed_under).then_some(digest)
}

/// A record as the application knows it.
pub(super) fn unsealed(record: &SessionRecord) -> SessionRecord {
    let mut record = record.clone();
    record.attributes.remove_key(SEAL);
    record
}

fn seal_key() -> AttributeKey {
    AttributeKey::new(SEAL).expect("it is a key")
}

/// Whether a tombstone in the old store ends a session wherever it is: by decision, not by the time that it was silent
/// there, nor because it has moved.
pub(super) fn objects(tombstone: &Tombstone) -> bool {
    !tombstone.reason.is_expiry() && tombstone.reason != MOVED
}

/// A record that cannot be read in the old store says nothing against one that can be in the new.
fn unless_damaged(answer: Result<Lookup, StoreError>) -> Result<Lookup, StoreError> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Lookup::Unknown),
        answer => answer,
    }
}

/// Under which key a sealed session's record says what its digest was.
const SEAL: &str = "cloakroom.sealed";
/// Why what is left of a moved session ends in the old store. A reason that only stores give, never a decision: so the two
/// are told apart.
pub(super) const MOVED: EndReason = EndReason::StoreFull;
/// Each attempt fails only because somebody else's change took effect.
const MAX_ATTEMPTS: usize = 64;

#[cfg(test)]
mod tests {
    use cloakroom_core::{Route, SessionToken};

    use super::*;

    #[test]
    fn a_sealed_digest_keeps_its_route_and_leads_back() {
        let digest = SessionToken::from_random(Route::from_bytes([1, 2]), [7; 32]).digest();
        assert_ne!(sealed(digest), digest);
        assert_eq!(sealed(digest).route(), digest.route());
        assert_eq!(sealed(sealed(digest)), digest);
    }
}
