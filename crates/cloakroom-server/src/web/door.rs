//! The door: who may come in, and who may change the lock. Pages and API both go through it.

use std::net::{IpAddr, Ipv4Addr};

use cloakroom::{ActiveSession, Actor, AuthLevel, EndReason, Method, Persistence, Revocation, Selector};
use cloakroom_axum::{Rejection, Session, SignIn};
use cloakroom_core::{Device, PrincipalId, SessionId};
use cloakroom_http::ProblemCode;
use http::StatusCode;
use zeroize::Zeroizing;

use super::App;
use super::context::Context;
use super::events::{Attempt, SignInOutcome};
use super::refusal::Refusal;
use crate::accounts::{Account, AccountKey, Guard, NewPassword, Password, PasswordSet, Verdict};
use crate::ended::Ended;
use crate::limits::Admission;

/// What somebody who wants to sign in presents.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
    pub(super) persistence: Persistence,
    pub(super) carrier: TokenCarrier,
}

/// How the client wants its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum TokenCarrier {
    #[default]
    Cookie,
    Bearer,
}

/// Who presents a password, and from where.
#[derive(Clone, Copy)]
enum Asker {
    /// Anybody.
    Stranger(Option<IpAddr>),
    /// Who holds a live session of the account.
    Holder(SessionId, Option<IpAddr>),
}

impl Asker {
    fn ip(self) -> Option<IpAddr> {
        let (Self::Stranger(ip) | Self::Holder(_, ip)) = self;
        ip
    }
}

/// What became of a new password.
pub(super) enum PasswordChange {
    /// And this came of ending all other sessions.
    Changed(Ended),
    /// The rules refuse it; says why.
    Weak(String),
}

impl App {
    /// Signs somebody in whose name and password belong together.
    ///
    /// A change of the account that happens meanwhile (it is disabled, its password or roles change) ends the new
    /// session again before anybody has its token.
    pub(super) async fn sign_in(
        &self,
        session: &Session,
        context: &Context,
        credentials: Credentials,
    ) -> Result<ActiveSession, Refusal> {
        let asker = Asker::Stranger(context.client.ip());
        let account = match self.check_password(&credentials.username, credentials.password, asker).await {
            Ok(account) => account,
            Err(refusal) => {
                let outcome = outcome_of(&refusal);
                let account = self.whose_name(outcome, &credentials.username).await;
                let device = session.device();
                let attempt = Attempt { account: account.as_ref(), session: None, device: &device };
                self.sign_in_tried(outcome, attempt);
                return Err(refusal);
            }
        };
        self.start_session(session, &account, credentials.persistence, credentials.carrier).await
    }

    /// The account whose name was typed; `None` where there is no such account, or too many attempts are made to look.
    ///
    /// # Security
    /// Looked up whether there is one or not, after a password was hashed: nothing is to be learned from the time.
    async fn whose_name(&self, outcome: SignInOutcome, typed: &str) -> Option<PrincipalId> {
        if outcome != SignInOutcome::Refused {
            return None;
        }
        self.accounts.get(typed).await.ok().flatten().map(|account| account.name.id().clone())
    }

    /// Starts a session for `account`, which proved identity by its password just now.
    pub(super) async fn start_session(
        &self,
        session: &Session,
        account: &Account,
        persistence: Persistence,
        carrier: TokenCarrier,
    ) -> Result<ActiveSession, Refusal> {
        let sign_in =
            SignIn::new(account.principal(), AuthLevel::One, Method::password()).persistence(persistence);
        let sign_in = if carrier == TokenCarrier::Bearer { sign_in.as_bearer() } else { sign_in };
        let device = session.device();
        let attempt = Attempt { account: Some(account.name.id()), session: None, device: &device };
        let active = session.sign_in(sign_in).await.map_err(|rejection| {
            let outcome = match rejection {
                Rejection::LimitReached => SignInOutcome::SessionLimit,
                _ => SignInOutcome::Unavailable,
            };
            self.sign_in_tried(outcome, attempt);
            Refusal::from(rejection)
        })?;
        let current = self.accounts.is_current(account).await;
        if !matches!(current, Ok(true)) {
            session.sign_out().await?;
            self.sign_in_tried(SignInOutcome::Refused, attempt);
            return Err(current
                .err()
                .map_or_else(|| Refusal::new(ProblemCode::INVALID_CREDENTIALS), Refusal::from));
        }
        self.sign_in_tried(SignInOutcome::Success, Attempt { session: Some(active.id()), ..attempt });
        Ok(active)
    }

    /// Lets the principal of a session prove identity again, and gives the session another token.
    pub(super) async fn reauthenticate(
        &self,
        session: &Session,
        context: &Context,
        password: Zeroizing<String>,
    ) -> Result<(), Refusal> {
        let active = session.require_unproven().await?;
        let name = principal_name(&active)?;
        self.admit_renewal(&active)?;
        let asker = Asker::Holder(active.id(), context.client.ip());
        if let Err(refusal) = self.check_password(&name, password, asker).await {
            self.proof_refused(refusal.code().as_str(), attempt_of(&active, &session.device()));
            return Err(refusal);
        }
        session.reauthenticate(AuthLevel::One, Method::password()).await?;
        Ok(session.save().await?)
    }

    /// Changes the password of a session's principal, and ends all their other sessions.
    ///
    /// They end before and after: before, so that a store that fails to end them keeps the password from changing;
    /// after, for whoever signed in with the old one in between. Where sessions can never be ended the password changes all
    /// the same, and the answer has to say what that means.
    pub(super) async fn change_password(
        &self,
        session: &Session,
        context: &Context,
        current: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<PasswordChange, Refusal> {
        let active = session.require_fresh(&self.fresh()).await?;
        let name = principal_name(&active)?;
        self.admit_renewal(&active)?;
        let asker = Asker::Holder(active.id(), context.client.ip());
        let account = match self.check_password(&name, current, asker).await {
            Ok(account) => account,
            Err(refusal) => {
                let device = session.device();
                self.password_change_refused(refusal.code().as_str(), attempt_of(&active, &device));
                return Err(refusal);
            }
        };
        let Ok(new) = Password::new(new.as_str()) else {
            return Ok(PasswordChange::Weak("the password is longer than 1024 bytes".to_owned()));
        };
        let hash = match self.accounts.hash_new(&name, new).await? {
            NewPassword::Accepted { hash, .. } => hash,
            NewPassword::Refused(why) => return Ok(PasswordChange::Weak(why.to_string())),
        };
        let revocation = Revocation::new(EndReason::PasswordChanged, user_of(&active));
        self.end_others(&active, revocation.clone()).await?;
        let guard = Guard::Epoch(account.credential_epoch);
        match self.accounts.set_password(&name, hash, guard, self.sessions.now()).await? {
            PasswordSet::Changed(_) => {}
            PasswordSet::Stale | PasswordSet::NoSuchAccount => {
                return Err(
                    Refusal::new(ProblemCode::SESSION_CHANGED).detail("the account was changed meanwhile")
                );
            }
        }
        self.password_changed(attempt_of(&active, &session.device()));
        let ended = self.end_others(&active, revocation.again()).await?;
        Ok(PasswordChange::Changed(ended))
    }

    /// Lets the holder of a session ask for another token, so often and no more: each time is an event that lasts, and what
    /// is recorded has its limit.
    pub(super) fn admit_renewal(&self, active: &ActiveSession) -> Result<(), Refusal> {
        self.renewals.spend(active.id(), self.sessions.now()).map_err(|wait| {
            let seconds = wait.as_secs().saturating_add(1);
            Refusal::new(TOO_MANY_RENEWALS).retry_after(seconds)
        })
    }

    /// Ends all sessions of a session's principal but itself because its user asks for that, so often and no more: where sessions
    /// are sealed, each time is an entry that lasts.
    pub(super) async fn end_others_asked(&self, active: &ActiveSession) -> Result<Ended, Refusal> {
        self.admit_renewal(active)?;
        let revocation = Revocation::new(EndReason::RevokedByUser, user_of(active));
        self.end_others(active, revocation).await
    }

    /// Ends all sessions of a session's principal but itself, where sessions can be ended.
    async fn end_others(&self, active: &ActiveSession, revocation: Revocation) -> Result<Ended, Refusal> {
        let Some(principal) = active.principal() else { return Ok(Ended::NONE) };
        if !self.can_end() {
            return Ok(Ended::LiveOn);
        }
        let selector = Selector::Principal { principal: principal.id().clone(), except: Some(active.id()) };
        let revoked = self.sessions.revoke(&selector, revocation).await;
        Ok(Ended::of(&revoked.map_err(Refusal::of_end)?))
    }

    /// Checks a name and a password within the limits on guessing. An unknown account, a disabled one and a wrong
    /// password are one refusal, and each counts as a failure to detection.
    async fn check_password(
        &self,
        name: &str,
        password: Zeroizing<String>,
        asker: Asker,
    ) -> Result<Account, Refusal> {
        let checked = self.check_within_limits(name, password, asker).await;
        if checked.as_ref().is_err_and(|refusal| {
            matches!(refusal.code(), ProblemCode::INVALID_CREDENTIALS | ProblemCode::TOO_MANY_ATTEMPTS)
        }) {
            self.detection.sign_in_failed(AccountKey::of(name).as_str(), asker.ip(), self.sessions.now());
        }
        checked
    }

    async fn check_within_limits(
        &self,
        name: &str,
        password: Zeroizing<String>,
        asker: Asker,
    ) -> Result<Account, Refusal> {
        let refused = || Refusal::new(ProblemCode::INVALID_CREDENTIALS);
        let (address, now) = (asker.ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.sessions.now());
        let admission = match asker {
            Asker::Stranger(_) => self.limits.admit(name, address, now),
            Asker::Holder(session, _) => self.limits.admit_within(session, name, address, now),
        };
        let attempt = match admission {
            Admission::Allowed(attempt) => attempt,
            Admission::Refused { retry_after } => {
                let seconds = retry_after.as_secs().saturating_add(1);
                return Err(Refusal::new(ProblemCode::TOO_MANY_ATTEMPTS).retry_after(seconds));
            }
        };
        let Ok(password) = Password::new(password.as_str()) else { return Err(refused()) };
        match self.accounts.verify(name, password).await {
            Ok(Verdict::Verified(account)) => {
                attempt.succeeded();
                Ok(account)
            }
            Ok(Verdict::Refused) => Err(refused()),
            Err(error) => {
                attempt.withdraw();
                Err(error.into())
            }
        }
    }
}

/// Somebody who is signed in, and has to prove it.
fn attempt_of<'a>(active: &'a ActiveSession, device: &'a Device) -> Attempt<'a> {
    let account = active.principal().map(cloakroom::Principal::id);
    Attempt { account, session: Some(active.id()), device }
}

/// Whoever acts in their own session.
fn user_of(active: &ActiveSession) -> Actor {
    Actor::User(active.principal().map(|principal| principal.id().clone()))
}

fn principal_name(active: &ActiveSession) -> Result<String, Refusal> {
    active.principal().map(|principal| principal.id().to_string()).ok_or_else(|| Rejection::Missing.into())
}

fn outcome_of(refusal: &Refusal) -> SignInOutcome {
    match refusal.code() {
        ProblemCode::INVALID_CREDENTIALS => SignInOutcome::Refused,
        ProblemCode::TOO_MANY_ATTEMPTS => SignInOutcome::Limited,
        _ => SignInOutcome::Unavailable,
    }
}

pub(super) const TOO_MANY_RENEWALS: ProblemCode = ProblemCode::new(
    "too_many_renewals",
    StatusCode::TOO_MANY_REQUESTS,
    "This session had its token exchanged too often just now",
);
