//! Keys are exchanged under living sessions.

use cloakroom::{Activity, EventKind, SessionError, Validation};
use cloakroom_store::SealError;

use super::support::Pair;
use crate::support::{IDLE, MILLI, TOUCH, World};

async fn replaced(node: &World, token: &cloakroom::SessionToken) -> cloakroom::SessionToken {
    let looked = node.sessions.validate(token, Activity::Ignored).await.unwrap();
    let Validation::Active(session) = looked else { panic!("it lives") };
    let text = session.replacement().expect("its key is stale").expose();
    cloakroom::SessionToken::parse(text.as_str().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_token_of_an_older_key_is_sealed_anew_at_the_next_request_and_nobody_is_signed_out() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.site.drawers.exchange_key();
    pair.pass(MILLI);
    let newer = replaced(&pair.there, &issued.token).await;
    let same = pair.there.active(&newer).await;
    assert_eq!(
        same.last_seen_at(),
        issued.session.last_seen_at(),
        "a look is no activity, whatever is sealed"
    );
    assert_eq!(same.digest(), issued.session.digest(), "what is bound to the session stays bound");
    pair.site.drawers.forget_older_keys();
    assert!(pair.here.is_active(&newer).await);
    pair.here.ears.events();
    assert_eq!(pair.here.look(&issued.token).await, Validation::Unknown);
    assert_eq!(pair.here.ears.kinds(), [EventKind::UnknownToken]);
}

#[tokio::test]
async fn without_a_key_sessions_live_on_and_none_is_begun() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.site.drawers.lose_key(true);
    pair.pass(TOUCH);
    let Validation::Active(session) = pair.here.validate(&issued.token).await else { panic!("it lives") };
    assert!(session.replacement().is_none());
    assert_eq!(session.last_seen_at(), issued.session.last_seen_at(), "nothing is said that is not sealed");
    let refused = pair.here.sessions.issue(pair.here.wish("bob")).await.unwrap_err();
    assert!(matches!(refused, SessionError::Seal(SealError::NoKey)) && refused.is_unavailable());
    pair.site.drawers.lose_key(false);
    let Validation::Active(session) = pair.here.validate(&issued.token).await else { panic!("it lives") };
    assert!(session.replacement().is_some());
    pair.pass(IDLE - TOUCH);
    assert!(!pair.here.is_active(&issued.token).await);
    assert!(pair.here.is_active(session.replacement().unwrap()).await);
}

#[tokio::test]
async fn while_nobody_knows_whether_there_is_a_key_for_a_token_its_client_keeps_it() {
    let pair = Pair::new();
    let issued = pair.here.sign_in("alice").await;
    pair.site.drawers.hang(true);
    let error = pair.here.sessions.validate(&issued.token, Activity::Counts).await.unwrap_err();
    assert!(error.is_unavailable() && error.retry_after().is_some(), "{error}");
    pair.site.drawers.hang(false);
    assert!(pair.here.is_active(&issued.token).await);
}
