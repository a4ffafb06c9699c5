//! Why a session ended, told to whoever has to sign in again.

use std::collections::BTreeSet;
use std::time::Duration;

use cloakroom::{EndReason, Policy, Timeouts};

use super::view::{Notice, amount};

/// The sentence for somebody whose session ended for `reason` under `policy`; `None` where it is no news to them, or
/// nobody else's business.
pub(super) fn farewell(reason: EndReason, policy: &Policy) -> Option<Notice> {
    let text = match reason {
        EndReason::IdleTimeout => match only(policy, |timeouts| timeouts.idle) {
            Some(span) => format!("You were signed out because nothing happened for {span}."),
            None => format!(
                "You were signed out because nothing happened for a while: {}.",
                each(policy, |timeouts| timeouts.idle)
            ),
        },
        EndReason::AbsoluteTimeout => match only(policy, |timeouts| timeouts.absolute) {
            Some(span) => format!("You were signed out because a session lasts {span} at most."),
            None => format!(
                "You were signed out because your session reached its longest life: {}.",
                each(policy, |timeouts| timeouts.absolute)
            ),
        },
        EndReason::RevokedByUser => "This session was ended from another of your devices.".to_owned(),
        EndReason::RevokedByAdmin => "This session was ended by an administrator.".to_owned(),
        EndReason::RevokedByService => "This session was ended by the application.".to_owned(),
        EndReason::SessionLimit => match policy.limit() {
            Some(limit) if limit.max.get() == 1 => {
                "You signed in on another device, and only one is allowed at once.".to_owned()
            }
            Some(limit) => {
                format!("You signed in on more than {} devices, so this one was signed out.", limit.max)
            }
            None => "Too many sessions of yours came together, so this one was signed out.".to_owned(),
        },
        EndReason::PasswordChanged => "Your password was changed, which ended this session.".to_owned(),
        EndReason::Compromised => "This session was ended to protect your account.".to_owned(),
        EndReason::StoreFull => "This session was ended because the server ran out of room.".to_owned(),
        // The account's state is nobody else's business, and the others are no news.
        _ => return None,
    };
    Some(Notice::neutral(reason.as_str(), text))
}

/// The span that holds for everybody, where there is only one.
fn only(policy: &Policy, span: impl Fn(&Timeouts) -> Duration) -> Option<String> {
    let others = policy.roles().values().copied().chain(policy.remember_me());
    let spans: BTreeSet<Duration> =
        others.chain([policy.timeouts()]).map(|timeouts| span(&timeouts)).collect();
    let first = spans.first().filter(|_| spans.len() == 1)?;
    Some(amount(first.as_secs()))
}

/// All spans that may have held: whoever has to sign in again is not known.
fn each(policy: &Policy, span: impl Fn(&Timeouts) -> Duration) -> String {
    let ordinary = span(&policy.timeouts());
    let mut text = amount(ordinary.as_secs());
    let of_roles: BTreeSet<Duration> =
        policy.roles().values().map(&span).filter(|of_role| *of_role != ordinary).collect();
    if !of_roles.is_empty() {
        let spans: Vec<String> = of_roles.iter().map(|span| amount(span.as_secs())).collect();
        text = format!("{text}, for some roles {}", spans.join(" or "));
    }
    if let Some(remembered) = policy.remember_me() {
        text = format!("{text}, {} where you asked to stay signed in", amount(span(&remembered).as_secs()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use cloakroom::{OnLimit, Role, SessionLimit};

    use super::*;

    fn told(reason: EndReason, policy: &Policy) -> String {
        farewell(reason, policy).expect("it is news").text
    }

    fn minutes(idle: u64, absolute: u64) -> Timeouts {
        Timeouts { idle: Duration::from_secs(idle * 60), absolute: Duration::from_secs(absolute * 60) }
    }

    #[test]
    fn a_span_is_named_where_it_is_the_only_one() {
        let policy = Policy::default().with_timeouts(minutes(30, 720)).with_remember_me(None);
        assert_eq!(
            told(EndReason::IdleTimeout, &policy),
            "You were signed out because nothing happened for 30 minutes."
        );
        assert_eq!(
            told(EndReason::AbsoluteTimeout, &policy),
            "You were signed out because a session lasts 12 hours at most."
        );
    }

    #[test]
    fn where_several_spans_may_have_held_none_is_claimed() {
        let policy = Policy::default()
            .with_timeouts(minutes(30, 720))
            .with_role(Role::new("admin").unwrap(), minutes(15, 480))
            .with_remember_me(Some(minutes(14 * 1_440, 30 * 1_440)));
        assert_eq!(
            told(EndReason::IdleTimeout, &policy),
            "You were signed out because nothing happened for a while: 30 minutes, for some roles 15 minutes, \
             14 days where you asked to stay signed in."
        );
    }

    #[test]
    fn the_limit_is_told_in_devices() {
        let limited = |max| {
            let limit = SessionLimit { max: NonZeroU32::new(max).unwrap(), on_limit: OnLimit::EndOldest };
            told(EndReason::SessionLimit, &Policy::default().with_limit(Some(limit)))
        };
        assert_eq!(limited(5), "You signed in on more than 5 devices, so this one was signed out.");
        assert_eq!(limited(1), "You signed in on another device, and only one is allowed at once.");
    }
}
