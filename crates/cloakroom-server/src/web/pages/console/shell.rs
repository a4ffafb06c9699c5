//! The frame of every console page: the ways around, who is signed in, and with which duty.

use cloakroom::ActiveSession;
use cloakroom_axum::{Rejection, Session};

use crate::web::pages::user;
use crate::web::pages::view::User;
use crate::web::staff::{Duty, Right, Staff};

/// What the frame of a console page is given; templates call it `shell`.
pub(super) struct Shell {
    pub(super) user: User,
    pub(super) duty: Duty,
    pub(super) section: Section,
}

/// The parts of the console, in the order of the navigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Overview,
    Sessions,
    Accounts,
    Live,
    Audit,
    Settings,
}

/// One entry of the navigation.
pub(super) struct Way {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
    pub(super) icon: &'static str,
    pub(super) current: bool,
}

impl Shell {
    /// The frame of a page in `section`, for `staff`.
    ///
    /// # Errors
    /// Where the session is gone, or its store does not answer.
    pub(super) async fn new(session: &Session, staff: &Staff, section: Section) -> Result<Self, Rejection> {
        Ok(Self { user: user(session, &staff.active).await?, duty: staff.duty, section })
    }

    /// The ways that this duty may go.
    pub(super) fn ways(&self) -> Vec<Way> {
        ways(self.duty, self.section)
    }

    /// Whether whoever is signed in has this right: pages show no way to what would be refused.
    pub(super) const fn may(&self, right: Right) -> bool {
        self.duty.has(right)
    }

    /// Whether whoever is signed in sees everybody; then pages follow the log as it grows, too.
    pub(super) const fn sees_all(&self) -> bool {
        self.may(Right::SeeAll)
    }

    pub(super) const fn duty_word(&self) -> &'static str {
        match self.duty {
            Duty::Admin => "Administrator",
            Duty::Auditor => "Auditor",
            Duty::Support => "Support",
        }
    }
}

fn ways(duty: Duty, here: Section) -> Vec<Way> {
    let may_go = Section::ALL.into_iter().filter(|section| duty.has(section.right()));
    let way = |section: Section| {
        // Who may not see everybody is asked for one person instead.
        let guided = section == Section::Overview && !duty.has(Right::SeeAll);
        let (label, icon) = if guided { ("Find", "find") } else { (section.label(), section.icon()) };
        Way { href: section.href(), label, icon, current: section == here }
    };
    may_go.map(way).collect()
}

impl Section {
    const ALL: [Self; 6] =
        [Self::Overview, Self::Sessions, Self::Accounts, Self::Live, Self::Audit, Self::Settings];

    const fn href(self) -> &'static str {
        match self {
            Self::Overview => "/admin",
            Self::Sessions => "/admin/sessions",
            Self::Accounts => "/admin/accounts",
            Self::Live => "/admin/live",
            Self::Audit => "/admin/audit",
            Self::Settings => "/admin/settings",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Sessions => "Sessions",
            Self::Accounts => "Accounts",
            Self::Live => "Live",
            Self::Audit => "Audit",
            Self::Settings => "Settings",
        }
    }

    /// The name of its drawing, and of its pages in tests.
    pub(super) const fn icon(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Sessions => "sessions",
            Self::Accounts => "accounts",
            Self::Live => "live",
            Self::Audit => "audit",
            Self::Settings => "settings",
        }
    }

    const fn right(self) -> Right {
        match self {
            Self::Overview => Right::Enter,
            _ => Right::SeeAll,
        }
    }
}

/// The duty that a session comes with, if any: other pages lead such people to the console.
pub(in crate::web::pages) fn staff_duty(active: &ActiveSession) -> Option<Duty> {
    let principal = active.principal()?;
    Duty::ALL.into_iter().find(|duty| principal.has_role(duty.role()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(duty: Duty) -> Vec<&'static str> {
        ways(duty, Section::Overview).into_iter().map(|way| way.label).collect()
    }

    #[test]
    fn the_ways_are_those_that_the_duty_may_go() {
        let all = ["Overview", "Sessions", "Accounts", "Live", "Audit", "Settings"];
        assert_eq!(labels(Duty::Admin), all);
        assert_eq!(labels(Duty::Auditor), all);
        assert_eq!(labels(Duty::Support), ["Find"]);
    }
}
