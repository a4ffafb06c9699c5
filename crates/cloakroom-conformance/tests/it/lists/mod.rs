//! The suite of lists tested: it passes what is right and finds what is wrong.

mod defect;
mod reference;

use std::thread;

use cloakroom_conformance::{Failure, ListSuite};
use cloakroom_store::ListStanding;

use defect::Defect;
use reference::ReferenceLists;

fn suite(defect: Option<Defect>) -> ListSuite {
    let mut claims = EVERYTHING;
    match defect {
        Some(Defect::UnderstatesDurability) => (claims.shared, claims.durable) = (false, false),
        Some(Defect::UnderstatesSharing) => (claims.shared, claims.durable) = (false, false),
        Some(Defect::UnderstatesTelling) => claims.tells = false,
        _ => {}
    }
    ListSuite::new("reference", ReferenceLists { defect, claims })
}

fn failures(suite: &ListSuite) -> Vec<(&'static str, Failure)> {
    suite.cases().filter_map(|case| Some((case, suite.check(case).err()?))).collect()
}

#[test]
fn the_reference_list_passes_every_case() {
    assert_eq!(failures(&suite(None)), []);
}

#[test]
fn lists_that_claim_less_and_do_no_more_pass_the_cases_for_them() {
    for claims in [
        ListStanding { durable: false, shared: false, tells: false },
        ListStanding { durable: true, shared: false, tells: true },
        ListStanding { durable: false, shared: true, tells: false },
    ] {
        let modest = ListSuite::new("reference", ReferenceLists { defect: None, claims });
        assert_eq!(failures(&modest), [], "{claims:?}");
        let has = |name: &str| modest.cases().any(|case| case.starts_with(name));
        assert_eq!(has("changed::whoever_waits"), claims.tells);
        assert_eq!(has("changed::a_list_that_claims_not_to_tell"), !claims.tells);
        assert_eq!(has("durable::places_hold"), claims.durable);
        assert_eq!(has("shared::a_place_of_one"), claims.shared);
    }
}

#[test]
fn every_sabotaged_list_is_found_by_the_case_named_for_its_defect() {
    // Some of them are found by waiting in vain: together.
    let escaped: Vec<_> = thread::scope(|scope| {
        let share = Defect::FOUND_BY.len().div_ceil(8);
        let parts: Vec<_> = Defect::FOUND_BY
            .chunks(share)
            .map(|part| {
                let escapes = |(defect, case): &&(Defect, &str)| suite(Some(*defect)).check(case).is_ok();
                scope.spawn(move || part.iter().filter(escapes).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(escaped.is_empty(), "nobody noticed: {escaped:#?}");
}

#[test]
fn a_case_that_does_not_hold_for_a_list_is_no_pass() {
    assert!(suite(None).check("changed::a_list_that_claims_not_to_tell_says_nothing").is_err());
}

const EVERYTHING: ListStanding = ListStanding { durable: true, shared: true, tells: true };
