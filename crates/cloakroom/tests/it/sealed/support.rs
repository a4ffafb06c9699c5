//! Nodes that share keys and a list, each with a clock of its own; and a way to seal that is all trust and no cipher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{
    ManualClock, NearCachePolicy, Policy, SealedPolicy, SessionToken, Sessions, SessionsBuilder, Timestamp,
};
use cloakroom_store::{
    NONCE_BYTES, OpenedSeal, RevocationList, SealError, SealRefusal, SealedContents, Sealing,
};
use parking_lot::Mutex;

use crate::support::{Ears, World, policy};

pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// Seals by keeping what it was given in a drawer: a token is the number of the drawer. Shared by nodes like keys are.
#[derive(Debug, Default)]
pub(crate) struct Drawers(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    contents: HashMap<Vec<u8>, (u32, SealedContents)>,
    key: u32,
    oldest_key: u32,
    no_key: bool,
}

impl Drawers {
    /// Seals with another key from now on; the one before still opens.
    pub(crate) fn exchange_key(&self) {
        self.0.lock().key += 1;
    }

    /// Only the present key opens.
    pub(crate) fn forget_older_keys(&self) {
        let mut inside = self.0.lock();
        inside.oldest_key = inside.key;
    }

    /// There is no key that may seal, or there is again.
    pub(crate) fn lose_key(&self, lost: bool) {
        self.0.lock().no_key = lost;
    }
}

impl Sealing for Drawers {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        _: Timestamp,
    ) -> Result<SessionToken, SealError> {
        let mut inside = self.0.lock();
        if inside.no_key {
            return Err(SealError::NoKey);
        }
        let size = contents.record.attributes.size();
        if size > LARGEST {
            let (largest, largest_size) = ("the attributes".into(), size);
            return Err(SealError::TooLarge { size, limit: LARGEST, largest, largest_size });
        }
        let number = u64::try_from(inside.contents.len()).unwrap();
        let name = [&number.to_be_bytes()[..], &nonce, &[0; 32]].concat();
        let key = inside.key;
        inside.contents.insert(name.clone(), (key, contents.clone()));
        Ok(SessionToken::from_sealed(&name))
    }

    fn open(&self, token: &SessionToken, _: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        let inside = self.0.lock();
        let name = token.sealed().ok_or(SealRefusal::Malformed)?;
        let (key, contents) = inside.contents.get(&name).ok_or(SealRefusal::Forged)?;
        if *key < inside.oldest_key {
            return Err(SealRefusal::ExpiredKey);
        }
        Ok(OpenedSeal { contents: contents.clone(), is_stale: *key != inside.key })
    }
}

/// Bytes of attributes that fit.
pub(crate) const LARGEST: usize = 1_000;

/// What nodes have in common.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) drawers: Arc<Drawers>,
    pub(crate) list: Option<Arc<dyn RevocationList>>,
    pub(crate) policy: Policy,
    pub(crate) sealed: SealedPolicy,
}

/// So that an `Arc` of it can be given to an engine.
#[derive(Debug)]
struct Shared(Arc<Drawers>);

impl Sealing for Shared {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) -> Result<SessionToken, SealError> {
        self.0.seal(contents, nonce, now)
    }

    fn open(&self, token: &SessionToken, now: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        self.0.open(token, now)
    }
}

impl Site {
    pub(crate) fn without_list() -> Self {
        let drawers = Arc::new(Drawers::default());
        Self { drawers, list: None, policy: policy(), sealed: SealedPolicy::default() }
    }

    pub(crate) fn with_list(list: Arc<dyn RevocationList>) -> Self {
        Self { list: Some(list), ..Self::without_list() }
    }

    pub(crate) fn sealed(self, sealed: SealedPolicy) -> Self {
        Self { sealed, ..self }
    }

    pub(crate) fn builder(&self) -> SessionsBuilder {
        let builder = Sessions::sealed(Shared(Arc::clone(&self.drawers)))
            .policy(self.policy.clone())
            .sealed_policy(self.sealed)
            .near_cache(NearCachePolicy::new(1 << 20, LEASE).unwrap());
        match &self.list {
            Some(list) => builder.revocations(Arc::clone(list)),
            None => builder,
        }
    }

    /// A node with this clock.
    pub(crate) fn node(&self, clock: &Arc<ManualClock>) -> World {
        let ears = Arc::new(Ears::default());
        let builder = self.builder().clock(Arc::clone(clock)).events(Arc::clone(&ears));
        World { sessions: builder.build().unwrap(), clock: Arc::clone(clock), ears }
    }
}
