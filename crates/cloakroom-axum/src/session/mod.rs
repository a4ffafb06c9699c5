//! The handle by which a handler reads and changes its session.

mod absence;
mod demands;
mod ending;
mod finish;
mod held;
mod sign_in;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom::{
    ActiveSession, Activity, Attribute, AuthLevel, Changes, Device, Method, Principal, Role, SessionError,
    SessionId, Sessions, Timestamp,
};
use cloakroom_core::TokenText;
use cloakroom_http::Found;
use cloakroom_http::csrf::{self, CsrfToken};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};

use crate::config::Config;
use crate::{Rejection, RequestFacts};

use held::Held;
pub use sign_in::SignIn;
use state::State;

/// A request's session, whether there is one or not. Clones are the same session.
///
/// Nothing is looked up before the first question. Changes are made on a copy, which later questions of the same
/// request see, and written when the response is about to leave: all of them, or the response fails.
///
/// # Errors
/// Every question can fail with [`Rejection::Unavailable`] (nobody knows), with [`Rejection::Conflicting`] where the
/// request names several sessions, and with [`Rejection::ReauthenticationRequired`] where an
/// [`Inspector`](crate::Inspector) demands it. A change fails with [`Rejection::Changed`] where the request came with a token that
/// a sibling request has exchanged: it would otherwise start a second session in the place of the first.
///
/// # Cost
/// The first question reads the session: one round trip; none where the near cache remembers it, or for a store in
/// memory. Writing is one more, whatever the
/// number of changes; none where nothing changed.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<Config>,
    facts: RequestFacts,
    not_activity: AtomicBool,
    state: Mutex<State>,
}

impl Session {
    pub(crate) fn new(config: Arc<Config>, facts: RequestFacts, found: Found) -> Self {
        let state = Mutex::new(State::new(found));
        Self { shared: Arc::new(Shared { config, facts, not_activity: AtomicBool::new(false), state }) }
    }

    /// The engine, to list and end other sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.shared.config.sessions
    }

    /// The instant by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.sessions().now()
    }

    /// From where this request comes, as a session issued for it would remember it. Not where the session was issued to.
    #[must_use]
    pub fn device(&self) -> Device {
        self.shared.device()
    }

    /// The session as it was read, or as it is after a sign-in or a [`save`](Self::save); `None` where there is none.
    ///
    /// # Errors
    /// As described for [`Session`]; the same holds for all its methods.
    pub async fn active(&self) -> Result<Option<ActiveSession>, Rejection> {
        let state = self.loaded().await?;
        Ok(state.active().cloned())
    }

    /// The session by the store's own word, whatever this node remembers of it; `None` where there is none.
    ///
    /// Once a request: later questions are answered by what the store said.
    ///
    /// # Errors
    /// See [`Session`].
    ///
    /// # Security
    /// A session whose end was acknowledged before this was called, on whichever node, is absent. Without this an end on
    /// another node is noticed within a lease, and normally within milliseconds.
    ///
    /// # Cost
    /// One round trip; none for a store in memory.
    pub async fn confirm(&self) -> Result<Option<ActiveSession>, Rejection> {
        let mut state = self.shared.state.lock().await;
        state.confirm(&self.shared).await?;
        state.ensure_proven()?;
        Ok(state.active().cloned())
    }

    /// The session, its token settled, whoever it is for; why there is none, where there is none.
    pub(crate) async fn present(&self) -> Result<ActiveSession, Rejection> {
        let mut state = self.loaded().await?;
        if !state.begun {
            state.settle_token(&self.shared).await?;
        }
        state.active().cloned().ok_or_else(|| state.absence())
    }

    /// The public name of the session.
    ///
    /// # Errors
    /// See [`Session`].
    pub async fn id(&self) -> Result<Option<SessionId>, Rejection> {
        Ok(self.active().await?.map(|session| session.id()))
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// See [`Session`].
    pub async fn principal(&self) -> Result<Option<Principal>, Rejection> {
        Ok(self.active().await?.and_then(|session| session.principal().cloned()))
    }

    /// The value of `attribute`, changes of this request included; `None` where there is none.
    ///
    /// # Errors
    /// [`Rejection::Failed`] where the stored value is no `T`; else see [`Session`].
    pub async fn get<T: DeserializeOwned>(&self, attribute: &Attribute<T>) -> Result<Option<T>, Rejection> {
        let state = self.loaded().await?;
        state.attributes().map_or(Ok(None), |attributes| attributes.get(attribute)).map_err(attribute_error)
    }

    /// Gives `attribute` this value. Where there is no session, an anonymous one begins.
    ///
    /// # Errors
    /// [`Rejection::AttributesTooLarge`], and nothing is changed; else see [`Session`].
    pub async fn set<T: Serialize>(&self, attribute: &Attribute<T>, value: &T) -> Result<(), Rejection> {
        self.change(Changes::new().set(attribute, value).map_err(attribute_error)?).await
    }

    /// Removes `attribute`.
    ///
    /// # Errors
    /// See [`Session`].
    pub async fn remove<T>(&self, attribute: &Attribute<T>) -> Result<(), Rejection> {
        self.change(Changes::new().remove(attribute)).await
    }

    /// Changes the value of `attribute`, beginning with the default where there is none. Where there is no session, an
    /// anonymous one begins.
    ///
    /// `change` runs at once, so that later questions see its effect, and again when it is written: on what other
    /// requests have made of the value by then, so that no change is lost, theirs or this (promise G7). It must do
    /// nothing but change the value it is given.
    ///
    /// # Errors
    /// [`Rejection::AttributesTooLarge`], and nothing is changed; else see [`Session`].
    pub async fn update<T, F>(&self, attribute: &Attribute<T>, change: F) -> Result<(), Rejection>
    where
        T: Serialize + DeserializeOwned + Default + 'static,
        F: FnMut(&mut T) + Send + 'static,
    {
        self.change(Changes::new().update(attribute, change)).await
    }

    /// Makes several changes; all of them, or none.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn change(&self, changes: Changes) -> Result<(), Rejection> {
        let mut state = self.loaded().await?;
        state.change(changes, self.sessions().policy().attributes_max_bytes())
    }

    /// Signs somebody in, who has just proved identity: issues a session with a new token, which takes the place of the
    /// present one.
    ///
    /// This happens at once. The client has the new token as soon as the response arrives, whatever its status.
    ///
    /// # Errors
    /// [`Rejection::LimitReached`] where the policy refuses one more session, and nothing has changed; else see
    /// [`Session`].
    ///
    /// # Security
    /// The token that the client presented is not used for anything (G2). Attributes are taken over by name only; of
    /// another principal's session, none.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<ActiveSession, Rejection> {
        let mut state = self.loaded_unproven().await?;
        state.sign_in(sign_in, &self.shared).await
    }

    /// Ends the session, and makes the client forget the token. Where there is no session, nothing happens.
    ///
    /// This happens at once: when it returns, the store and this node refuse the token; every other node does within its
    /// lease (G5). Where sessions travel in their tokens and the engine has no revocation list, the client is made to forget
    /// the token, and that is all: whoever has a copy has the session.
    ///
    /// # Errors
    /// [`Rejection::Unavailable`], or [`Rejection::TooManyEnds`], and nobody is signed out: pass it on, or the user will believe it.
    pub async fn sign_out(&self) -> Result<(), Rejection> {
        let mut state = self.loaded_unproven().await?;
        state.sign_out(&self.shared).await
    }

    /// Gives the session another token, together with all other changes.
    ///
    /// # Errors
    /// Why there is no session to rotate; else see [`Session`].
    pub async fn rotate(&self) -> Result<(), Rejection> {
        let mut state = self.loaded().await?;
        state.renew_token()
    }

    /// Records that the principal has just proved identity again, by `method` and up to `level`, on this request's device,
    /// and gives the session another token. Takes effect when it is written; [`save`](Self::save) does that at once.
    ///
    /// What an [`Inspector`](crate::Inspector) demanded is met with it.
    ///
    /// # Errors
    /// [`Rejection::Missing`] where nobody is signed in: [`sign_in`](Self::sign_in) is meant; else see [`Session`].
    pub async fn reauthenticate(&self, level: AuthLevel, method: Method) -> Result<(), Rejection> {
        self.require_unproven().await?;
        let mut state = self.loaded_unproven().await?;
        state.renew(|renewal| renewal.reauthenticated(level, method))
    }

    /// Gives the principal these roles for the rest of the session, and the session another token (ASVS 7.2.4: any
    /// change of privilege).
    ///
    /// # Errors
    /// [`Rejection::Missing`] where nobody is signed in; else see [`Session`].
    pub async fn change_roles(&self, roles: Vec<Role>) -> Result<(), Rejection> {
        self.require_signed_in().await?;
        self.renew(|renewal| renewal.roles(roles)).await
    }

    /// Writes all changes now instead of with the response.
    ///
    /// # Errors
    /// What kept them from being written; they are then forgotten. See [`Session`].
    pub async fn save(&self) -> Result<(), Rejection> {
        let mut state = self.shared.state.lock().await;
        state.ensure_open()?;
        state.save(&self.shared).await
    }

    /// A CSRF token for forms of this session, another one at each call; `None` where there is no session.
    ///
    /// Saves first where the token is about to change, or the session about to begin.
    ///
    /// # Errors
    /// See [`Session`].
    pub async fn csrf_token(&self) -> Result<Option<CsrfToken>, Rejection> {
        let mut nonce = [0; csrf::NONCE_BYTES];
        self.shared
            .config
            .random
            .fill(&mut nonce)
            .map_err(|error| Rejection::from(SessionError::Random(error)))?;
        let mut state = self.loaded_unproven().await?;
        state.settle_token(&self.shared).await?;
        Ok(state.held().map(|held| csrf::issue(held.binding(), nonce)))
    }

    /// Checks a CSRF token that came with the request: made for this session, since its token was last exchanged.
    ///
    /// # Errors
    /// [`Rejection::WrongCsrfToken`]; why there is no session, where there is none.
    pub async fn verify_csrf(&self, presented: Option<&str>) -> Result<(), Rejection> {
        let state = self.loaded_unproven().await?;
        let held = state.held().ok_or_else(|| state.absence())?;
        csrf::verify(held.binding(), presented.unwrap_or_default()).map_err(|_| Rejection::WrongCsrfToken)
    }

    /// The token, for a client that presents it as bearer, to be put into the response's body; `None` for a client
    /// that has it in its cookie, which is nobody else's business.
    ///
    /// Saves first where the token is about to change. A sealed one changes with whatever it holds: ask last. Its client
    /// finds it in the field `X-Cloakroom-Token` too, of whatever response it changes with.
    ///
    /// # Errors
    /// See [`Session`].
    pub async fn bearer_token(&self) -> Result<Option<TokenText>, Rejection> {
        let mut state = self.loaded().await?;
        state.settle_bearer(&self.shared).await?;
        Ok(state.held().and_then(Held::bearer_token))
    }

    /// Marks this request as no activity: it does not extend the session. For polling, and for a look at the time that
    /// is left. It has to come before the first question.
    pub fn not_activity(&self) {
        self.shared.not_activity.store(true, Ordering::Relaxed);
    }

    /// The state, once the session has been looked up, and nothing is demanded of its principal first.
    async fn loaded(&self) -> Result<MutexGuard<'_, State>, Rejection> {
        let state = self.loaded_unproven().await?;
        state.ensure_proven()?;
        Ok(state)
    }

    /// The state, once the session has been looked up. Mostly nobody else is at work on it, and there is no queue to join.
    async fn loaded_unproven(&self) -> Result<MutexGuard<'_, State>, Rejection> {
        let mut state = match self.shared.state.try_lock() {
            Ok(state) => state,
            Err(_) => self.shared.state.lock().await,
        };
        state.load(&self.shared).await?;
        Ok(state)
    }

    async fn renew(
        &self,
        more: impl FnOnce(cloakroom::Renewal) -> cloakroom::Renewal,
    ) -> Result<(), Rejection> {
        let mut state = self.loaded().await?;
        state.renew(more)
    }
}

impl Shared {
    fn activity(&self) -> Activity {
        if self.not_activity.load(Ordering::Relaxed) { Activity::Ignored } else { Activity::Counts }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("uri", &self.shared.facts.uri().path()).finish_non_exhaustive()
    }
}

fn attribute_error(error: cloakroom::AttributeError) -> Rejection {
    SessionError::Attribute(error).into()
}
