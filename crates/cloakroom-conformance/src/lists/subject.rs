//! The list under test, asked in the words of a case.

use std::ops::Deref;
use std::sync::Arc;

use cloakroom_core::Timestamp;
use cloakroom_store::{ListStanding, Place, Reading, RevocationEntry, RevocationList};

use super::{Case, Context, cases};
use crate::case::Tested;

/// An entry with its number.
pub(super) type Numbered = (u64, RevocationEntry);

/// The list under test. Its own methods panic where the list could not answer; a case that expects an error asks the list
/// itself, which this dereferences to.
#[derive(Clone, Debug)]
pub(super) struct List {
    list: Arc<dyn RevocationList>,
}

impl Deref for List {
    type Target = dyn RevocationList;

    fn deref(&self) -> &Self::Target {
        &*self.list
    }
}

impl Tested for List {
    type Claims = ListStanding;
    type Key = u64;

    const CASES: &'static [&'static [Case]] = cases::FILES;

    fn claims(&self) -> ListStanding {
        self.standing()
    }

    fn close(self) {
        assert_eq!(Arc::strong_count(&self.list), 1, "a list is closed by dropping the only handle to it");
    }
}

impl Context {
    /// Two handles: of one list where it can be shared, else the same one twice.
    pub(super) async fn two(&self) -> [List; 2] {
        let one = self.open().await;
        let other = if one.standing().shared { self.open().await } else { one.clone() };
        [one, other]
    }
}

impl List {
    pub(super) fn new(list: Arc<dyn RevocationList>) -> Self {
        Self { list }
    }

    pub(super) async fn write(&self, entries: &[RevocationEntry]) {
        self.list.add(entries).await.expect("add answers");
    }

    /// Reads once; `None` where the place is lost.
    pub(super) async fn look(&self, place: Place, limit: usize) -> Option<(Vec<Numbered>, bool)> {
        match self.list.read(place, limit).await.expect("read answers") {
            Reading::Entries { entries, more } => {
                assert!(
                    entries.len() <= limit.max(1),
                    "{} entries where {limit} were asked for",
                    entries.len()
                );
                assert!(!(entries.is_empty() && more), "more is promised, and nothing comes of it");
                let numbers = [place.number].into_iter().chain(entries.iter().map(|(number, _)| *number));
                assert!(
                    numbers.is_sorted_by(|one, next| one < next),
                    "numbers rise from {place:?}: {entries:?}"
                );
                Some((entries, more))
            }
            Reading::Lost => None,
        }
    }

    /// Everything after `place`, by pages of `limit`.
    pub(super) async fn follow(&self, mut place: Place, limit: usize) -> Vec<Numbered> {
        let mut all = Vec::new();
        loop {
            let (entries, more) =
                self.look(place, limit).await.expect("a place that was handed out is not lost");
            place = entries.last().map_or(place, place_of);
            all.extend(entries);
            if !more {
                return all;
            }
        }
    }

    /// Everything there is.
    pub(super) async fn everything(&self) -> Vec<Numbered> {
        self.follow(Place::START, PAGE).await
    }

    /// Adds `entries` one by one; they with their numbers.
    pub(super) async fn filled(&self, entries: &[RevocationEntry]) -> Vec<Numbered> {
        for entry in entries {
            self.write(std::slice::from_ref(entry)).await;
        }
        let all = self.everything().await;
        assert_eq!(without_numbers(&all), entries);
        all
    }

    pub(super) async fn clear(&self, now: Timestamp, limit: usize) -> usize {
        let removed = self.list.prune(now, limit).await.expect("prune answers");
        assert!(removed <= limit.max(1), "{removed} entries removed where {limit} were asked for");
        removed
    }

    /// Prunes until nothing is over any more; how many that were.
    pub(super) async fn clear_all(&self, now: Timestamp) -> usize {
        let mut removed = 0;
        loop {
            match self.clear(now, PAGE).await {
                0 => return removed,
                some => removed += some,
            }
        }
    }
}

/// Where somebody is who has read up to this entry.
pub(super) fn place_of((number, entry): &Numbered) -> Place {
    Place { number: *number, nonce: entry.nonce }
}

pub(super) fn without_numbers(all: &[Numbered]) -> Vec<RevocationEntry> {
    all.iter().map(|(_, entry)| entry.clone()).collect()
}

/// Larger than what a case adds, most of the time.
const PAGE: usize = 1_000;
