//! The list loses what it had: nothing comes back that this node, or another, knew to be over.

use std::sync::Arc;

use cloakroom::{Activity, EndReason, Renewal, Renewed, Validation};
use cloakroom_store::{Place, Reading, RevocationList as _};
use tokio::task::JoinHandle;

use super::support::{LEASE, Pair, end, end_all_of};
use crate::support::World;

fn keep_up(node: &World) -> JoinHandle<()> {
    let sessions = node.sessions.clone();
    tokio::spawn(async move { sessions.upkeep(std::future::pending()).await })
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lost_everything_is_told_again_and_nobody_comes_back() {
    let pair = Pair::new();
    let (ended, changed, renewed) =
        (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await, pair.there.sign_in("carol").await);
    end(&pair.here, &ended.session).await;
    end_all_of(&pair.here, "bob", None).await;
    let Renewed::Done { token, .. } =
        pair.there.sessions.rotate(&renewed.session, Renewal::new()).await.unwrap()
    else {
        panic!("it lives")
    };
    let after = pair.here.sign_in("bob").await;
    pair.read().await;
    pair.wire.lose_everything();
    pair.pass(LEASE);
    for node in [&pair.here, &pair.there] {
        assert_eq!(node.end_reason(&ended.token).await, EndReason::Compromised, "what is known stays known");
    }
    let upkeep = [keep_up(&pair.here), keep_up(&pair.there)];
    tokio::time::sleep(LEASE).await;
    upkeep.iter().for_each(JoinHandle::abort);
    let fresh = pair.site.node(&pair.here.clock);
    for node in [&pair.here, &pair.there, &fresh] {
        let authoritative =
            async |token| node.sessions.validate_authoritative(token, Activity::Ignored).await.unwrap();
        assert!(matches!(authoritative(&ended.token).await, Validation::Ended(_)));
        assert!(matches!(authoritative(&changed.token).await, Validation::Ended(_)));
        assert!(matches!(authoritative(&renewed.token).await, Validation::Retired(_)));
        assert!(matches!(authoritative(&token).await, Validation::Active(_)));
    }
    for node in [&pair.here, &pair.there] {
        assert!(
            node.is_active(&after.token).await,
            "who knew of the end is not covered by it under another number"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_vanished_behind_the_place_that_was_read_is_offered_again() {
    let pair = Pair::new();
    let (first, second) = (pair.here.sign_in("alice").await, pair.here.sign_in("bob").await);
    end(&pair.here, &first.session).await;
    pair.read().await;
    let upkeep = keep_up(&pair.here);
    // What the list acknowledges now is lost in a crash, together with nothing that was read before.
    let before = pair.wire.inside();
    let copy = Arc::new(cloakroom_memory::MemoryRevocations::default());
    let Reading::Entries { entries, .. } = before.read(Place::START, 100).await.unwrap() else { panic!() };
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    copy.add(&entries).await.unwrap();
    end(&pair.here, &second.session).await;
    pair.wire.becomes(copy);
    tokio::time::sleep(LEASE).await;
    upkeep.abort();
    pair.pass(LEASE);
    assert_eq!(pair.there.end_reason(&second.token).await, EndReason::Compromised);
}
