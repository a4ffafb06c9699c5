//! The services: the layer's own, and the one that guards routes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::Request;
use pin_project_lite::pin_project;
use tower::Service;

use crate::config::Config;
use crate::rejection::Rejected;
use crate::require::Rule;
use crate::session::Session;
use crate::{Rejection, RequestFacts};

/// What [`SessionLayer`](crate::SessionLayer) makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let facts = RequestFacts::of(&request, &self.config.proxies);
        let state = match self.config.admit(&request, &facts) {
            Ok(found) => {
                let session = Session::new(Arc::clone(&self.config), facts, found);
                request.extensions_mut().insert(session.clone());
                State::Running { inner: self.inner.call(request), session }
            }
            Err(rejection) => {
                let restyled = self.config.restyled(&rejection, &facts);
                State::Answered { response: Some(restyled.unwrap_or_else(|| rejection.into_response())) }
            }
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The response of a [`SessionService`]: it is complete once the session's changes are written.
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Answered { response: Option<Response> },
        Running { #[pin] inner: F, session: Session },
        Writing { written: Pin<Box<dyn Future<Output = Response> + Send>> },
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            let next = match this.state.as_mut().project() {
                StateProjection::Answered { response } => {
                    return Poll::Ready(Ok(response
                        .take()
                        .expect("a future is not polled after its answer")));
                }
                StateProjection::Writing { written } => {
                    State::Answered { response: Some(ready!(written.as_mut().poll(cx))) }
                }
                StateProjection::Running { inner, session } => {
                    let mut response = ready!(inner.poll(cx))?.into_response();
                    if session.finish_at_once(&mut response) {
                        State::Answered { response: Some(response) }
                    } else {
                        let session = session.clone();
                        State::Writing { written: Box::pin(async move { session.finish(response).await }) }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The refusal that `response` is, where it is one.
pub(crate) fn refusal(response: &Response) -> Option<Arc<Rejection>> {
    response.extensions().get::<Rejected>().map(|rejected| Arc::clone(&rejected.0))
}

/// What [`RequireLayer`](crate::RequireLayer) makes of a service: it is reached only by requests that meet the rule.
#[derive(Clone, Debug)]
pub struct GuardService<S> {
    inner: S,
    rule: Arc<Rule>,
}

impl<S> GuardService<S> {
    pub(crate) fn new(inner: S, rule: Arc<Rule>) -> Self {
        Self { inner, rule }
    }
}

impl<S, B> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone was not polled ready; the original was (tower's rule for services that answer later).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let rule = Arc::clone(&self.rule);
        Box::pin(async move {
            match rule.check(request.extensions()).await {
                Ok(()) => inner.call(request).await.map(IntoResponse::into_response),
                Err(rejection) => Ok(rejection.into_response()),
            }
        })
    }
}
