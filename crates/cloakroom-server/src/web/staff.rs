//! Who works here: administrators, auditors, support; and what each may do.

use cloakroom::{ActiveSession, Actor, Device, PrincipalId, Role, Timestamp};
use cloakroom_audit::{Draft, names};
use cloakroom_axum::{Rejection, Session};
use cloakroom_http::ProblemCode;

use super::App;
use super::refusal::Refusal;

/// The part somebody plays in running this server, by the roles of their session. Who has several plays the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Duty {
    /// Role `admin`: sees and does everything.
    Admin,
    /// Role `auditor`: sees everything, changes nothing.
    Auditor,
    /// Role `support`: helps one person at a time: sees that person's sessions and ends them.
    Support,
}

/// What a page or an endpoint of the console asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// To enter the console at all.
    Enter,
    /// To see one principal, named in full, and one session.
    SeeOne,
    /// To see everybody: lists, counts, the audit log, the configuration.
    SeeAll,
    /// To end one principal's sessions.
    EndOfOne,
    /// To end sessions of many at once.
    EndOfMany,
    /// To add, disable and change accounts.
    ManageAccounts,
    /// To read the values of a session's attributes.
    SeeValues,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Auditor, Self::Support];

    /// The role that gives this duty.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Support => "support",
        }
    }

    /// The duty of a session, if any.
    pub(in crate::web) fn of(active: &ActiveSession) -> Option<Self> {
        let principal = active.principal()?;
        Self::ALL.into_iter().find(|duty| principal.has_role(duty.role()))
    }

    /// The duty that comes with these roles, if any.
    pub(in crate::web) fn of_roles(roles: &[Role]) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| roles.iter().any(|role| role.as_str() == duty.role()))
    }

    /// Whether it comes with this right.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        match (self, right) {
            (Self::Admin, _) => true,
            (Self::Auditor, Right::Enter | Right::SeeOne | Right::SeeAll) => true,
            (Self::Support, Right::Enter | Right::SeeOne | Right::EndOfOne) => true,
            (Self::Auditor | Self::Support, _) => false,
        }
    }
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Enter,
        Self::SeeOne,
        Self::SeeAll,
        Self::EndOfOne,
        Self::EndOfMany,
        Self::ManageAccounts,
        Self::SeeValues,
    ];

    /// Its name in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::SeeOne => "see_one",
            Self::SeeAll => "see_all",
            Self::EndOfOne => "end_of_one",
            Self::EndOfMany => "end_of_many",
            Self::ManageAccounts => "manage_accounts",
            Self::SeeValues => "see_values",
        }
    }

    /// Whether it changes something: then identity has to be proven freshly.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::EndOfOne | Self::EndOfMany | Self::ManageAccounts)
    }
}

/// Somebody who runs this server, signed in and with the right that was asked for.
#[derive(Clone, Debug)]
pub(in crate::web) struct Staff {
    pub(in crate::web) duty: Duty,
    pub(in crate::web) id: PrincipalId,
    pub(in crate::web) active: ActiveSession,
    /// From where this request comes.
    device: Device,
    sight: Sight,
    proof: Proof,
}

/// Whether somebody sees from where others signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) enum Sight {
    /// Addresses too.
    Everything,
    /// Everything but addresses.
    NoAddresses,
}

/// How old the proof of identity may be that a session was let in with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    Any,
    Fresh,
}

impl Staff {
    /// Lets in whoever has `right`; where it changes something, only with a fresh proof of identity.
    ///
    /// Whoever is signed in without the right is refused, which the log and the audit log remember.
    ///
    /// # Errors
    /// What to answer: sign in first, prove identity first, or forbidden.
    pub(in crate::web) async fn require(app: &App, session: &Session, right: Right) -> Result<Self, Refusal> {
        let active = session.require_signed_in().await?;
        let id = active.principal().ok_or(Rejection::Missing)?.id().clone();
        let device = session.device();
        let Some(duty) = Duty::of(&active).filter(|duty| duty.has(right)) else {
            return Err(app.turn_away(right, &id, actor_of(&active, &id), device));
        };
        let (active, proof) = if right.changes() {
            (session.require_fresh(&app.fresh_staff()).await?, Proof::Fresh)
        } else {
            (active, Proof::Any)
        };
        // By the store's own word where something is about to change: roles may have changed on the way.
        let Some(duty) = Duty::of(&active).filter(|now| *now == duty) else {
            return Err(app.turn_away(right, &id, actor_of(&active, &id), device));
        };
        let sight = if duty.has(Right::SeeAll) || app.config.console.support_sees_addresses {
            Sight::Everything
        } else {
            Sight::NoAddresses
        };
        Ok(Self { duty, id, active, device, sight, proof })
    }

    /// Whether they have `right` too, with the proof of identity that it takes: for what one request decides in its
    /// course, and for every function of [`admin`](super::admin), so that a page which asked for less gets no more.
    ///
    /// # Errors
    /// As [`require`](Self::require).
    pub(in crate::web) fn demand(&self, app: &App, right: Right) -> Result<(), Refusal> {
        self.demand_sight(app, right)?;
        if right.changes() && self.proof == Proof::Any {
            return Err(Rejection::ReauthenticationRequired.into());
        }
        Ok(())
    }

    /// Whether they have `right`, however old their proof of identity: to see what using it would do.
    ///
    /// # Errors
    /// Forbidden.
    pub(in crate::web) fn demand_sight(&self, app: &App, right: Right) -> Result<(), Refusal> {
        if self.duty.has(right) {
            return Ok(());
        }
        Err(app.turn_away(right, &self.id, self.actor(), self.device.clone()))
    }

    /// Whether they see from where others signed in.
    pub(in crate::web) const fn sight(&self) -> Sight {
        self.sight
    }

    /// As the audit log names them.
    pub(in crate::web) fn actor(&self) -> Actor {
        Actor::Admin(self.id.clone())
    }

    /// An event of theirs.
    pub(in crate::web) fn draft(&self, event: &'static str, at: Timestamp) -> Draft {
        Draft::new(event, at)
            .by(self.actor())
            .from_device(Some(self.device.clone()))
            .with("duty", self.duty.role())
    }
}

impl App {
    /// Remembers in log and audit log that staff was refused, with `code`, at this principal: whoever tries that is news.
    pub(in crate::web) fn refused_at(
        &self,
        staff: &Staff,
        target: &PrincipalId,
        code: ProblemCode,
    ) -> Refusal {
        tracing::warn!(event = names::AUTHZ_FAIL, code = code.as_str(), "not allowed");
        let draft = staff.draft(names::AUTHZ_FAIL, self.sessions.now()).about(Some(target.clone()));
        self.audit.note(draft.because(code.as_str()));
        Refusal::new(code)
    }

    /// Refuses somebody who has no `right`: the answer says no more than that, log and audit log say who asked for what.
    fn turn_away(&self, right: Right, id: &PrincipalId, actor: Actor, device: Device) -> Refusal {
        tracing::warn!(event = names::AUTHZ_FAIL, right = right.as_str(), "not allowed");
        let draft = Draft::new(names::AUTHZ_FAIL, self.sessions.now()).by(actor).about(Some(id.clone()));
        let draft = draft.from_device(Some(device));
        self.audit.note(draft.because("forbidden").with("right", right.as_str()));
        Refusal::new(ProblemCode::FORBIDDEN)
    }
}

/// Who holds a session, as the audit log names them: staff with whatever duty is told from everybody else.
fn actor_of(active: &ActiveSession, id: &PrincipalId) -> Actor {
    match Duty::of(active) {
        Some(_) => Actor::Admin(id.clone()),
        None => Actor::User(Some(id.clone())),
    }
}
