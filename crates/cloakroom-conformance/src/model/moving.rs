//! The steps that move sessions from a store to another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{TokenDigest, idle_expires_at};
use cloakroom_store::{Entry, Filed, Imported, Live, Lookup, Version};

use super::play::{Play, agree, shifted};
use super::step::Insert;
use super::world::Disagreement;
use crate::subject::Subject;

impl Play<'_> {
    /// A live session comes from another store.
    pub(super) async fn come(
        &mut self,
        store: &Subject,
        insert: &Insert,
        version: u64,
        seen: i64,
    ) -> Result<(), Disagreement> {
        let mut filing = self.filing(insert);
        // What was issued before it has ended with everything; who reports that is left open, so nothing of it comes.
        if let Some(instant) = self.world.everything_ended_at().filter(|at| filing.record.created_at <= *at) {
            filing = filing.issued_at(instant.plus(Duration::from_millis(1)));
        }
        let last_seen_at =
            shifted(filing.record.created_at, seen).min(filing.record.lifetime.absolute_expires_at);
        if idle_expires_at(&filing.record, last_seen_at) <= self.world.now {
            return Ok(());
        }
        let version = Version::from_u64(version);
        let entry = Entry::Live(Live { record: Arc::new(filing.record.clone()), version, last_seen_at });
        let filed = Filed { digest: filing.digest, entry };
        agree(&store.take_in(&filed, self.world.now).await, &[Imported::Done])?;
        self.world.add(filing.record, filing.digest);
        if let Some(session) = self.world.sessions.last_mut() {
            (session.version, session.last_seen_at) = (version, last_seen_at);
        }
        agree(&store.take_in(&filed, self.world.now).await, &[Imported::AlreadyExists])
    }

    /// Everything is told, and what is told is true.
    pub(super) async fn tell(&self, store: &Subject, limit: u16) -> Result<(), Disagreement> {
        let told = store.told(limit, self.world.now).await;
        let told: HashMap<TokenDigest, Entry> =
            told.into_iter().map(|Filed { digest, entry }| (digest, entry)).collect();
        for digest in self.world.tokens() {
            let answer = match told.get(&digest) {
                None => Lookup::Unknown,
                Some(Entry::Live(live)) => Lookup::Live(live.clone()),
                Some(Entry::Ended { tombstone, .. }) => Lookup::Ended(tombstone.clone()),
                Some(Entry::Retired { retired, .. }) => Lookup::Retired(*retired),
            };
            agree(&answer, &self.world.lookup(digest)).map_err(|why| format!("told of {digest:?}: {why}"))?;
        }
        match told.keys().find(|digest| self.world.owner(**digest).is_none()) {
            None => Ok(()),
            Some(digest) => Err(format!("told of {digest:?}, which never was")),
        }
    }
}
