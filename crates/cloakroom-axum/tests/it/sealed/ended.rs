//! Sessions that nobody keeps end all the same, where there is a list.

use std::time::Duration;

use axum::routing::any;
use cloakroom::{ActiveSession, EndReason, Revocation, Selector, Timestamp, Validation};
use cloakroom_axum::{Inspection, Inspector, Rejection, RequestFacts, Session};
use cloakroom_store::Scope;

use super::{COUNT, INTERVAL, beside, site};
use crate::site::{Cookie, Kind, run};

#[test]
fn what_was_exchanged_or_ended_on_one_node_is_refused_by_another() {
    run(async {
        for (path, told) in [
            ("/rotate", "session_unknown"),
            ("/sign-out", "session_ended"),
            ("/sign-in?bob", "session_ended"),
        ] {
            let here = site(Kind::Sealed);
            let mut browser = here.browser();
            browser.post("/sign-in?alice").await;
            let copy = browser.clone();
            assert_eq!(browser.post(path).await.status, 200, "{path}");
            assert_eq!(copy.clone().post("/who").await.told(), (401, told.into()), "{path}");

            let there = beside(&here, Kind::Sealed);
            let mut elsewhere = there.browser();
            elsewhere.cookie = copy.cookie.clone();
            let answer = elsewhere.post("/who").await;
            assert_eq!(answer.told(), (401, told.into()), "{path} on the other node");
            if let Some(cookie) = browser.cookie {
                elsewhere.cookie = Some(cookie);
                assert_eq!(elsewhere.post("/who").await.status, 200, "{path}: the new token lives");
            }
        }
    });
}

#[test]
fn who_signs_out_with_a_token_that_was_exchanged_ends_the_session_for_as_long_as_it_could_live() {
    run(async {
        let here = site(Kind::Sealed);
        let mut browser = here.browser();
        browser.post("/sign-in?alice").await;
        let mut copy = browser.clone();
        assert_eq!(browser.post("/rotate").await.status, 200);
        let lives_until = here.sessions.now().plus(cloakroom::Policy::default().timeouts().absolute);
        assert_eq!(copy.post("/sign-out").await.status, 200);
        assert_eq!(browser.post("/who").await.told(), (401, "session_ended".into()));
        let entries = here.list.entries().await;
        let ends: Vec<_> = entries.iter().filter(|entry| matches!(entry.scope, Scope::Session(_))).collect();
        let [end] = ends[..] else { panic!("one session: {entries:?}") };
        assert_eq!((end.reason, end.until), (EndReason::SignedOut, lives_until));
    });
}

#[test]
fn a_route_that_wants_the_lists_own_word_refuses_at_once_what_another_node_ended() {
    run(async {
        let here = site(Kind::Sealed);
        let there = beside(&here, Kind::Sealed);
        let mut browser = here.browser();
        browser.post("/sign-in?alice").await;
        let mut elsewhere = there.browser();
        elsewhere.cookie = browser.cookie.clone();
        assert_eq!(elsewhere.post("/confirm").await.body, "true", "this node knows the list now");
        let all =
            Selector::Principal { principal: crate::site::principal("alice").id().clone(), except: None };
        here.sessions.revoke(&all, Revocation::by_system(EndReason::RevokedByAdmin)).await.unwrap();
        assert_eq!(elsewhere.post("/confirm").await.body, "false");
        assert_eq!(elsewhere.cookie, None, "and the cookie is taken back");
    });
}

#[test]
fn what_was_read_from_memory_and_sealed_anew_is_confirmed_by_the_list_all_the_same() {
    run(async {
        let here = site(Kind::Sealed);
        let there = beside(&here, Kind::Sealed)
            .route("/read-and-confirm", any(read_and_confirm))
            .route("/count-and-confirm", any(count_and_confirm));
        for path in ["/read-and-confirm", "/count-and-confirm"] {
            let mut browser = here.browser();
            browser.post("/sign-in?alice").await;
            here.clock.advance(INTERVAL);
            let mut elsewhere = there.browser();
            elsewhere.cookie = browser.cookie.clone();
            // The copy of the list is as new as can be, and what follows is not in it yet.
            let mut watcher = there.browser();
            watcher.post("/sign-in?bob").await;
            watcher.get("/read").await;
            assert_eq!(browser.post("/sign-out").await.status, 200);
            let answer = elsewhere.post(path).await;
            assert_eq!((answer.body.as_str(), answer.cookie()), ("true false", Cookie::Removed), "{path}");
        }
    });
}

/// Whether there is a session by this node's memory, and whether there is by the list.
async fn read_and_confirm(session: Session) -> Result<String, Rejection> {
    let read = session.active().await?.is_some();
    Ok(format!("{read} {}", session.confirm().await?.is_some()))
}

async fn count_and_confirm(session: Session) -> Result<String, Rejection> {
    session.update(&COUNT, |count| *count += 1).await?;
    session.save().await?;
    read_and_confirm(session).await
}

#[test]
fn while_the_list_cannot_be_asked_nobody_is_let_in_and_no_cookie_changes() {
    run(async {
        let here = site(Kind::Sealed);
        let mut browser = here.browser();
        browser.post("/sign-in?alice").await;
        let before = browser.cookie.clone();
        let mut other = here.browser();
        other.post("/sign-in?bob").await;
        here.clock.advance(INTERVAL);
        assert_eq!(other.get("/read").await.status, 200, "the copy is as new as can be");
        here.list.go_down();
        for path in ["/rotate", "/sign-out", "/confirm", "/sign-in?bob"] {
            let answer = browser.post(path).await;
            assert_eq!(answer.told(), (503, "store_unavailable".into()), "{path}");
            assert_eq!(answer.cookie(), Cookie::Untouched, "{path}");
        }
        // For a lease this node goes by its copy, and one that has none yet by nothing.
        assert_eq!(other.get("/read").await.status, 200);
        let there = beside(&here, Kind::Sealed);
        let mut elsewhere = there.browser();
        elsewhere.cookie = before.clone();
        for path in ["/who", "/count", "/nothing-new", "/large"] {
            let answer = elsewhere.post(path).await;
            assert_eq!(
                (answer.told(), answer.cookie()),
                ((503, "store_unavailable".into()), Cookie::Untouched),
                "{path}"
            );
        }
        here.clock.advance(Duration::from_secs(1));
        for browser in [&mut browser, &mut other] {
            let answer = browser.get("/read").await;
            assert_eq!(answer.told(), (503, "store_unavailable".into()), "the lease is over");
            assert_eq!(answer.cookie(), Cookie::Untouched);
        }
        assert_eq!(browser.cookie, before);
        here.list.heal();
        // A reading that has failed is not repeated at once.
        here.clock.advance(Duration::from_secs(1));
        assert_eq!(elsewhere.post("/who").await.status, 200);
        assert!(matches!(browser.standing().await, Validation::Active(_)), "nobody was signed out");
    });
}

#[test]
fn without_a_list_a_sign_out_takes_the_cookie_back_and_a_copy_lives_on() {
    run(async {
        let site = site(Kind::Listless);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let mut copy = browser.clone();
        let answer = browser.post("/sign-out").await;
        assert_eq!((answer.status.as_u16(), answer.cookie()), (200, Cookie::Removed));
        assert_eq!(copy.get("/who").await.status, 200, "this is what a list is for");
        browser.post("/sign-in?alice").await;
        let mut before = browser.clone();
        assert!(browser.post("/rotate").await.is_set());
        assert_eq!(before.get("/who").await.status, 200, "and this");
    });
}

/// Judges so of whoever says with what program.
#[derive(Debug)]
struct OfStrangers(Inspection);

impl Inspector for OfStrangers {
    fn inspect(&self, _: &ActiveSession, request: &RequestFacts, _: Timestamp) -> Inspection {
        if request.user_agent().is_some() { self.0 } else { Inspection::GoOn }
    }
}

#[test]
fn without_a_list_what_is_judged_over_is_refused_and_its_cookie_taken_back() {
    run(async {
        let site = site(Kind::Listless).layered(|layer| layer.inspector(OfStrangers(Inspection::End)));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let answer = browser.send(http::Request::get("/who").header("user-agent", "evil")).await;
        assert_eq!((answer.told(), answer.cookie()), ((401, "session_ended".into()), Cookie::Removed));
        assert_eq!(answer.problem()["end_reason"], "compromised");
    });
}

#[test]
fn a_thief_of_whom_a_proof_is_demanded_does_not_keep_the_session_alive() {
    run(async {
        let judge = OfStrangers(Inspection::Demand);
        let form = any(async |session: Session| session.csrf_token().await.map(drop));
        let site = site(Kind::Sealed).route("/form", form).layered(|layer| layer.inspector(judge));
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        site.clock.advance(INTERVAL);
        for path in ["/who", "/form"] {
            let answer = browser.send(http::Request::get(path).header("user-agent", "thief")).await;
            assert_eq!(answer.cookie(), Cookie::Untouched, "{path}");
        }
        assert!(browser.get("/who").await.is_set(), "its owner does");
    });
}
