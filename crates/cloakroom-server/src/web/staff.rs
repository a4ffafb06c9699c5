//! Who works here: administrators, auditors, support; and what each may do.

use cloakroom::{ActiveSession, Actor, PrincipalId};
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
}

impl Staff {
    /// Lets in whoever has `right`; where it changes something, only with a fresh proof of identity.
    ///
    /// # Errors
    /// What to answer: sign in first, prove identity first, or forbidden.
    pub(in crate::web) async fn require(app: &App, session: &Session, right: Right) -> Result<Self, Refusal> {
        let active = session.require_signed_in().await?;
        let duty = Duty::ALL
            .into_iter()
            .find(|duty| active.principal().is_some_and(|principal| principal.has_role(duty.role())));
        let Some(duty) = duty.filter(|duty| duty.has(right)) else {
            return Err(Refusal::new(ProblemCode::FORBIDDEN));
        };
        let active = if right.changes() { session.require_fresh(&app.fresh()).await? } else { active };
        let id = active.principal().ok_or(Rejection::Missing)?.id().clone();
        Ok(Self { duty, id, active })
    }

    /// As the audit log names them.
    pub(in crate::web) fn actor(&self) -> Actor {
        Actor::Admin(self.id.clone())
    }
}
