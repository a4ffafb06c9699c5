//! Who is there before something is done to the place a store is in, and must be found as they were afterwards.

use std::sync::Arc;

use cloakroom_core::EndReason::{Compromised, SignedOut};
use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{
    Counts, Filed, ListFilter, ListItem, ListOrder, ListQuery, Lookup, Rekeyed, Replaced, Selector,
    StateFilter, Store, TouchReport, Version,
};

use crate::fixtures::{Filing, Fixtures, T0, at};
use crate::subject::Subject;

/// Sessions in every state there is: signed in, changed, active, anonymous, with an exchanged token, signed out, ended with
/// everything. For tests of upgrades: they are filed in a store of one version and asked for in one of the next.
///
/// They have to be the only ones, and nobody but they may be there while they are compared.
#[derive(Debug)]
pub struct Residents {
    /// Signed in, with an address and an attribute.
    settled: Filing,
    /// Heard of since it was issued.
    active: Filing,
    /// Its token was exchanged for this one.
    renewed: Filing,
    signed_out: Filing,
    ended_with_everything: Filing,
    known: Known,
}

/// All that a store says of its sessions.
#[derive(PartialEq, Eq, Debug)]
struct Known {
    looked_up: Vec<(TokenDigest, Lookup)>,
    listed: Vec<ListItem>,
    told: Vec<Filed>,
    counts: Counts,
}

impl Residents {
    /// Files them, and remembers all that the store says of them.
    ///
    /// # Panics
    /// Where the store fails or answers what it may not.
    pub async fn move_in(store: &Arc<dyn Store>) -> Self {
        let (store, mut fixtures) = (Subject::new(Arc::clone(store), false), Fixtures::new(4711));
        let ended_with_everything = fixtures.signed_in("alice");
        store.file(&ended_with_everything).await;
        store.finish(&Selector::All, Compromised, T0).await;
        let settled = fixtures.signed_in("alice").with_ip([203, 0, 113, 9]).with_attribute("cart", *b"a hat");
        let [active, old, signed_out] =
            ["bob", "carol", "dave"].map(|name| fixtures.signed_in(name).with_ip([203, 0, 113, 9]));
        let anonymous = fixtures.anonymous();
        for filing in [&settled, &active, &old, &signed_out, &anonymous] {
            store.file(filing).await;
        }
        let changed = store.change(settled.digest, Version::FIRST, &settled.record, T0).await;
        assert_eq!(changed, Replaced::Done(Version::from_u64(2)));
        assert_eq!(store.note(&[(active.digest, at(7))], at(7)).await.touched, 1);
        let renewed = old.rotated(fixtures.next_digest(&old), at(3));
        let exchanged = store.exchange(old.digest, Version::FIRST, &renewed, at(3)).await;
        assert_eq!(exchanged, Rekeyed::Done(Version::from_u64(2)));
        assert_eq!(store.finish_one(signed_out.id(), SignedOut, at(5)).await.ended.len(), 1);

        let all = [&settled, &active, &old, &renewed, &signed_out, &anonymous, &ended_with_everything];
        let digests = all.map(|filing| filing.digest);
        let known = Known::of(&store, &digests).await;
        let mut states = known.looked_up.iter().map(|(_, found)| found);
        let [live, seen, retired, next, over, nobody, out] = std::array::from_fn(|_| states.next());
        for one in [live, seen, next, nobody] {
            assert!(matches!(one, Some(Lookup::Live(_))), "{one:?}");
        }
        assert!(matches!(retired, Some(Lookup::Retired(_))), "{retired:?}");
        assert_eq!(over, Some(&Lookup::Ended(signed_out.tombstone(SignedOut, at(5)))));
        assert_eq!(out, Some(&Lookup::Ended(ended_with_everything.tombstone(Compromised, T0))));
        assert_eq!((known.listed.len(), known.told.len()), (6, 7), "{known:?}");
        Self { settled, active, renewed, signed_out, ended_with_everything, known }
    }

    /// The store says of them what was said when they moved in, word by word: look-ups, lists from both ends, counts, and
    /// everything it would tell another store.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn are_as_they_were(&self, store: &Arc<dyn Store>) {
        let store = Subject::new(Arc::clone(store), false);
        let digests: Vec<TokenDigest> = self.known.looked_up.iter().map(|(digest, _)| *digest).collect();
        assert_eq!(Known::of(&store, &digests).await, self.known);
    }

    /// Who lives can be changed, heard of, given a new token and ended; who has ended cannot be changed any more.
    ///
    /// # Panics
    /// Where it is not so.
    pub async fn go_on(&self, store: &Arc<dyn Store>) {
        let (store, mut fixtures) = (Subject::new(Arc::clone(store), false), Fixtures::new(4712));
        let Self { settled, active, renewed, .. } = self;
        let done = |version| Replaced::Done(Version::from_u64(version));
        let changed = store.change(settled.digest, Version::from_u64(2), &settled.record, NOW).await;
        assert_eq!(changed, done(3));
        let touched = store.note(&[(active.digest, NOW), (renewed.digest, NOW)], NOW).await;
        assert_eq!(touched, TouchReport { touched: 2, ignored: 0 });
        let next = settled.rotated(fixtures.next_digest(settled), NOW);
        let exchanged = store.exchange(settled.digest, Version::from_u64(3), &next, NOW).await;
        assert_eq!(exchanged, Rekeyed::Done(Version::from_u64(4)));
        assert!(matches!(store.look_up(settled.digest, NOW).await, Lookup::Retired(_)));
        for (filing, reason, ended_at) in
            [(&self.signed_out, SignedOut, at(5)), (&self.ended_with_everything, Compromised, T0)]
        {
            let over = filing.tombstone(reason, ended_at);
            let refused = store.change(filing.digest, Version::FIRST, &filing.record, NOW).await;
            assert_eq!(refused, Replaced::Ended(over.clone()));
            assert_eq!(store.note(&[(filing.digest, NOW)], NOW).await.touched, 0);
            assert!(store.finish_one(filing.id(), SignedOut, NOW).await.ended.is_empty());
            assert_eq!(store.look_up(filing.digest, NOW).await, Lookup::Ended(over));
        }
        for filing in [&next, active, renewed] {
            let over = filing.tombstone(SignedOut, NOW);
            let ending = store.finish_one(filing.id(), SignedOut, NOW).await;
            assert_eq!(ending.ended, [over.clone().into()]);
            assert_eq!(store.look_up(filing.digest, NOW).await, Lookup::Ended(over));
        }
    }
}

impl Known {
    async fn of(store: &Subject, digests: &[TokenDigest]) -> Self {
        let mut looked_up = Vec::new();
        for digest in digests {
            looked_up.push((*digest, store.look_up(*digest, NOW).await));
        }
        let mut listed = Vec::new();
        for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
            let mut filter = ListFilter::default();
            filter.state = StateFilter::Any;
            let mut page = store.pages(&ListQuery::new(filter).ordered(order), NOW).await;
            if order == ListOrder::OldestFirst {
                page.reverse();
                assert_eq!(page, listed, "the same from either end");
            }
            listed = page;
        }
        let mut told = store.told(100, NOW).await;
        told.sort_by_key(|filed| filed.digest.to_bytes());
        Self { looked_up, listed, told, counts: store.total(NOW).await }
    }
}

/// When they are asked for: before any of them runs out.
const NOW: Timestamp = Timestamp::from_millis(T0.as_millis() + 20);
