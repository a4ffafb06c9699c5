//! What was acknowledged is there after a restart.

use cloakroom_store::Place;

use crate::case::cases;
use crate::lists::ends::{Ends, past};
use crate::lists::subject::place_of;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("durable", |claims| claims.durable;
    entries_and_their_numbers_are_there_after_a_restart,
    places_hold_after_a_restart,
    numbers_go_on_after_a_restart_also_where_everything_was_pruned,
);

pub(super) const NOT: &[Case] = cases!("durable", |claims| !claims.durable;
    a_list_that_claims_not_to_be_durable_starts_empty_and_knows_no_place,
);

async fn entries_and_their_numbers_are_there_after_a_restart(context: &Context) {
    let (mut list, mut ends) = (context.open().await, Ends::new(1));
    list.write(&ends.of_every_kind()).await;
    for _ in 0..3 {
        list.write(&ends.some(2)).await;
        let all = list.everything().await;
        list = context.reopen(list).await;
        assert_eq!(list.everything().await, all);
    }
}

async fn places_hold_after_a_restart(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&ends.some(5)).await;
    let list = context.reopen(list).await;
    for (read, entry) in all.iter().enumerate() {
        assert_eq!(list.follow(place_of(entry), 2).await, all[read + 1..]);
    }
}

async fn numbers_go_on_after_a_restart_also_where_everything_was_pruned(context: &Context) {
    let (mut list, mut ends) = (context.open().await, Ends::new(1));
    let mut newest = Place::START;
    for round in 0..4 {
        list.write(&[ends.over_at(past(1)), ends.over_at(past(1))]).await;
        let news = list.follow(newest, 10).await;
        assert_eq!(
            news.len(),
            2,
            "round {round}: whoever had read everything finds what came after the restart"
        );
        newest = place_of(&news[1]);
        list.clear_all(past(1_000)).await;
        list = context.reopen(list).await;
        assert_eq!(list.look(newest, 10).await, Some((Vec::new(), false)));
    }
}

/// Under-claiming harms nobody, but what is written about a list should be true.
async fn a_list_that_claims_not_to_be_durable_starts_empty_and_knows_no_place(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    if list.standing().shared {
        // Others may use the same entries: they outlive this handle, whatever outlives a restart of their server.
        return;
    }
    let all = list.filled(&ends.some(3)).await;
    let list = context.reopen(list).await;
    assert_eq!(list.everything().await, []);
    assert_eq!(list.look(place_of(&all[2]), 10).await, None);
    list.filled(&ends.some(3)).await;
    assert_eq!(list.look(place_of(&all[2]), 10).await, None, "the numbers are the same, the history is not");
}
