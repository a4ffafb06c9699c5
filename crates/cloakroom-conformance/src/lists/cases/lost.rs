//! A place is of one history, and of no other.

use cloakroom_store::{MOST_ENTRIES, Place};

use crate::case::cases;
use crate::lists::ends::{Ends, past};
use crate::lists::subject::place_of;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("lost", |_| true;
    a_place_that_nobody_was_given_is_lost,
    a_place_of_another_history_is_lost,
    a_place_is_lost_with_its_entry,
    the_place_of_the_newest_entry_holds_however_much_is_pruned,
    the_beginning_is_never_lost,
);

async fn a_place_that_nobody_was_given_is_lost(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let strange = |number, nonce| Place { number, nonce };
    for place in [strange(1, 7), strange(0, 7), strange(u64::MAX, 0), strange(1 << 63, u64::MAX)] {
        assert_eq!(list.look(place, 10).await, None, "{place:?} of an empty list");
    }
    let all = list.filled(&ends.some(3)).await;
    let newest = place_of(&all[2]);
    let mut places = vec![strange(0, newest.nonce), strange(0, 1), strange(newest.number, 0)];
    places.push(strange(newest.number, newest.nonce.wrapping_add(1)));
    places.push(strange(newest.number, place_of(&all[1]).nonce));
    places.push(strange(newest.number + 1, newest.nonce));
    places.extend([u64::MAX >> 1, 1 << 63, u64::MAX].map(|number| strange(number, newest.nonce)));
    for place in places {
        assert_eq!(list.look(place, 10).await, None, "{place:?} of {all:?}");
    }
}

/// As after a fail-over to a copy that lagged, or a backup that was restored: the numbers are used by others.
async fn a_place_of_another_history_is_lost(context: &Context) {
    let (here, there) = (context.open().await, context.elsewhere());
    let there = there.open().await;
    let (mut ends, mut others) = (Ends::new(1), Ends::new(2));
    let all = here.filled(&ends.some(5)).await;
    for number in 0..10 {
        assert_eq!(there.look(place_of(&all[4]), 10).await, None, "after {number} entries");
        there.write(&others.some(1)).await;
    }
    for entry in &all {
        assert_eq!(there.look(place_of(entry), 10).await, None, "{entry:?}");
    }
}

/// Nobody can tell an entry that was pruned from one of another history.
async fn a_place_is_lost_with_its_entry(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let entries = [ends.over_at(past(1)), ends.next_entry(), ends.over_at(past(1)), ends.next_entry()];
    let all = list.filled(&entries).await;
    assert_eq!(list.clear_all(past(1)).await, 2);
    for (gone, entry) in [true, false, true, false].into_iter().zip(&all) {
        assert_eq!(list.look(place_of(entry), 10).await.is_none(), gone, "{entry:?}");
    }
    assert_eq!(list.follow(place_of(&all[1]), 10).await, all[3..], "what was pruned in between is no gap");
}

async fn the_place_of_the_newest_entry_holds_however_much_is_pruned(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let entries: Vec<_> = (0..5).map(|_| ends.over_at(past(1))).collect();
    let all = list.filled(&entries).await;
    let newest = place_of(&all[4]);
    for _ in 0..3 {
        list.clear_all(past(1_000)).await;
        assert_eq!(list.look(newest, 10).await, Some((Vec::new(), false)));
    }
    let next = ends.next_entry();
    list.write(std::slice::from_ref(&next)).await;
    let found = list.follow(newest, 10).await;
    assert!(found.len() == 1 && found[0].1 == next, "{found:?}");
}

async fn the_beginning_is_never_lost(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    for _ in 0..3 {
        let page = list.look(Place::START, MOST_ENTRIES).await;
        assert!(page.is_some_and(|(_, more)| !more));
        list.write(&[ends.over_at(past(1)), ends.over_at(past(1))]).await;
        list.clear_all(past(1)).await;
    }
}
