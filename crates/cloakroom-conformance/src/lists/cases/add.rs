//! What is added is there, whole, in its order.

use std::time::Duration;

use cloakroom_store::{Applied, ErrorKind, MOST_ENTRIES, Place};

use crate::case::cases;
use crate::cases::cancel::abandon;
use crate::fixtures::Seeded;
use crate::lists::ends::Ends;
use crate::lists::subject::without_numbers;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("add", |_| true;
    what_was_added_is_read_in_the_order_of_adding,
    numbers_begin_where_the_clock_is_and_leave_room,
    a_batch_is_read_in_its_order_after_what_came_before_it,
    entries_of_every_scope_and_reason_read_back_as_they_were,
    the_same_entry_may_be_added_twice,
    nothing_added_is_nothing_to_read,
    as_many_entries_as_fit_are_added_at_once_and_one_more_is_refused_with_all_of_them,
    an_add_that_nobody_waits_for_happens_whole_or_not_at_all,
    a_ping_answers_and_adds_nothing,
);

async fn what_was_added_is_read_in_the_order_of_adding(context: &Context) {
    let list = context.open().await;
    list.filled(&Ends::new(1).some(20)).await;
}

/// A list that began anew goes on above what tokens remember of the one before.
async fn numbers_begin_where_the_clock_is_and_leave_room(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    list.write(&ends.of_every_kind()).await;
    list.write(&ends.some(1)).await;
    for (number, entry) in list.everything().await {
        assert!((LONG_AGO..FAR_AWAY).contains(&number), "{number} of {entry:?}");
    }
}

async fn a_batch_is_read_in_its_order_after_what_came_before_it(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let mut added = Vec::new();
    for size in [1, 50, 2, 7] {
        let batch = ends.some(size);
        list.write(&batch).await;
        added.extend(batch);
        assert_eq!(without_numbers(&list.everything().await), added);
    }
}

async fn entries_of_every_scope_and_reason_read_back_as_they_were(context: &Context) {
    let (list, entries) = (context.open().await, Ends::new(1).of_every_kind());
    list.filled(&entries).await;
    let (list, entries) = (context.elsewhere(), entries);
    let list = list.open().await;
    list.write(&entries).await;
    assert_eq!(without_numbers(&list.everything().await), entries, "at once as well");
}

async fn the_same_entry_may_be_added_twice(context: &Context) {
    let (list, entry) = (context.open().await, Ends::new(1).next_entry());
    let all = list.filled(&[entry.clone(), entry.clone()]).await;
    list.write(&[entry.clone(), entry.clone()]).await;
    let more = list.everything().await;
    assert_eq!((more.len(), &more[..2]), (4, &all[..]), "each has a number of its own");
}

async fn nothing_added_is_nothing_to_read(context: &Context) {
    let (list, entries) = (context.open().await, Ends::new(1).some(2));
    list.write(&[]).await;
    assert_eq!(list.everything().await, []);
    let all = list.filled(&entries).await;
    list.write(&[]).await;
    assert_eq!(list.everything().await, all);
}

async fn as_many_entries_as_fit_are_added_at_once_and_one_more_is_refused_with_all_of_them(
    context: &Context,
) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let most = ends.some(MOST_ENTRIES);
    list.write(&most).await;
    let error = list.add(&ends.some(MOST_ENTRIES + 1)).await.expect_err("there is a limit");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Internal, Applied::No));
    assert_eq!(without_numbers(&list.everything().await), most);
    let (page, more) = list.look(Place::START, usize::MAX).await.expect("the beginning is never lost");
    assert!(page.len() <= MOST_ENTRIES && (page.len() == MOST_ENTRIES) != more, "no answer is larger");
}

/// Whoever asked may have left, half-way or before anything was sent.
async fn an_add_that_nobody_waits_for_happens_whole_or_not_at_all(context: &Context) {
    let (list, mut ends, mut random) = (context.open().await, Ends::new(1), Seeded::new(1));
    let mut batches = Vec::new();
    for steps in 0..24 {
        let [by_steps, by_time] = [ends.some(5), ends.some(5)];
        // Whatever comes of them, or nothing: that is what the reading is for.
        abandon(list.add(&by_steps), steps / 4).await;
        let patience = Duration::from_micros(random.below(2_000));
        let _ = tokio::time::timeout(patience, list.add(&by_time)).await;
        batches.extend([by_steps, by_time]);
    }
    // Behind them, and answered: the others are decided by then, or will be as a whole.
    let last = ends.some(5);
    list.write(&last).await;
    batches.push(last);
    let found = without_numbers(&list.everything().await);
    let mut rest = &found[..];
    while !rest.is_empty() {
        let batch = batches.iter().find(|batch| batch.first() == rest.first());
        let batch = batch.expect("what is read was added, and begins a batch");
        assert_eq!(rest.get(..batch.len()), Some(&batch[..]), "a batch is whole");
        rest = &rest[batch.len()..];
    }
}

async fn a_ping_answers_and_adds_nothing(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    list.ping().await.expect("ping answers");
    assert_eq!(list.everything().await, []);
    let all = list.filled(&ends.some(1)).await;
    list.ping().await.expect("ping answers");
    assert_eq!(list.everything().await, all);
}

/// Microseconds of the year 2020: before any clock that is right.
const LONG_AGO: u64 = 1_577_836_800_000_000;
/// What every format for numbers can hold exactly.
const FAR_AWAY: u64 = 1 << 53;
