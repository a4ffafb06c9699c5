//! Reading on from where one was.

use cloakroom_store::Place;

use crate::case::cases;
use crate::lists::ends::Ends;
use crate::lists::subject::place_of;
use crate::lists::{Case, Context};

pub(super) const CASES: &[Case] = cases!("read", |_| true;
    an_empty_list_has_nothing_and_no_more,
    a_read_that_begins_after_an_add_returned_finds_it,
    pages_of_every_size_hold_each_entry_once,
    the_last_page_says_so_even_when_it_is_full,
    a_limit_of_zero_counts_as_one,
    the_same_place_gives_the_same_entries,
    whoever_has_read_everything_finds_nothing_more_and_then_what_is_added,
);

async fn an_empty_list_has_nothing_and_no_more(context: &Context) {
    let list = context.open().await;
    for limit in [0, 1, 1_000] {
        assert_eq!(list.look(Place::START, limit).await, Some((Vec::new(), false)));
    }
}

async fn a_read_that_begins_after_an_add_returned_finds_it(context: &Context) {
    let ([one, other], mut ends) = (context.two().await, Ends::new(1));
    let mut place = Place::START;
    for round in 0..100 {
        let entry = ends.next_entry();
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.write(std::slice::from_ref(&entry)).await;
        let found = reader.follow(place, 10).await;
        assert_eq!(found.iter().map(|(_, found)| found).collect::<Vec<_>>(), [&entry], "round {round}");
        place = place_of(&found[0]);
    }
}

async fn pages_of_every_size_hold_each_entry_once(context: &Context) {
    let list = context.open().await;
    let all = list.filled(&Ends::new(1).some(12)).await;
    for limit in 1..14 {
        assert_eq!(list.follow(Place::START, limit).await, all, "by {limit}");
        for (read, entry) in all.iter().enumerate() {
            assert_eq!(list.follow(place_of(entry), limit).await, &all[read + 1..], "by {limit} from {read}");
        }
    }
}

async fn the_last_page_says_so_even_when_it_is_full(context: &Context) {
    let list = context.open().await;
    let all = list.filled(&Ends::new(1).some(4)).await;
    for limit in [4, 5, 1_000] {
        assert_eq!(list.look(Place::START, limit).await, Some((all.clone(), false)), "by {limit}");
    }
    let (page, more) = list.look(Place::START, 3).await.expect("the beginning is never lost");
    assert!(more && page == all[..page.len()], "{page:?} of {all:?}");
}

async fn a_limit_of_zero_counts_as_one(context: &Context) {
    let list = context.open().await;
    let all = list.filled(&Ends::new(1).some(2)).await;
    assert_eq!(list.look(Place::START, 0).await, Some((all[..1].to_vec(), true)));
    assert_eq!(list.look(place_of(&all[0]), 0).await, Some((all[1..].to_vec(), false)));
}

async fn the_same_place_gives_the_same_entries(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&ends.some(6)).await;
    let place = place_of(&all[2]);
    for _ in 0..10 {
        list.write(&ends.some(1)).await;
        let (page, _) = list.look(place, 3).await.expect("the place is there");
        assert_eq!(page, all[3..][..page.len()], "what came later changes nothing of what came before");
    }
    assert_eq!(list.everything().await[..6], all);
}

async fn whoever_has_read_everything_finds_nothing_more_and_then_what_is_added(context: &Context) {
    let (list, mut ends) = (context.open().await, Ends::new(1));
    let all = list.filled(&ends.some(3)).await;
    let place = place_of(&all[2]);
    for limit in [1, 1_000] {
        assert_eq!(list.look(place, limit).await, Some((Vec::new(), false)));
    }
    let next = ends.next_entry();
    list.write(std::slice::from_ref(&next)).await;
    let found = list.follow(place, 1).await;
    assert!(found.len() == 1 && found[0].1 == next && found[0].0 > place.number, "{found:?}");
}
