//! An inspector judges who presents a session: the request goes on, has to prove identity again, or the session ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{any, get};
use cloakroom::{
    ActiveSession, Attribute, AuthLevel, Device, EndReason, EventKind, Method, Policy, Timestamp, Validation,
};
use cloakroom_axum::{Inspection, Inspector, Rejection, RequestFacts, Session, SignedIn};
use cloakroom_conformance::Fault;
use cloakroom_store::Verb;
use http::Request;

use crate::site::{Browser, Cookie, Kind, Site, on_both, run};

const CART: Attribute<u32> = Attribute::new("cart");
const HOME: &str = "Firefox at home";

/// Demands a proof of whoever comes with another program than the one proven, and ends the session for `evil`.
#[derive(Debug, Default)]
struct SameProgram {
    asked: AtomicUsize,
}

impl Inspector for SameProgram {
    fn inspect(&self, session: &ActiveSession, request: &RequestFacts, _: Timestamp) -> Inspection {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let present = request.user_agent().map_or("", |value| value.to_str().unwrap());
        let proven = session.device().and_then(Device::user_agent).unwrap_or_default();
        match present {
            "evil" => Inspection::End,
            present if present == proven => Inspection::GoOn,
            _ => Inspection::Demand,
        }
    }
}

fn site(kind: Kind) -> (Site, Arc<SameProgram>) {
    under(kind, Policy::default())
}

fn under(kind: Kind, policy: Policy) -> (Site, Arc<SameProgram>) {
    let inspector = Arc::new(SameProgram::default());
    let prove = async |session: Session| -> Result<String, Rejection> {
        session.require_unproven().await?;
        session.reauthenticate(AuthLevel::One, Method::password()).await?;
        session.save().await?;
        let device = session.require_signed_in().await?.device().cloned();
        Ok(device.and_then(|device| device.user_agent().map(str::to_owned)).unwrap_or_default())
    };
    let site = Site::under(kind, policy)
        .with_sign_in()
        .route("/nothing", get(async || "nothing"))
        .route("/who", get(async |_: SignedIn| "signed in"))
        .route("/optional", get(async |who: Option<SignedIn>| who.is_some().to_string()))
        .route("/active", get(async |session: Session| session.active().await.map(drop)))
        .route("/id", get(async |session: Session| session.id().await.map(drop)))
        .route("/principal", get(async |session: Session| session.principal().await.map(drop)))
        .route("/role", get(async |session: Session| session.require_role("admin").await.map(drop)))
        .route("/confirm", get(async |session: Session| session.confirm().await.map(drop)))
        .route("/get", get(async |session: Session| session.get(&CART).await.map(drop)))
        .route("/set", any(async |session: Session| session.set(&CART, &1).await))
        .route("/rotate", any(async |session: Session| session.rotate().await))
        .route("/roles", any(async |session: Session| session.change_roles(Vec::new()).await))
        .route("/bearer", any(async |session: Session| session.bearer_token().await.map(drop)))
        .route("/watch", get(async |session: Session| session.watch().await.map(drop)))
        .route("/form", get(async |session: Session| session.csrf_token().await.map(drop)))
        .route("/prove", any(prove))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .layered(|layer| layer.inspector(Arc::clone(&inspector)).reauthenticate_at("/prove"));
    (site, inspector)
}

/// Somebody signed in at home.
async fn at_home(site: &Site) -> Browser<'_> {
    let mut browser = site.browser();
    let signed_in = browser.send(from(HOME, "POST", "/sign-in?alice")).await;
    assert!(signed_in.is_set());
    browser
}

fn from(agent: &str, method: &str, target: &str) -> http::request::Builder {
    let request = Request::builder().method(method).uri(target).header("sec-fetch-site", "same-origin");
    request.header("user-agent", agent)
}

#[test]
fn while_a_proof_is_demanded_the_session_is_good_for_nothing_else() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let home = at_home(&site).await;
        for path in [
            "/who",
            "/optional",
            "/active",
            "/id",
            "/principal",
            "/role",
            "/confirm",
            "/get",
            "/set",
            "/rotate",
            "/roles",
            "/bearer",
            "/watch",
        ] {
            let mut elsewhere = home.clone();
            let answer = elsewhere.send(from("curl", "POST", path).method("GET")).await;
            assert_eq!(answer.told(), (403, "reauthentication_required".to_owned()), "{path}");
            assert_eq!(answer.cookie(), Cookie::Untouched, "{path}");
        }
        for path in ["/nothing", "/form"] {
            let mut elsewhere = home.clone();
            assert_eq!(elsewhere.send(from("curl", "GET", path)).await.status, 200, "{path}");
        }
        let mut home = home;
        assert_eq!(home.send(from(HOME, "GET", "/who")).await.status, 200, "at home nothing has changed");
    });
}

#[test]
fn a_browser_is_led_to_the_page_where_identity_is_proved() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let mut elsewhere = at_home(&site).await;
        let answer =
            elsewhere.send(from("curl", "GET", "/who?x=1").header("sec-fetch-mode", "navigate")).await;
        assert_eq!(answer.status, 303);
        assert_eq!(answer.header("location"), Some("/prove?return_to=%2Fwho%3Fx%3D1"));
    });
}

#[test]
fn a_proof_is_remembered_with_its_device_and_the_old_one_has_to_prove_itself_then() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let mut elsewhere = at_home(&site).await;
        let proved = elsewhere.send(from("Phone", "POST", "/prove")).await;
        assert_eq!((proved.status.as_u16(), &*proved.body), (200, "Phone"));
        assert!(proved.is_set(), "another token");
        assert_eq!(elsewhere.send(from("Phone", "GET", "/who")).await.status, 200);
        assert_eq!(elsewhere.send(from(HOME, "GET", "/who")).await.told().1, "reauthentication_required");
    });
}

#[test]
fn whoever_has_to_prove_identity_may_sign_out_and_sign_in_instead() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let home = at_home(&site).await;
        let mut elsewhere = home.clone();
        assert!(elsewhere.send(from("curl", "POST", "/sign-in?alice")).await.is_set());
        assert_eq!(elsewhere.send(from("curl", "GET", "/who")).await.status, 200);
        let mut other = at_home(&site).await;
        assert_eq!(other.send(from("curl", "POST", "/sign-out")).await.cookie(), Cookie::Removed);
    });
}

#[test]
fn a_token_that_is_due_is_not_exchanged_for_whoever_has_to_prove_identity() {
    on_both(async |kind| {
        let policy = Policy::default().with_rotate_every(Some(MINUTE));
        let (site, _) = under(kind, policy);
        let home = at_home(&site).await;
        site.clock.advance(2 * MINUTE);
        let (mut thief, mut home) = (home.clone(), home);
        assert_eq!(thief.send(from("curl", "GET", "/who")).await.cookie(), Cookie::Untouched);
        assert_eq!(thief.send(from("curl", "GET", "/form")).await.cookie(), Cookie::Untouched);
        assert!(home.send(from(HOME, "GET", "/who")).await.is_set());
    });
}

#[test]
fn a_session_that_is_judged_over_ends_with_its_cookie_and_for_everybody() {
    run(async {
        let (site, _) = site(Kind::Stored);
        let home = at_home(&site).await;
        site.asked();
        let mut thief = home.clone();
        let answer = thief.send(from("evil", "GET", "/who")).await;
        assert_eq!(site.asked(), [Verb::Get, Verb::End]);
        assert_eq!(answer.told(), (401, "session_ended".to_owned()));
        assert_eq!(answer.problem()["end_reason"], "compromised");
        assert_eq!(answer.cookie(), Cookie::Removed);
        assert_eq!(site.seen.count(EventKind::Ended(EndReason::Compromised)), 1);
        let Validation::Ended(tombstone) = home.standing().await else { panic!("it is over") };
        assert_eq!(tombstone.reason, EndReason::Compromised);
    });
}

#[test]
fn an_open_stream_survives_a_demand_and_not_an_end() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let mut home = at_home(&site).await;
        let Validation::Active(session) = home.standing().await else { panic!("it lives") };
        let watch = site.sessions.watch_session(&session);
        tokio::pin!(watch);
        home.send(from("curl", "GET", "/who")).await;
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(watch.as_mut().poll(cx).is_pending())).await
        );
        home.send(from("evil", "GET", "/who")).await;
        assert_eq!(watch.await.as_str(), "compromised");
    });
}

#[test]
fn a_store_that_cannot_end_a_session_lets_nobody_in_with_it() {
    run(async {
        let (site, _) = site(Kind::Stored);
        let home = at_home(&site).await;
        site.faults.script(Verb::End, Fault::FailBefore);
        let mut thief = home.clone();
        let answer = thief.send(from("evil", "GET", "/who")).await;
        assert_eq!(answer.told(), (503, "store_unavailable".to_owned()));
        assert_eq!(answer.cookie(), Cookie::Untouched);
        assert!(home.is_alive().await);
        assert_eq!(
            thief.send(from("evil", "GET", "/who")).await.told().1,
            "session_ended",
            "the next one ends it"
        );
    });
}

#[test]
fn a_request_is_judged_once_and_without_another_round_trip() {
    run(async {
        let (site, inspector) = site(Kind::Stored);
        let mut home = at_home(&site).await;
        site.asked();
        home.send(from(HOME, "GET", "/nothing")).await;
        assert_eq!(inspector.asked.load(Ordering::Relaxed), 0, "nobody asked for the session");
        home.send(from(HOME, "GET", "/who")).await;
        assert_eq!((inspector.asked.load(Ordering::Relaxed), site.asked()), (1, vec![Verb::Get]));
        home.send(from(HOME, "GET", "/confirm")).await;
        assert_eq!((inspector.asked.load(Ordering::Relaxed), site.asked()), (2, vec![Verb::Get]));
    });
}

#[test]
fn nothing_is_demanded_of_a_session_of_nobody() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let mut visitor = site.browser();
        assert!(visitor.send(from(HOME, "POST", "/set")).await.is_set());
        assert_eq!(visitor.send(from("curl", "GET", "/get")).await.status, 200);
    });
}

#[test]
fn a_dead_token_is_told_of_with_the_device_that_used_it_and_since_when_it_is_dead() {
    on_both(async |kind| {
        let (site, _) = site(kind);
        let mut browser = site.browser();
        browser.send(from(HOME, "POST", "/sign-in?alice")).await;
        let mut stale = browser.clone();
        browser.send(from(HOME, "POST", "/rotate")).await;
        let exchanged_at = site.sessions.now();
        let mut ended = browser.clone();
        site.clock.advance(MINUTE);
        stale.send(from("curl/8", "GET", "/who")).await;
        browser.send(from(HOME, "POST", "/sign-out")).await;
        ended.send(from("curl/8", "GET", "/who")).await;
        ended.cookie = Some(format!("cr1_{}", "A".repeat(46)));
        ended.send(from("curl/8", "GET", "/who")).await;
        let told = |kind: EventKind| {
            let event = site.seen.first(kind);
            (event.device.as_ref().and_then(Device::user_agent).map(str::to_owned), event.since)
        };
        let curl = Some("curl/8".to_owned());
        assert_eq!(told(EventKind::RetiredTokenUsed), (curl.clone(), Some(exchanged_at)));
        assert_eq!(told(EventKind::UsedAfterEnd(EndReason::SignedOut)).0, curl);
        assert_eq!(told(EventKind::UnknownToken), (curl, None));
    });
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
