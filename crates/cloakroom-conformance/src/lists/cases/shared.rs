//! Several handles to one list.

use cloakroom_store::Place;

use crate::case::cases;
use crate::lists::ends::{Ends, past};
use crate::lists::subject::{place_of, without_numbers};
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("shared", |claims| claims.shared;
    what_one_adds_the_other_reads_with_the_same_numbers,
    a_place_of_one_holds_at_the_other,
    what_one_prunes_is_gone_for_the_other,
);

pub(super) const NOT: &[Case] = cases!("shared", |claims| !claims.shared;
    a_list_that_claims_not_to_be_shared_knows_nothing_of_another,
);

async fn what_one_adds_the_other_reads_with_the_same_numbers(context: &Context) {
    let ([one, other], mut ends) = (context.two().await, Ends::new(1));
    let mut added = Vec::new();
    for _ in 0..10 {
        let [by_one, by_other] = [ends.some(2), ends.some(1)];
        one.write(&by_one).await;
        other.write(&by_other).await;
        added.extend(by_one.into_iter().chain(by_other));
        let all = one.everything().await;
        assert_eq!(without_numbers(&all), added);
        assert_eq!(other.everything().await, all);
    }
}

async fn a_place_of_one_holds_at_the_other(context: &Context) {
    let ([one, other], mut ends) = (context.two().await, Ends::new(1));
    let all = one.filled(&ends.some(5)).await;
    for (read, entry) in all.iter().enumerate() {
        assert_eq!(other.follow(place_of(entry), 2).await, all[read + 1..]);
    }
}

async fn what_one_prunes_is_gone_for_the_other(context: &Context) {
    let ([one, other], mut ends) = (context.two().await, Ends::new(1));
    let all = one.filled(&[ends.over_at(past(1)), ends.next_entry()]).await;
    assert_eq!(other.everything().await, all);
    assert_eq!(one.clear(past(1), 10).await, 1);
    assert_eq!((other.clear(past(1), 10).await, other.everything().await), (0, all[1..].to_vec()));
    assert_eq!(other.look(place_of(&all[0]), 10).await, None);
}

async fn a_list_that_claims_not_to_be_shared_knows_nothing_of_another(context: &Context) {
    let (one, mut ends) = (context.open().await, Ends::new(1));
    if one.standing().durable {
        // Two of them at one place is a mistake of whoever runs them, and refused in the list's own way.
        return;
    }
    let other = context.open().await;
    let all = one.filled(&ends.some(3)).await;
    assert_eq!(other.look(Place::START, 10).await, Some((Vec::new(), false)));
    assert_eq!(other.look(place_of(&all[0]), 10).await, None);
}
