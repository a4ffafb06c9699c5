//! Limits under parallel sign-ins from two nodes.

use std::num::NonZeroU32;
use std::sync::Arc;

use cloakroom_conformance::{Filing, Fixtures};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_store::Inserted;

use crate::support::{is_live, open, runtime, shared, try_file};

#[test]
fn of_64_parallel_sign_ins_at_two_nodes_exactly_as_many_live_as_are_allowed() {
    let server = shared();
    for (number, on_limit) in
        [OnLimit::EndOldest, OnLimit::EndIdlest, OnLimit::Refuse].into_iter().enumerate()
    {
        let url = server.database(&format!("limit_{number}")).unwrap();
        runtime().block_on(async {
            let stores = [open(&url).await, open(&url).await];
            let limit = SessionLimit { max: NonZeroU32::new(5).unwrap(), on_limit };
            let mut fixtures = Fixtures::new(1);
            let tasks: Vec<_> = (0..64)
                .map(|turn| {
                    let (store, filing) = (Arc::clone(&stores[turn % 2]), fixtures.signed_in("alice"));
                    tokio::spawn(async move {
                        let answer = try_file(&store, &filing, Some(limit)).await.unwrap();
                        (filing, answer)
                    })
                })
                .collect();
            let mut filed: Vec<Filing> = Vec::new();
            let mut ended = 0;
            for task in tasks {
                match task.await.unwrap() {
                    (filing, Inserted::Done { ended: put_out }) => {
                        filed.push(filing);
                        ended += put_out.len();
                    }
                    (filing, answer) => {
                        assert_eq!((answer, on_limit), (Inserted::LimitReached, OnLimit::Refuse));
                        assert!(!is_live(&stores[0], &filing).await);
                    }
                }
            }
            let mut live = 0;
            for filing in &filed {
                live += usize::from(is_live(&stores[1], filing).await);
            }
            assert_eq!(live, 5, "{on_limit:?}");
            assert_eq!(filed.len() - ended, 5, "each session that was put out was reported once");
        });
    }
}
