//! Hints: that there may be something to read.

use std::pin::pin;
use std::time::Duration;

use cloakroom_store::StoreFuture;

use crate::case::cases;
use crate::lists::ends::Ends;
use crate::lists::subject::List;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("changed", |_| true;
    where_nothing_is_added_hints_come_to_an_end,
);

pub(super) const TELLS: &[Case] = cases!("changed", |claims| claims.tells;
    whoever_waits_is_told_of_an_add,
    whoever_asked_before_an_add_and_waits_after_it_is_told,
    everybody_who_waits_is_told,
    whoever_stopped_waiting_keeps_nobody_from_being_told,
);

pub(super) const NOT: &[Case] = cases!("changed", |claims| !claims.tells;
    a_list_that_claims_not_to_tell_says_nothing,
);

/// Whoever reads at every hint would read without end otherwise.
async fn where_nothing_is_added_hints_come_to_an_end(context: &Context) {
    let [one, other] = context.two().await;
    for entry in Ends::new(1).some(3) {
        one.write(&[entry]).await;
    }
    for list in [&one, &other] {
        let mut hints = 0;
        while is_told_soon(list.changed()).await {
            hints += 1;
            assert!(hints < 20, "hints for nothing, on and on");
        }
    }
}

async fn whoever_waits_is_told_of_an_add(context: &Context) {
    let lists = context.two().await;
    let mut ends = Ends::new(1);
    hears(&lists, &mut ends).await;
    for round in 0..4 {
        let (writer, waiting) = (&lists[round % 2], &lists[round.div_ceil(2) % 2]);
        quiet(waiting).await;
        let entry = ends.next_entry();
        let adds = async {
            tokio::task::yield_now().await;
            writer.write(&[entry]).await;
        };
        let (told, ()) = tokio::join!(tokio::time::timeout(SOON, waiting.changed()), adds);
        told.expect("whoever waits is told").expect("changed answers");
    }
}

async fn whoever_asked_before_an_add_and_waits_after_it_is_told(context: &Context) {
    let lists = context.two().await;
    let mut ends = Ends::new(1);
    hears(&lists, &mut ends).await;
    for round in 0..4 {
        let (writer, waiting) = (&lists[round % 2], &lists[round.div_ceil(2) % 2]);
        quiet(waiting).await;
        let told = waiting.changed();
        writer.write(&ends.some(1)).await;
        let told = tokio::time::timeout(SOON, told).await;
        told.expect("the add came after the question").expect("changed answers");
    }
}

async fn everybody_who_waits_is_told(context: &Context) {
    let lists = context.two().await;
    let mut ends = Ends::new(1);
    hears(&lists, &mut ends).await;
    let waiting: Vec<_> = (0..10).map(|number: usize| lists[number % 2].changed()).collect();
    lists[0].write(&ends.some(1)).await;
    for told in waiting {
        tokio::time::timeout(SOON, told).await.expect("all of them").expect("changed answers");
    }
}

async fn whoever_stopped_waiting_keeps_nobody_from_being_told(context: &Context) {
    let lists = context.two().await;
    let mut ends = Ends::new(1);
    hears(&lists, &mut ends).await;
    for _ in 0..5 {
        let (one, other) = (lists[1].changed(), lists[1].changed());
        drop(one);
        lists[0].write(&ends.some(1)).await;
        tokio::time::timeout(SOON, other).await.expect("the other one is told").expect("changed answers");
    }
}

/// Under-claiming harms nobody, but what is written about a list should be true.
async fn a_list_that_claims_not_to_tell_says_nothing(context: &Context) {
    let [one, other] = context.two().await;
    let mut ends = Ends::new(1);
    let told = other.changed();
    for _ in 0..5 {
        one.write(&ends.some(1)).await;
    }
    assert!(!is_told_soon(told).await, "it tells: let it say so");
}

/// Waits until both hear what is added: where somebody asks for the first time, the way may have to be opened, and what
/// they overlook until then they find by reading in turn.
async fn hears(lists: &[List; 2], ends: &mut Ends) {
    for list in lists {
        let mut told = pin!(list.changed());
        let mut attempts = 0;
        while tokio::time::timeout(MOMENT, told.as_mut()).await.is_err() {
            assert!(attempts < 50, "nobody is told");
            attempts += 1;
            lists[0].write(&ends.some(1)).await;
        }
    }
    for list in lists {
        quiet(list).await;
    }
}

/// Waits until hints of what was added before have come.
async fn quiet(list: &List) {
    while is_told_soon(list.changed()).await {}
}

/// Whether it resolves within a moment.
async fn is_told_soon(told: StoreFuture<'_, ()>) -> bool {
    match tokio::time::timeout(MOMENT, told).await {
        Ok(answer) => {
            answer.expect("changed answers");
            true
        }
        Err(_) => false,
    }
}

/// Long enough for any hint on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// Longer than a hint takes where the machine is not busy.
const MOMENT: Duration = Duration::from_millis(100);
