//! What the cache is built from: words that threads share, locks, and a map. A parameter, so that the very same code runs on
//! the real ones and, in tests, on ones whose every step a scheduler decides.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_core::TokenDigest;
use cloakroom_store::Parts;
use parking_lot::Mutex;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::entry::{Entry, OVERHEAD};

/// A set of primitives.
pub(crate) trait Cells: Debug + Send + Sync + 'static {
    /// Counters of news: a change spoils the answers on their way for one digest in this many.
    const COUNTERS: usize;
    /// Parts that trust is kept for: all of them, but in tests in which each costs a step.
    const PARTS: usize = Parts::COUNT;

    type Word: Word;
    type Lock<T: Debug + Send + 'static>: Lock<T>;
    type Map: Map;
}

/// A number that threads share. Whoever reads it sees what its writer had done before.
pub(crate) trait Word: Debug + Send + Sync {
    fn new(value: u64) -> Self;
    fn load(&self) -> u64;
    fn store(&self, value: u64);
}

/// A lock for a few instructions.
pub(crate) trait Lock<T>: Debug + Send + Sync {
    fn new(value: T) -> Self;
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R;
}

/// Entries by digest, bounded in bytes. May lose any of them at any time.
pub(crate) trait Map: Debug + Send + Sync {
    fn new(max_bytes: u64) -> Self;
    fn get(&self, digest: &TokenDigest) -> Option<Entry>;
    fn insert(&self, digest: TokenDigest, entry: Entry);
    fn remove(&self, digest: &TokenDigest);
    /// Looks at an entry in its place.
    fn with(&self, digest: &TokenDigest, look: impl FnOnce(&Entry));
    fn len(&self) -> usize;
    fn bytes(&self) -> u64;
}

/// The real ones.
#[derive(Debug)]
pub(crate) struct Real;

impl Cells for Real {
    const COUNTERS: usize = 1_024;

    type Word = AtomicU64;
    type Lock<T: Debug + Send + 'static> = Mutex<T>;
    type Map = Quick;
}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn store(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
}

impl<T: Debug + Send> Lock<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock())
    }
}

/// A table in shards. A look-up takes a shard's lock for reading: lookers never wait for each other.
#[derive(Debug)]
pub(crate) struct Quick(QuickCache<TokenDigest, Entry, Bytes, AsItIs, DefaultLifecycle<TokenDigest, Entry>>);

impl Map for Quick {
    fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes).unwrap_or(usize::MAX) / (OVERHEAD + TYPICAL_RECORD);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(entries)
            .weight_capacity(max_bytes)
            .build()
            .expect("both capacities are given");
        Self(QuickCache::with_options(options, Bytes, AsItIs::default(), DefaultLifecycle::default()))
    }

    fn get(&self, digest: &TokenDigest) -> Option<Entry> {
        self.0.get(digest)
    }

    fn insert(&self, digest: TokenDigest, entry: Entry) {
        self.0.insert(digest, entry);
    }

    fn remove(&self, digest: &TokenDigest) {
        // Most news is of what is not here. Nobody files it meanwhile: who files or removes holds the digest's counter.
        if self.0.contains_key(digest) {
            self.0.remove(digest);
        }
    }

    fn with(&self, digest: &TokenDigest, look: impl FnOnce(&Entry)) {
        // Nothing is removed: this is the way to look at an entry without a copy of it.
        self.0.remove_if(digest, |entry| {
            look(entry);
            false
        });
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<TokenDigest, Entry> for Bytes {
    fn weight(&self, _: &TokenDigest, entry: &Entry) -> u64 {
        entry.bytes()
    }
}

/// A digest is uniformly distributed already, and only those of tokens that were issued are ever kept: whoever makes
/// tokens up cannot choose where they collide.
#[derive(Clone, Copy, Default, Debug)]
struct AsItIs(u64);

impl BuildHasher for AsItIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Bytes of a record with a principal, a device and a few attributes: for a first guess at how many will fit.
const TYPICAL_RECORD: usize = 700;
