//! What is not told, so that copies are of use.

use cloakroom_core::EndReason::SignedOut;
use cloakroom_core::TokenDigest;
use cloakroom_store::{Entry, Filed, Imported, ListFilter, ListQuery, Lookup, Parts};

use super::{both_ways, digests};
use crate::case::Context;
use crate::fixtures::{at, principal_id};

pub(super) async fn activity_is_not_told(context: &Context) {
    both_ways(context, async |mut scene| {
        let filings = scene.crowd().await;
        let [a, b, c, d] = &filings;
        let active = async {
            for millis in (100..1_000).step_by(100) {
                let touches: Vec<_> = filings.iter().map(|filing| (filing.digest, at(millis))).collect();
                assert_eq!(scene.store.note(&touches, at(millis)).await.touched, 4);
            }
        };
        scene.watch.is_not_told(&digests([a, b, c, d]), active).await;
    })
    .await;
}

/// Whoever keeps copies would be of little use if every sign-in took some of them away.
pub(super) async fn whoever_looks_or_signs_in_says_nothing_of_others(context: &Context) {
    both_ways(context, async |mut scene| {
        let [a, b, c, d] = scene.crowd().await;
        let (new, came) = (scene.fixtures.signed_in("alice"), scene.fixtures.signed_in("bob"));
        let doing = async {
            for filing in [&a, &b, &c, &d] {
                assert_eq!(scene.store.look_up(filing.digest, at(1)).await, Lookup::Live(filing.live()));
            }
            scene.store.file_at(&new, at(1)).await;
            let moved = Filed { digest: came.digest, entry: Entry::Live(came.live()) };
            assert_eq!(scene.store.take_in(&moved, at(1)).await, Imported::Done);
            if scene.store.capabilities().listing {
                scene.store.page(&ListQuery::new(ListFilter::default()), at(1)).await;
                scene.store.total(at(1)).await;
            }
        };
        scene.watch.is_not_told(&digests([&a, &b, &c, &d]), doing).await;
    })
    .await;
}

pub(super) async fn an_end_says_nothing_of_others(context: &Context) {
    both_ways(context, async |mut scene| {
        let [a, b, c, d] = scene.crowd().await;
        let others: Vec<TokenDigest> = digests([&b, &c, &d])
            .into_iter()
            .filter(|digest| Parts::number_of(digest.route()) != Parts::number_of(a.digest.route()))
            .collect();
        assert!(!others.is_empty(), "sessions are in many parts");
        scene.watch.is_not_told(&others, scene.store.finish_one(a.id(), SignedOut, at(1))).await;
        let again = scene.fixtures.signed_in("alice");
        scene.store.file_at(&again, at(1)).await;
        let all = scene.store.finish_all_of(principal_id("alice"), SignedOut, at(1));
        scene.watch.is_not_told(&others, all).await;
    })
    .await;
}
