//! How the suite gets hold of a list.

use std::future::Future;
use std::sync::Arc;

use cloakroom_store::RevocationList;

use super::subject::List;
use crate::harness::{AnyHarness, AnyPlace, Boxed, Corruption, typed};

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

impl<H: ListHarness> AnyHarness<List> for H {
    fn place(&self) -> Box<AnyPlace> {
        Box::new(ListHarness::place(self))
    }

    fn open<'a>(&'a self, place: &'a AnyPlace) -> Boxed<'a, List> {
        Box::pin(async { List::new(ListHarness::open(self, typed(place)).await) })
    }

    fn corrupt<'a>(&'a self, place: &'a AnyPlace, number: u64) -> Boxed<'a, Corruption> {
        Box::pin(ListHarness::corrupt(self, typed(place), number))
    }
}
