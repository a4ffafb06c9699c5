//! Forgetting what no token can need any more, and nothing else.

use cloakroom_core::Timestamp;
use cloakroom_store::RevocationEntry;

use crate::case::cases;
use crate::lists::ends::{Ends, past};
use crate::lists::subject::without_numbers;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("prune", |_| true;
    an_entry_goes_at_its_instant_and_not_before,
    only_what_is_over_goes_wherever_it_stands,
    a_round_takes_no_more_than_its_limit_and_says_how_many,
    a_limit_of_zero_counts_as_one,
    what_was_over_first_goes_first,
    the_newest_entry_stays_whatever_its_time,
    a_number_is_never_used_again,
    what_others_add_meanwhile_stays,
    nobody_forgets_by_a_clock_that_is_ahead,
);

async fn an_entry_goes_at_its_instant_and_not_before(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&[ends.over_at(past(100)), ends.next_entry()]).await;
    for now in [Timestamp::from_millis(i64::MIN), past(0), past(99)] {
        assert_eq!(list.clear(now, 10).await, 0, "at {now}");
        assert_eq!(list.everything().await, all);
    }
    assert_eq!(list.clear(past(100), 10).await, 1);
    assert_eq!(list.everything().await, all[1..]);
    assert_eq!(list.clear(past(100), 10).await, 0);
}

async fn only_what_is_over_goes_wherever_it_stands(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let entries: Vec<RevocationEntry> =
        [5, 900, 1, 901, 3, 902, 2, 903, 4, 904].map(|until| ends.over_at(past(until))).into();
    let all = list.filled(&entries).await;
    let left =
        |now: i64| all.iter().filter(|(_, entry)| entry.until > past(now)).cloned().collect::<Vec<_>>();
    for now in [2, 3, 10] {
        list.clear_all(past(now)).await;
        assert_eq!(list.everything().await, left(now), "at {now}");
    }
}

async fn a_round_takes_no_more_than_its_limit_and_says_how_many(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let mut entries: Vec<RevocationEntry> = (0..10).map(|_| ends.over_at(past(1))).collect();
    entries.push(ends.next_entry());
    list.write(&entries).await;
    let mut left = 10;
    while left > 0 {
        let removed = list.clear(past(1), 4).await;
        assert!(removed > 0, "there are {left} left");
        left -= removed;
        assert_eq!(list.everything().await.len(), left + 1, "as many as it says");
    }
    assert_eq!(list.clear(past(1), 4).await, 0);
}

async fn a_limit_of_zero_counts_as_one(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    list.write(&[ends.over_at(past(1)), ends.over_at(past(1)), ends.next_entry()]).await;
    assert_eq!(list.clear(past(1), 0).await, 1);
    assert_eq!(list.everything().await.len(), 2);
}

async fn what_was_over_first_goes_first(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let entries = [30, 10, 20, 40].map(|until| ends.over_at(past(until)));
    let last = ends.next_entry();
    list.write(&entries).await;
    list.write(std::slice::from_ref(&last)).await;
    let [third, first, second, fourth] = entries;
    for left in [vec![&third, &second, &fourth, &last], vec![&third, &fourth, &last], vec![&fourth, &last]] {
        assert_eq!(list.clear(past(1_000), 1).await, 1);
        assert_eq!(without_numbers(&list.everything().await).iter().collect::<Vec<_>>(), left);
    }
    assert!(first.until < second.until);
}

async fn the_newest_entry_stays_whatever_its_time(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    assert_eq!(list.clear(past(1_000), 10).await, 0, "nothing is in it");
    for round in 0..3 {
        list.write(&[ends.over_at(past(2)), ends.over_at(past(1))]).await;
        let all = list.everything().await;
        list.clear_all(past(1_000)).await;
        assert_eq!(list.everything().await, all[all.len() - 1..], "round {round}");
        assert_eq!(list.clear(past(1_000), 10).await, 0);
    }
}

async fn a_number_is_never_used_again(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let mut highest = 0;
    for round in 0..5 {
        list.write(&[ends.over_at(past(1)), ends.over_at(past(1))]).await;
        let all = list.everything().await;
        let fresh = all.iter().filter(|(number, _)| *number > highest).count();
        assert_eq!(fresh, 2, "round {round}: {all:?} after {highest}");
        highest = all[all.len() - 1].0;
        list.clear_all(past(1_000)).await;
    }
}

async fn what_others_add_meanwhile_stays(context: &Context) {
    let [one, other] = context.two().await;
    let mut ends = Ends::new(1);
    let batches: Vec<Vec<RevocationEntry>> =
        (0..60).map(|_| vec![ends.next_entry(), ends.over_at(past(1))]).collect();
    let adding = async {
        for batch in &batches {
            one.write(batch).await;
        }
    };
    let clearing = async {
        let mut removed = 0;
        while removed < batches.len() - 1 {
            removed += other.clear(past(1), 7).await;
            tokio::task::yield_now().await;
        }
        removed
    };
    let ((), removed) = tokio::join!(adding, clearing);
    let left = without_numbers(&other.everything().await);
    let lasting: Vec<_> = batches.iter().map(|batch| batch[0].clone()).collect();
    let found: Vec<_> = left.iter().filter(|entry| entry.until > past(1)).cloned().collect();
    assert_eq!((found, left.len()), (lasting, batches.len() * 2 - removed));
}

/// One node whose clock is wrong for a moment would have everybody let in again who was ever signed out.
async fn nobody_forgets_by_a_clock_that_is_ahead(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    if list.ping().await.expect("ping answers").is_none() {
        // It has no clock of its own to compare with.
        return;
    }
    let all = list.filled(&[ends.over_at(past(1)), ends.over_at(YEAR_2100), ends.next_entry()]).await;
    for now in [YEAR_2100, Timestamp::from_millis(i64::MAX)] {
        list.clear_all(now).await;
        assert_eq!(list.everything().await, all[1..], "at {now}");
    }
}

const YEAR_2100: Timestamp = Timestamp::from_millis(4_102_444_800_000);
