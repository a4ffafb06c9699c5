//! How the suite gets hold of a list.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use cloakroom_store::RevocationList;

use crate::harness::{Boxed, Corruption};

/// How the suite gets hold of a list: where one can live, and how to open it there.
pub trait ListHarness: Send + Sync + 'static {
    /// Where a list lives: a directory, a schema, a key prefix; `()` for a list that lives in its own memory. Dropped when
    /// the case is over.
    type Place: Send + Sync + 'static;

    /// A new place with nothing in it, shared with no other case: cases run at the same time.
    fn place(&self) -> Self::Place;

    /// Opens the list at `place`.
    ///
    /// The suite opens a place again after dropping the list (that is a restart; a list that claims `durable` has
    /// everything then), and while the list is open (that is another process; a list that claims `shared` has the same
    /// entries then).
    ///
    /// # Panics
    /// Where the list cannot be opened: the case fails.
    fn open(&self, place: &Self::Place) -> impl Future<Output = Arc<dyn RevocationList>> + Send;

    /// Damages the bytes of the entry with this number, so that they cannot be decoded, behind the list's back.
    ///
    /// A list that is durable keeps bytes, and so has to be able to answer [`Corruption::Done`].
    fn corrupt(&self, place: &Self::Place, number: u64) -> impl Future<Output = Corruption> + Send {
        let _ = (place, number);
        std::future::ready(Corruption::KeepsNoBytes)
    }
}

/// [`ListHarness`] without its type of place.
pub(super) trait AnyHarness: Send + Sync {
    fn place(&self) -> Box<dyn Any + Send + Sync>;
    fn open<'a>(&'a self, place: &'a (dyn Any + Send + Sync)) -> Boxed<'a, Arc<dyn RevocationList>>;
    fn corrupt<'a>(&'a self, place: &'a (dyn Any + Send + Sync), number: u64) -> Boxed<'a, Corruption>;
}

impl<H: ListHarness> AnyHarness for H {
    fn place(&self) -> Box<dyn Any + Send + Sync> {
        Box::new(ListHarness::place(self))
    }

    fn open<'a>(&'a self, place: &'a (dyn Any + Send + Sync)) -> Boxed<'a, Arc<dyn RevocationList>> {
        Box::pin(ListHarness::open(self, typed::<H>(place)))
    }

    fn corrupt<'a>(&'a self, place: &'a (dyn Any + Send + Sync), number: u64) -> Boxed<'a, Corruption> {
        Box::pin(ListHarness::corrupt(self, typed::<H>(place), number))
    }
}

fn typed<H: ListHarness>(place: &(dyn Any + Send + Sync)) -> &H::Place {
    place.downcast_ref().expect("a place comes back to the harness that made it")
}
