//! `get`: live to the millisecond before the instant, over at the instant.

use cloakroom_core::EndReason::{AbsoluteTimeout, IdleTimeout};
use cloakroom_core::Timestamp;
use cloakroom_store::Lookup;

use crate::case::{Applies, Case, Context, cases};
use crate::fixtures::{Fixtures, T0, at};

pub(crate) const CASES: &[Case] = cases!("get", Applies::Always;
    a_digest_never_filed_is_unknown,
    a_session_ends_at_the_instant_of_its_idle_timeout,
    a_session_ends_at_the_instant_of_its_absolute_timeout,
);

async fn a_digest_never_filed_is_unknown(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let never_filed = fixtures.anonymous();
    store.file(&fixtures.anonymous()).await;
    assert_eq!(store.look_up(never_filed.digest, T0).await, Lookup::Unknown);
}

async fn a_session_ends_at_the_instant_of_its_idle_timeout(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file(&filing).await;
    let over = Lookup::Ended(filing.tombstone(IdleTimeout, at(1_000)));
    for (now, expected) in [
        (at(0), Lookup::Live(filing.live())),
        (at(999), Lookup::Live(filing.live())),
        (at(1_000), over.clone()),
        (at(1_001), over.clone()),
        (at(5_999), over),
    ] {
        assert_eq!(store.look_up(filing.digest, now).await, expected, "at {now}");
    }
}

async fn a_session_ends_at_the_instant_of_its_absolute_timeout(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).anonymous().with_absolute_at(at(700)));
    store.file(&filing).await;
    let over = Lookup::Ended(filing.tombstone(AbsoluteTimeout, at(700)));
    let table: [(Timestamp, Lookup); 3] =
        [(at(699), Lookup::Live(filing.live())), (at(700), over.clone()), (at(701), over)];
    for (now, expected) in table {
        assert_eq!(store.look_up(filing.digest, now).await, expected, "at {now}");
    }
}
