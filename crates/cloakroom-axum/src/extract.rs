//! Extractors: who may call a handler stands in its signature.

use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::extract::{Form, FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use cloakroom::{ActiveSession, FreshnessDemand, Principal};
use cloakroom_http::csrf;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::{Misuse, Rejection, Session};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(parts.extensions.get::<Self>().ok_or(Misuse::NoLayer)?.clone())
    }
}

/// The session of somebody who is signed in, as it is now. `Option<SignedIn>` where a handler serves others too: it is
/// `None` for them, and still a refusal where nobody could find out.
#[derive(Clone, Debug)]
pub struct SignedIn(pub ActiveSession);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Session::from_request_parts(parts, state).await?.require_signed_in().await.map(Self)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for SignedIn {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Rejection> {
        let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(session.active().await?.filter(|session| session.principal().is_some()).map(Self))
    }
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub struct CurrentPrincipal(pub Principal);

impl<S: Sync> FromRequestParts<S> for CurrentPrincipal {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let SignedIn(session) = <SignedIn as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        session.principal().cloned().map(Self).ok_or(Rejection::Missing)
    }
}

/// The name of a role, as a type.
pub trait RoleName {
    /// The role.
    const NAME: &'static str;
}

/// The session of somebody who has the role `R`.
///
/// ```
/// use cloakroom_axum::{HasRole, RoleName};
///
/// struct Admin;
/// impl RoleName for Admin {
///     const NAME: &'static str = "admin";
/// }
///
/// async fn users(admin: HasRole<Admin>) -> String {
///     format!("asked by {:?}", admin.session().principal())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct HasRole<R> {
    session: ActiveSession,
    role: PhantomData<fn() -> R>,
}

impl<R> HasRole<R> {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &ActiveSession {
        &self.session
    }
}

impl<S: Sync, R: RoleName> FromRequestParts<S> for HasRole<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let session = Session::from_request_parts(parts, state).await?.require_role(R::NAME).await?;
        Ok(Self { session, role: PhantomData })
    }
}

/// What a sensitive action demands of the proof of identity, as a type.
pub trait FreshnessRule {
    /// The demand.
    fn demand() -> FreshnessDemand;
}

/// The session of somebody who proved identity as `D` demands.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::FreshnessDemand;
/// use cloakroom_axum::{Fresh, FreshnessRule};
///
/// struct FiveMinutes;
/// impl FreshnessRule for FiveMinutes {
///     fn demand() -> FreshnessDemand {
///         FreshnessDemand::within(Duration::from_secs(300))
///     }
/// }
///
/// async fn change_password(_: Fresh<FiveMinutes>) {}
/// ```
#[derive(Clone, Debug)]
pub struct Fresh<D> {
    session: ActiveSession,
    rule: PhantomData<fn() -> D>,
}

impl<D> Fresh<D> {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &ActiveSession {
        &self.session
    }
}

impl<S: Sync, D: FreshnessRule> FromRequestParts<S> for Fresh<D> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let session = Session::from_request_parts(parts, state).await?.require_fresh(&D::demand()).await?;
        Ok(Self { session, rule: PhantomData })
    }
}

/// A form whose CSRF token was made for the session that sends it, in the field `csrf_token` or the header
/// `X-CSRF-Token`; the token comes from [`Session::csrf_token`].
///
/// # Security
/// Where there is no session there is nothing to protect and no token to check: such a form is refused with
/// [`Rejection::Missing`]. A sign-in form is guarded by the layer's origin guard instead.
#[derive(Clone, Copy, Debug)]
pub struct CsrfForm<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for CsrfForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let session = request.extensions().get::<Session>().cloned();
        let session = session.ok_or_else(|| Rejection::from(Misuse::NoLayer).into_response())?;
        let (parts, body) = request.into_parts();
        let body = Request::from_parts(parts.clone(), body);
        let body = Bytes::from_request(body, state).await.map_err(IntoResponse::into_response)?;
        let presented = csrf::in_header(&parts.headers).map(Into::into).or_else(|| csrf::in_form(&body));
        session.verify_csrf(presented.as_deref()).await.map_err(IntoResponse::into_response)?;
        let form = Request::from_parts(parts, Body::from(body.clone()));
        let Form(form) = Form::from_request(form, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(form))
    }
}
