//! Limits, from two nodes at once.

use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_store::{InsertRequest, Inserted, ListFilter, ListQuery, Store, Touch};
use tokio::task::JoinSet;

use crate::support::{database, open, runtime, shared};

#[test]
fn of_64_sign_ins_at_two_nodes_as_many_live_as_are_allowed_whatever_goes_on_beside_them() {
    let url = database("limit");
    runtime().block_on(async {
        let stores = [open(&url).await, open(&url).await];
        for (number, on_limit) in
            [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse].into_iter().enumerate()
        {
            let name = format!("user {number}");
            let mut fixtures = Fixtures::new(u64::try_from(number).unwrap());
            let filings: Vec<Filing> = (0..64).map(|_| fixtures.signed_in(&name)).collect();
            let max = 5.try_into().unwrap();
            let mut racers = JoinSet::new();
            for (filing, store) in filings.into_iter().zip(stores.iter().cycle()) {
                let store = Arc::clone(store);
                racers.spawn(async move {
                    let Filing { record, digest } = &filing;
                    let limit = Some(SessionLimit { max, on_limit });
                    let request = InsertRequest { record, digest: *digest, limit, replaces: None, now: T0 };
                    let answer = store.insert(request).await.unwrap();
                    let touch = [Touch { digest: *digest, seen_at: at(1) }];
                    store.touch(&touch, at(1)).await.unwrap();
                    answer
                });
            }
            let answers = racers.join_all().await;
            let done = answers.iter().filter(|answer| matches!(answer, Inserted::Done { .. })).count();
            let put_out: usize = answers
                .iter()
                .map(|answer| if let Inserted::Done { ended } = answer { ended.len() } else { 0 })
                .sum();
            let expected = if on_limit == OnLimit::Refuse { (5, 0) } else { (64, 59) };
            assert_eq!((done, put_out), expected, "{on_limit:?}");
            let filter = {
                let mut filter = ListFilter::default();
                filter.principal = Some(principal_id(&name));
                filter
            };
            for store in &stores {
                let page = store.list(&ListQuery::new(filter.clone()), at(1)).await.unwrap();
                assert_eq!(page.items.len(), 5, "{on_limit:?}");
            }
        }
    });
    assert!(!shared().log().contains("deadlock"), "{}", shared().log());
}
