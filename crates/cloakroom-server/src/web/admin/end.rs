//! Ending sessions.

use cloakroom::{ListItem, PrincipalId, Revocation, Selector, SessionId, Timestamp};
use cloakroom_store::ErrorKind;

use super::Why;
use crate::acts::{Act, Done};
use crate::ended::Ended;
use crate::web::App;
use crate::web::extract::MALFORMED;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// Which sessions staff ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::web) enum Selection {
    /// This one.
    One(SessionId),
    /// These: at most [`Selection::MANY_MAX`].
    Many(Vec<SessionId>),
    /// All of one principal, but perhaps one.
    Principal {
        /// Whose.
        principal: PrincipalId,
        /// The one that is spared.
        except: Option<SessionId>,
    },
    /// All that were issued before an instant; one in the future means now.
    IssuedBefore(Timestamp),
    /// All.
    All,
}

impl Selection {
    /// Most sessions that are named one by one: as many as a page of them has.
    pub(in crate::web) const MANY_MAX: usize = 200;

    /// The right that ending them takes.
    pub(in crate::web) const fn right(&self) -> Right {
        match self {
            Self::One(_) | Self::Principal { .. } => Right::EndOfOne,
            Self::Many(_) | Self::IssuedBefore(_) | Self::All => Right::EndOfMany,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::One(_) => "one",
            Self::Many(_) => "many",
            Self::Principal { .. } => "principal",
            Self::IssuedBefore(_) => "issued_before",
            Self::All => "all",
        }
    }
}

/// What ending sessions came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) struct Revocations {
    /// What ended by this.
    pub(in crate::web) revoked: Ended,
    /// Whether every server is known to refuse them.
    pub(in crate::web) settled: bool,
}

/// Whether the answer waits until the end has reached every server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) enum Settle {
    /// It waits.
    Wait,
    /// It does not.
    No,
}

impl App {
    /// Ends sessions. What has ended before is not counted.
    ///
    /// # Errors
    /// Forbidden, or a proof that is not fresh; `protected_principal`; `not_found` where one session is named that
    /// nobody knows; `audit_unavailable`; the store's own failures. Where many are named and the store fails in their
    /// midst, some have ended: the refusal's member `revoked` says how many.
    pub(in crate::web) async fn end_sessions(
        &self,
        staff: &Staff,
        selection: &Selection,
        why: Why,
        settle: Settle,
    ) -> Result<Revocations, Refusal> {
        staff.demand(self, selection.right())?;
        if !self.can_end() {
            return Err(Refusal::cannot_end());
        }
        let act = why.of(Act::new("end_sessions")).with("selection", selection.name());
        let act = match selection {
            Selection::One(id) => {
                let principal = self.owner_to_act_on(staff, *id).await?;
                act.of_session(*id).about(principal)
            }
            Selection::Many(ids) if ids.len() > Selection::MANY_MAX => {
                let detail = format!("at most {} sessions are ended at once", Selection::MANY_MAX);
                return Err(Refusal::new(MALFORMED).detail(detail));
            }
            Selection::Many(ids) => act.with("sessions", ids.len()),
            Selection::Principal { principal, except } => {
                self.guard_principal(staff, principal).await?;
                let act = act.about(Some(principal.clone()));
                except.iter().fold(act, |act, id| act.with("except", id.to_string()))
            }
            Selection::IssuedBefore(instant) => act.with("issued_before", instant.to_string()),
            Selection::All => act,
        };
        let done = Done::default();
        self.act(staff, act, &done, async {
            let ended = self.revoke_selection(staff, selection, &why).await;
            let (revoked, failure) = match ended {
                Ok(revoked) => (revoked, None),
                Err((revoked, error)) => (revoked, Some(error)),
            };
            done.say("revoked", revoked.in_log());
            if let Some(error) = failure {
                return Err(error.member("revoked", revoked.count()));
            }
            if settle == Settle::Wait {
                self.sessions.settle().await;
            }
            Ok(Revocations { revoked, settled: settle == Settle::Wait })
        })
        .await
    }

    /// How many were ended; on failure, how many until then.
    async fn revoke_selection(
        &self,
        staff: &Staff,
        selection: &Selection,
        why: &Why,
    ) -> Result<Ended, (Ended, Refusal)> {
        let selectors = match selection {
            Selection::One(id) => vec![Selector::One(*id)],
            Selection::Many(ids) => ids.iter().copied().map(Selector::One).collect(),
            Selection::Principal { principal, except } => {
                vec![Selector::Principal { principal: principal.clone(), except: *except }]
            }
            Selection::IssuedBefore(instant) => vec![Selector::IssuedBefore(*instant)],
            Selection::All => vec![Selector::All],
        };
        let mut revoked = Ended::NONE;
        for selector in selectors {
            let revocation = Revocation::new(why.reason, staff.actor());
            match self.sessions.revoke(&selector, revocation).await {
                Ok(ended) => revoked = revoked.plus(Ended::of(&ended)),
                Err(error) if error.kind() == ErrorKind::Unsupported && self.can_end() => {
                    return Err((revoked, Refusal::of_list(error)));
                }
                Err(error) => return Err((revoked, Refusal::of_end(error))),
            }
        }
        Ok(revoked)
    }

    /// The principal of a session that is about to be ended, where staff may act on it.
    ///
    /// A store that cannot find a session by its id leaves that to the end itself: for whoever may end everybody's.
    async fn owner_to_act_on(&self, staff: &Staff, id: SessionId) -> Result<Option<PrincipalId>, Refusal> {
        if !self.can_list() {
            return if staff.duty.has(Right::EndOfMany) { Ok(None) } else { Err(Refusal::whose()) };
        }
        let found = self.sessions.find(id).await.map_err(Refusal::of_list)?;
        let found = found.ok_or_else(Refusal::not_found)?;
        let owner = owner(&found);
        if let Some(owner) = &owner {
            self.guard_principal(staff, owner).await?;
        }
        Ok(owner)
    }
}

/// Whom a session speaks for, or spoke for.
pub(super) fn owner(item: &ListItem) -> Option<PrincipalId> {
    match item {
        ListItem::Live(live) => live.record.principal.as_ref().map(|principal| principal.id().clone()),
        ListItem::Ended { tombstone, .. } => tombstone.principal.clone(),
    }
}
