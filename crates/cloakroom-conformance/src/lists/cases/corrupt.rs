//! An entry whose bytes are damaged: nobody knows what it ended, so nobody is told that there was nothing.

use cloakroom_store::{ErrorKind, Place};

use crate::case::cases;
use crate::harness::Corruption;
use crate::lists::ends::{Ends, past};
use crate::lists::subject::place_of;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("corrupt", |_| true;
    a_damaged_entry_is_an_error_of_its_own_kind_and_is_never_left_out,
    a_damaged_entry_is_pruned_at_its_time_like_the_others,
);

pub(super) const DURABLE: &[Case] = cases!("corrupt", |claims| claims.durable;
    a_list_that_is_durable_keeps_bytes_that_can_be_damaged,
);

async fn a_damaged_entry_is_an_error_of_its_own_kind_and_is_never_left_out(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&ends.some(3)).await;
    if context.corrupt(all[1].0).await == Corruption::KeepsNoBytes {
        return;
    }
    for (place, limit) in [(Place::START, 10), (Place::START, 3), (place_of(&all[0]), 1)] {
        let error = list.read(place, limit).await.expect_err("what it ended is not known");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{limit} from {place:?}");
    }
    assert_eq!(
        list.look(Place::START, 1).await,
        Some((all[..1].to_vec(), true)),
        "before it nothing is wrong"
    );
    list.write(&ends.some(1)).await;
    assert!(list.read(Place::START, 10).await.is_err());
    // Whoever had read it before it was damaged is none the worse.
    assert_eq!(list.follow(place_of(&all[2]), 10).await.len(), 1);
}

async fn a_damaged_entry_is_pruned_at_its_time_like_the_others(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&[ends.over_at(past(1)), ends.next_entry()]).await;
    if context.corrupt(all[0].0).await == Corruption::KeepsNoBytes {
        return;
    }
    assert_eq!(list.clear(past(0), 10).await, 0);
    assert!(list.read(Place::START, 10).await.is_err());
    assert_eq!(list.clear(past(1), 10).await, 1);
    assert_eq!(list.everything().await, all[1..]);
}

async fn a_list_that_is_durable_keeps_bytes_that_can_be_damaged(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&ends.some(1)).await;
    assert_eq!(context.corrupt(all[0].0).await, Corruption::Done);
}
