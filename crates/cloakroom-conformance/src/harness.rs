//! How the suite gets hold of a store.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cloakroom_core::TokenDigest;
use cloakroom_store::Store;

use crate::case::Tested;
use crate::subject::Subject;

/// How the suite gets hold of a store: where one can live, and how to open it there.
pub trait Harness: Send + Sync + 'static {
    /// Where a store lives: a directory, a schema, a key prefix; `()` for a store that lives in its own memory.
    /// Dropped when the case is over.
    type Place: Send + Sync + 'static;

    /// A new place with nothing in it, shared with no other case: cases run at the same time.
    fn place(&self) -> Self::Place;

    /// Opens the store at `place`.
    ///
    /// The suite opens a place again after dropping the store (that is a restart; a store that claims `durable` has
    /// everything then), and while the store is open (that is another process; a store that claims `shared` has the
    /// same sessions then).
    ///
    /// # Panics
    /// Where the store cannot be opened: the case fails.
    fn open(&self, place: &Self::Place) -> impl Future<Output = Arc<dyn Store>> + Send;

    /// Damages the bytes of the record filed under `digest`, so that they cannot be decoded, behind the store's back.
    ///
    /// A store that is durable keeps bytes, and so has to be able to answer [`Corruption::Done`].
    fn corrupt(&self, place: &Self::Place, digest: TokenDigest) -> impl Future<Output = Corruption> + Send {
        let _ = (place, digest);
        std::future::ready(Corruption::KeepsNoBytes)
    }

    /// Whether what is left of a session goes by itself once its retention is over, because the store has an expiry of its
    /// own: then nobody can say how much a sweep removes, and what is left may be found for longer or not, but never
    /// live. Before the retention is over nothing goes by itself.
    fn removes_by_itself(&self) -> bool {
        false
    }

    /// How often to repeat what only repetition can show.
    fn effort(&self) -> Effort {
        Effort::default()
    }
}

/// What came of [`Harness::corrupt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corruption {
    /// The record's bytes are damaged.
    Done,
    /// The store keeps values, not bytes: there is nothing that could fail to decode.
    KeepsNoBytes,
}

/// How often to repeat what only repetition can show. Costs time, not coverage: every case runs in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Races between an end and a write of the same session, all kinds together.
    pub races: u32,
    /// Random sequences of calls that are compared with the model.
    pub sequences: u32,
}

impl Default for Effort {
    /// What a store in memory manages in seconds.
    fn default() -> Self {
        Self { races: 100_000, sequences: 256 }
    }
}

/// A harness without its type of place, for what opens there: a [`Harness`] opens stores, a
/// [`ListHarness`](crate::ListHarness) lists.
pub(crate) trait AnyHarness<S: Tested>: Send + Sync {
    fn place(&self) -> Box<AnyPlace>;
    fn open<'a>(&'a self, place: &'a AnyPlace) -> Boxed<'a, S>;
    fn corrupt<'a>(&'a self, place: &'a AnyPlace, key: S::Key) -> Boxed<'a, Corruption>;
    fn effort(&self) -> Effort {
        Effort::default()
    }
}

impl<H: Harness> AnyHarness<Subject> for H {
    fn place(&self) -> Box<AnyPlace> {
        Box::new(Harness::place(self))
    }

    fn open<'a>(&'a self, place: &'a AnyPlace) -> Boxed<'a, Subject> {
        Box::pin(async {
            Subject::new(Harness::open(self, typed(place)).await, Harness::removes_by_itself(self))
        })
    }

    fn corrupt<'a>(&'a self, place: &'a AnyPlace, digest: TokenDigest) -> Boxed<'a, Corruption> {
        Box::pin(Harness::corrupt(self, typed(place), digest))
    }

    fn effort(&self) -> Effort {
        Harness::effort(self)
    }
}

/// The place, for the harness that made it.
pub(crate) fn typed<P: 'static>(place: &AnyPlace) -> &P {
    place.downcast_ref().expect("a place comes back to the harness that made it")
}

pub(crate) type AnyPlace = dyn Any + Send + Sync;
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
