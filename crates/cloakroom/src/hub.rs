//! One ear for the store's news, for all in the engine who want to hear.

use std::sync::Arc;

use cloakroom_store::{News, Observer, Parts};

use tokio::sync::{Mutex, MutexGuard};

use crate::near::{NearStore, Proof};
use crate::streams::{Asked, Streams};

/// Takes the store's news and passes them on: to the near cache first, so that whoever acts on news finds it true here.
#[derive(Debug)]
pub(crate) struct Hub {
    near: Option<NearStore>,
    streams: Arc<Streams>,
    watched: Mutex<()>,
}

/// A proof on its way, for everybody who counts on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proving {
    near: Option<Proof>,
    streams: Asked,
}

impl Hub {
    pub(crate) fn new(near: Option<NearStore>, streams: Arc<Streams>) -> Self {
        Self { near, streams, watched: Mutex::new(()) }
    }

    pub(crate) fn near(&self) -> Option<&NearStore> {
        self.near.as_ref()
    }

    /// The right to watch, which one has at a time.
    pub(crate) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.watched.lock().await
    }

    /// A feed is about to be opened, or is gone.
    pub(crate) fn unwatched(&self) {
        if let Some(near) = &self.near {
            near.unwatched();
        }
        self.streams.told(News::Anything(Parts::ALL));
    }

    /// A proof begins; its probe is to be sent after this.
    pub(crate) fn begin_proof(&self) -> Proving {
        Proving { near: self.near.as_ref().map(NearStore::begin_proof), streams: self.streams.asked() }
    }

    /// The proof has been answered for these parts.
    pub(crate) fn proven(&self, proving: Proving, parts: Parts) {
        if let (Some(near), Some(proof)) = (&self.near, proving.near) {
            near.proven(proof, parts);
        }
        self.streams.proven(proving.streams, parts);
    }

    /// Resolves when a proof is wanted before its time.
    pub(crate) async fn proof_wanted(&self) {
        match &self.near {
            Some(near) => near.proof_wanted().await,
            None => std::future::pending().await,
        }
    }
}

impl Observer for Hub {
    fn told(&self, news: News<'_>) {
        if let Some(near) = &self.near {
            near.told(news);
        }
        self.streams.told(news);
    }
}
