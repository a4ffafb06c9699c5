//! Sessions that travel in their tokens: what is different, and what is promised all the same.

mod carried;
mod ended;
mod overtaken;

use std::sync::Arc;
use std::time::Duration;

use axum::routing::{any, get};
use cloakroom::{Attribute, Policy};
use cloakroom_axum::{Rejection, Session, SignedIn};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::sync::Semaphore;

use crate::site::{Kind, Site};

const COUNT: Attribute<u32> = Attribute::new("count");
const NOTE: Attribute<String> = Attribute::new("note");

/// The touch interval of the default policy.
const INTERVAL: Duration = Duration::from_secs(30);

fn site(kind: Kind) -> Site {
    with_routes(Site::of(kind))
}

/// Another node of the same application.
fn beside(site: &Site, kind: Kind) -> Site {
    with_routes(Site::beside(site, kind, Policy::default()))
}

fn with_routes(site: Site) -> Site {
    site.with_sign_in()
        .route("/unused", any(async |_: Session| "nobody asked"))
        .route("/who", any(async |SignedIn(session): SignedIn| session.id().to_string()))
        .route(
            "/read",
            get(async |session: Session| session.get(&COUNT).await.map(|count| format!("{count:?}"))),
        )
        .route("/note", get(async |session: Session| session.get(&NOTE).await.map(Option::unwrap_or_default)))
        .route(
            "/confirm",
            any(async |session: Session| {
                session.confirm().await.map(|session| session.is_some().to_string())
            }),
        )
        .route("/count", any(async |session: Session| session.update(&COUNT, |count| *count += 1).await))
        .route("/nothing-new", any(async |session: Session| session.update(&COUNT, |_| ()).await))
        .route("/rotate", any(async |session: Session| session.rotate().await))
        .route("/sign-out", any(async |session: Session| session.sign_out().await))
        .route("/large", any(async |session: Session| session.set(&NOTE, &"x".repeat(3_500)).await))
        .route(
            "/large-and-rotate",
            any(async |session: Session| -> Result<(), Rejection> {
                session.set(&NOTE, &"x".repeat(3_500)).await?;
                session.rotate().await
            }),
        )
        .route(
            "/public",
            any(async |session: Session| {
                session
                    .get(&COUNT)
                    .await
                    .map(|_| [(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))])
            }),
        )
        .route(
            "/public-count",
            any(async |session: Session| {
                let counted = session.update(&COUNT, |count| *count += 1).await;
                counted.map(|()| [(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))])
            }),
        )
}

/// The same with a route that looks at the session, and answers when it may.
fn with_slow(site: Site, may_answer: &Arc<Semaphore>) -> Site {
    let may_answer = Arc::clone(may_answer);
    site.route(
        "/slow",
        any(async move |session: Session| -> Result<(), Rejection> {
            session.get(&COUNT).await?;
            drop(may_answer.acquire().await);
            Ok(())
        }),
    )
}
