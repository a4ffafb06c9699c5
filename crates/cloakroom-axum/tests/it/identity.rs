//! Extractors and route layers: who gets in.

use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use cloakroom::{AuthLevel, FreshnessDemand, Method, OnLimit, Policy, Role, SessionLimit};
use cloakroom_axum::{
    CurrentPrincipal, Fresh, FreshnessRule, HasRole, Rejection, RoleName, Session, SignedIn, require_fresh,
    require_role, require_signed_in,
};
use tower::ServiceExt as _;

use crate::site::{Answer, Kind, Site, on_both, run};

struct Admin;
impl RoleName for Admin {
    const NAME: &'static str = "admin";
}

struct FiveMinutes;
impl FreshnessRule for FiveMinutes {
    fn demand() -> FreshnessDemand {
        FreshnessDemand::within(Duration::from_secs(300))
    }
}

struct StrongProof;
impl FreshnessRule for StrongProof {
    fn demand() -> FreshnessDemand {
        FreshnessDemand::within(Duration::from_secs(300))
            .at_level(AuthLevel::Two)
            .by(Method::new("totp").unwrap())
    }
}

const GUARDED: [&str; 4] = ["signed-in", "principal", "role", "fresh"];

fn site_under(kind: Kind, policy: Policy) -> Site {
    let ok = || get(async || "in");
    Site::under(kind, policy)
        .with_sign_in()
        .route("/extract/signed-in", get(async |_: SignedIn| "in"))
        .route(
            "/extract/principal",
            get(async |CurrentPrincipal(who): CurrentPrincipal| {
                assert!(!who.id().as_str().is_empty());
                "in"
            }),
        )
        .route(
            "/extract/role",
            get(async |admin: HasRole<Admin>| {
                assert!(admin.session().principal().unwrap().has_role("admin"));
                "in"
            }),
        )
        .route(
            "/extract/fresh",
            get(async |fresh: Fresh<FiveMinutes>| {
                assert!(fresh.session().principal().is_some());
                "in"
            }),
        )
        .route("/extract/strong", get(async |_: Fresh<StrongProof>| "in"))
        .route("/layer/signed-in", ok().layer(require_signed_in()))
        .route("/layer/principal", ok().layer(require_signed_in()))
        .route("/layer/role", ok().layer(require_role("admin")))
        .route("/layer/fresh", ok().layer(require_fresh(FiveMinutes::demand())))
        .route("/optional", get(async |who: Option<SignedIn>| who.is_some().to_string()))
        .route(
            "/anonymous",
            any(async |session: Session| session.set(&cloakroom::Attribute::new("a"), &1).await),
        )
        .route(
            "/password",
            any(async |session: Session| session.reauthenticate(AuthLevel::One, Method::password()).await),
        )
        .route(
            "/totp",
            any(async |session: Session| {
                session.reauthenticate(AuthLevel::Two, Method::new("totp").unwrap()).await
            }),
        )
        .route("/demote", any(async |session: Session| session.change_roles(Vec::new()).await))
        .route(
            "/promote",
            any(async |session: Session| session.change_roles(vec![Role::new("admin").unwrap()]).await),
        )
}

fn site(kind: Kind) -> Site {
    site_under(kind, Policy::default())
}

#[test]
fn extractors_and_layers_let_the_same_people_in() {
    on_both(async |kind| {
        let site = site(kind);
        let nobody = site.browser();
        let mut anonymous = site.browser();
        anonymous.post("/anonymous").await;
        let mut alice = site.browser();
        alice.post("/sign-in?alice").await;
        let mut root = site.browser();
        root.post("/sign-in?root").await;
        let missing = "401 session_missing";
        for (who, mut browser, expected) in [
            ("nobody", nobody, [missing; 4]),
            ("anonymous", anonymous, [missing; 4]),
            ("alice", alice, ["200 ", "200 ", "403 forbidden", "200 "]),
            ("root", root, ["200 "; 4]),
        ] {
            for (kind, expected) in GUARDED.iter().zip(expected) {
                for way in ["extract", "layer"] {
                    let (status, code) = browser.get(&format!("/{way}/{kind}")).await.told();
                    assert_eq!(format!("{status} {code}"), expected, "{who} {way} {kind}");
                }
            }
            assert_eq!(
                browser.get("/optional").await.body,
                expected[0].starts_with("200").to_string(),
                "{who}"
            );
        }
    });
}

#[test]
fn a_proof_of_identity_is_fresh_until_its_instant_and_can_be_renewed() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?alice").await;
        let stale = (403, "reauthentication_required".to_owned());
        for (advance, expected) in [(299_999, (200, String::new())), (1, stale.clone())] {
            site.clock.advance(Duration::from_millis(advance));
            for path in ["/extract/fresh", "/layer/fresh"] {
                assert_eq!(browser.get(path).await.told(), expected, "{path} after {advance}");
            }
        }
        let before = browser.clone();
        browser.post("/password").await;
        assert_ne!(browser.cookie, before.cookie, "proving identity again changes the token");
        assert!(!before.is_alive().await);
        assert_eq!(browser.get("/extract/fresh").await.status, 200);
        assert_eq!(browser.get("/extract/strong").await.told(), stale);
        browser.post("/totp").await;
        assert_eq!(browser.get("/extract/strong").await.status, 200);
    });
}

#[test]
fn nobody_who_is_not_signed_in_can_prove_identity_again() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/anonymous").await;
        for path in ["/password", "/demote", "/promote"] {
            assert_eq!(browser.post(path).await.told(), (401, "session_missing".into()), "{path}");
        }
    });
}

#[test]
fn a_change_of_roles_changes_the_token_and_holds_from_the_next_request() {
    on_both(async |kind| {
        let site = site(kind);
        let mut browser = site.browser();
        browser.post("/sign-in?root").await;
        for (change, status) in [("/demote", 403), ("/promote", 200)] {
            let before = browser.clone();
            browser.post(change).await;
            assert_ne!(browser.cookie, before.cookie, "{change}");
            assert!(!before.is_alive().await, "{change}");
            assert_eq!(browser.get("/extract/role").await.status, status, "{change}");
        }
    });
}

#[test]
fn a_sign_in_over_the_limit_is_refused_and_changes_nothing() {
    run(async {
        let limit = SessionLimit { max: 1.try_into().unwrap(), on_limit: OnLimit::Refuse };
        let site = site_under(Kind::Stored, Policy::default().with_limit(Some(limit)));
        let mut first = site.browser();
        first.post("/sign-in?alice").await;
        let mut second = site.browser();
        second.post("/anonymous").await;
        let before = second.cookie.clone();
        assert_eq!(second.post("/sign-in?alice").await.told(), (409, "session_limit".into()));
        assert_eq!(second.cookie, before);
        assert!(first.is_alive().await && second.is_alive().await);
        assert_eq!(first.post("/sign-in?alice").await.status, 200, "its own place is free for it");
    });
}

#[test]
fn a_route_without_the_layer_says_so_in_the_log_and_not_to_the_client() {
    run(async {
        let routes: Router = Router::new()
            .route("/extract", get(async |_: Session| "in"))
            .route("/layer", get(async || "in").layer(require_signed_in()));
        for path in ["/extract", "/layer"] {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            let answer = Answer::of(routes.clone().oneshot(request).await.unwrap()).await;
            assert_eq!(answer.told(), (500, "internal_error".into()));
            assert!(!answer.body.contains("SessionLayer"));
        }
    });
}

#[test]
fn a_session_is_issued_to_the_device_that_asked() {
    on_both(async |kind| {
        let site = site(kind).layered(|layer| {
            layer.trusted_proxies(cloakroom_axum::TrustedProxies::parse(["10.0.0.0/8"]).unwrap())
        });
        let mut browser = site.browser();
        let request = http::Request::post("/sign-in?alice")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.9")
            .header("sec-fetch-site", "same-origin")
            .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from(([10, 0, 0, 1], 4711))));
        browser.send(request).await;
        let cloakroom::Validation::Active(session) = browser.standing().await else { panic!("it is alive") };
        let device = session.device().unwrap();
        assert_eq!(device.label(), Some("Firefox on Linux"));
        assert_eq!(device.ip().unwrap().to_string(), "203.0.113.9");
    });
}

#[test]
fn rejections_are_passed_on_by_handlers() {
    on_both(async |kind| {
        let site = Site::of(kind).route(
            "/own",
            get(async |session: Session| -> Result<String, Rejection> {
                Ok(session.require_signed_in().await?.id().to_string())
            }),
        );
        assert_eq!(site.browser().get("/own").await.told(), (401, "session_missing".into()));
    });
}
