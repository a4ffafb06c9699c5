//! `insert`: files what is new, and never overwrites.

use cloakroom_core::EndReason::{Replaced as ReplacedBySignIn, SignedOut};
use cloakroom_core::TokenDigest;
use cloakroom_store::{Inserted, Lookup, Version};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, RETENTION, T0, at};
use crate::subject::Subject;

pub(crate) const CASES: &[Case] = cases!("insert", |_| true;
    a_new_session_lives_with_the_first_version_and_was_seen_when_issued,
    a_digest_that_is_taken_is_refused,
    an_id_that_is_taken_is_refused,
    the_same_insert_again_is_refused,
    digest_and_id_of_an_expired_session_are_taken,
    digest_and_id_of_an_ended_session_are_taken,
    the_digest_of_a_retired_token_is_taken,
    digest_and_id_are_free_when_nothing_is_left,
    a_session_that_replaces_another_ends_it_in_the_same_step,
    replacing_what_has_ended_keeps_its_reason_and_reports_nothing,
    replacing_what_never_was_is_an_ordinary_insert,
    a_refused_insert_replaces_nothing,
);

/// `intruder` is refused at `now`, and neither it nor anything else is there afterwards that was not before.
async fn refused(store: &Subject, intruder: &Filing, present: (TokenDigest, Lookup)) {
    let (digest, before) = present;
    let now = intruder.record.created_at;
    assert_eq!(store.try_file(intruder, None, None, now).await, Inserted::AlreadyExists);
    assert_eq!(store.look_up(digest, now).await, before, "what was there is as it was");
    if intruder.digest != digest {
        assert_eq!(
            store.look_up(intruder.digest, now).await,
            Lookup::Unknown,
            "the refused one is not there"
        );
    }
}

/// Two intruders: one under the digest of `filing`, one with its id. Both have its route: a digest contains it.
fn intruders(fixtures: &mut Fixtures, filing: &Filing) -> [Filing; 2] {
    let [stranger, mut namesake] = std::array::from_fn(|_| fixtures.signed_in("alice"));
    namesake.record.id = filing.record.id;
    [Filing { digest: filing.digest, ..stranger }, namesake]
}

async fn a_new_session_lives_with_the_first_version_and_was_seen_when_issued(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    for filing in [fixtures.anonymous(), fixtures.signed_in("alice").with_roles(&["admin", "staff"])] {
        store.file_at(&filing, at(5)).await;
        let Lookup::Live(live) = store.look_up(filing.digest, at(5)).await else {
            panic!("{filing:?} lives")
        };
        assert_eq!((*live.record).clone(), filing.record);
        assert_eq!((live.version, live.last_seen_at), (Version::FIRST, filing.record.created_at));
    }
}

async fn a_digest_that_is_taken_is_refused(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice").with_attribute("cart", *b"full");
    store.file(&filing).await;
    let [under_its_digest, _] = intruders(&mut fixtures, &filing);
    refused(&store, &under_its_digest, (filing.digest, Lookup::Live(filing.live()))).await;
    let elsewhere = Filing { digest: fixtures.next_digest(&under_its_digest), ..under_its_digest };
    store.file(&elsewhere).await;
}

async fn an_id_that_is_taken_is_refused(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice").with_attribute("cart", *b"full");
    store.file(&filing).await;
    let [_, with_its_id] = intruders(&mut fixtures, &filing);
    refused(&store, &with_its_id, (filing.digest, Lookup::Live(filing.live()))).await;
}

async fn the_same_insert_again_is_refused(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.note(&[(filing.digest, at(300))], at(300)).await;
    refused(&store, &filing, (filing.digest, Lookup::Live(filing.live_seen(at(300))))).await;
}

async fn digest_and_id_of_an_expired_session_are_taken(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let before = store.look_up(filing.digest, at(2_000)).await;
    for intruder in intruders(&mut fixtures, &filing) {
        refused(&store, &intruder.issued_at(at(2_000)), (filing.digest, before.clone())).await;
    }
}

async fn digest_and_id_of_an_ended_session_are_taken(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let before = Lookup::Ended(filing.tombstone(SignedOut, at(10)));
    for intruder in intruders(&mut fixtures, &filing) {
        refused(&store, &intruder.issued_at(at(20)), (filing.digest, before.clone())).await;
    }
}

async fn the_digest_of_a_retired_token_is_taken(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let filing = fixtures.signed_in("alice");
    store.file(&filing).await;
    let next = filing.rotated(fixtures.next_digest(&filing), T0);
    store.exchange(filing.digest, Version::FIRST, &next, T0).await;
    let before = store.look_up(filing.digest, T0).await;
    assert!(matches!(before, Lookup::Retired(_)), "{before:?}");
    let [under_its_digest, _] = intruders(&mut fixtures, &filing);
    refused(&store, &under_its_digest, (filing.digest, before)).await;
}

async fn digest_and_id_are_free_when_nothing_is_left(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    store.finish_one(filing.id(), SignedOut, at(10)).await;
    let later = at(10).plus(RETENTION);
    store.sweep_up(later).await;
    store.is_gone(filing.digest, later).await;
    let again = store.try_file(&filing.issued_at(later), None, None, later).await;
    let lingers = store.removes_by_itself() && again == Inserted::AlreadyExists;
    assert!(lingers || again == Inserted::Done { ended: Vec::new() }, "what nobody has is free: {again:?}");
}

async fn a_session_that_replaces_another_ends_it_in_the_same_step(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [old, bystander] = [fixtures.signed_in("alice"), fixtures.signed_in("alice")];
    let new = fixtures.signed_in("alice").issued_at(at(50));
    store.file(&old).await;
    store.file(&bystander).await;
    let tombstone = old.tombstone(ReplacedBySignIn, at(50));
    let inserted = store.try_file(&new, None, Some(old.id()), at(50)).await;
    assert_eq!(inserted, Inserted::Done { ended: vec![tombstone.clone().into()] });
    assert_eq!(store.look_up(old.digest, at(50)).await, Lookup::Ended(tombstone));
    assert_eq!(store.look_up(new.digest, at(50)).await, Lookup::Live(new.live()));
    assert_eq!(store.look_up(bystander.digest, at(50)).await, Lookup::Live(bystander.live()));
    assert_eq!(store.sweep_up(at(50)).await, [], "it was reported already");
}

async fn replacing_what_has_ended_keeps_its_reason_and_reports_nothing(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let (old, new) = (fixtures.signed_in("alice"), fixtures.signed_in("alice").issued_at(at(50)));
    store.file(&old).await;
    store.finish_one(old.id(), SignedOut, at(10)).await;
    let inserted = store.try_file(&new, None, Some(old.id()), at(50)).await;
    assert_eq!(inserted, Inserted::Done { ended: Vec::new() });
    assert_eq!(store.look_up(old.digest, at(50)).await, Lookup::Ended(old.tombstone(SignedOut, at(10))));
}

async fn replacing_what_never_was_is_an_ordinary_insert(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let (never_filed, new) = (fixtures.signed_in("alice"), fixtures.signed_in("alice"));
    let inserted = store.try_file(&new, None, Some(never_filed.id()), T0).await;
    assert_eq!(inserted, Inserted::Done { ended: Vec::new() });
    assert_eq!(store.look_up(never_filed.digest, T0).await, Lookup::Unknown);
}

async fn a_refused_insert_replaces_nothing(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [old, other] = [fixtures.signed_in("alice"), fixtures.signed_in("alice")];
    store.file(&old).await;
    store.file(&other).await;
    let new = Filing { digest: other.digest, ..fixtures.signed_in("alice") };
    assert_eq!(store.try_file(&new, None, Some(old.id()), T0).await, Inserted::AlreadyExists);
    assert_eq!(store.look_up(old.digest, T0).await, Lookup::Live(old.live()));
}
