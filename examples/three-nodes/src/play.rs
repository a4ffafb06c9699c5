//! One scenario from beginning to end.

use std::fmt;
use std::path::Path;

use cloakroom_servers::Port;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::balancer::Balancer;
use crate::browser::{Answer, Browser};
use crate::nodes::{Nodes, PASSWORD};
use crate::scenario::Scenario;
use crate::{Outcome, Trouble};

/// How much traffic.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// People, each with two browsers.
    pub people: u8,
    /// Requests of each browser in each act.
    pub requests: u32,
}

impl Effort {
    /// What people are called.
    pub(crate) fn accounts(self) -> Vec<String> {
        (1..=self.people).map(|number| format!("person-{number}")).collect()
    }
}

/// What came of a scenario. The numbers count browsers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Which scenario.
    pub scenario: Scenario,
    /// Signed in.
    pub signed_in: usize,
    /// Found themselves signed out while nothing had happened.
    pub lost: usize,
    /// Found themselves signed out while a node was down, or after it was started again.
    pub lost_by_restart: usize,
    /// Still got in after their owner had signed out everywhere, from another browser.
    pub not_reached: usize,
    /// Requests that failed otherwise.
    pub trouble: usize,
}

/// Plays one scenario with the session server `program`.
///
/// # Errors
/// Where something does not start, or nobody can sign in.
pub async fn play(scenario: Scenario, program: &Path, effort: Effort) -> Outcome<Row> {
    let store = scenario.store.start()?;
    let port = Port::free()?;
    let number = port.number();
    let accounts = effort.accounts();
    let public_url = format!("http://localhost:{number}");
    let mut nodes = Nodes::start(program, &public_url, &store.url(), &accounts).await?;
    let _balancer = Balancer::start(scenario.balancing, port, nodes.ports())?;
    let mut crowd = Crowd::sign_in(&format!("http://127.0.0.1:{number}"), &accounts).await?;
    let mut row = Row {
        scenario,
        signed_in: crowd.members.len(),
        lost: crowd.visit(effort.requests).await,
        lost_by_restart: 0,
        not_reached: 0,
        trouble: 0,
    };
    nodes.kill(0);
    row.lost_by_restart = crowd.visit(effort.requests).await;
    nodes.start_again(0).await?;
    row.lost_by_restart += crowd.visit(effort.requests).await;
    row.not_reached = crowd.sign_out_everywhere(effort.requests).await;
    row.trouble = crowd.trouble();
    Ok(row)
}

/// Everybody's browsers.
pub(crate) struct Crowd {
    pub(crate) members: Vec<Member>,
}

pub(crate) struct Member {
    pub(crate) browser: Browser,
    person: usize,
    signed_in: bool,
    trouble: usize,
}

impl Crowd {
    /// Every person signs in with two browsers.
    pub(crate) async fn sign_in(base: &str, accounts: &[String]) -> Outcome<Self> {
        let mut members = Vec::new();
        for (person, account) in accounts.iter().enumerate() {
            for _ in 0..2 {
                let number = u8::try_from(members.len() + 1).unwrap_or(u8::MAX);
                let mut browser = Browser::new(number, base)?;
                match browser.sign_in(account, PASSWORD).await {
                    Answer::SignedIn => {
                        members.push(Member { browser, person, signed_in: true, trouble: 0 });
                    }
                    other => return Err(Trouble::new(format!("{account} cannot sign in: {other:?}"))),
                }
            }
        }
        Ok(Self { members })
    }

    /// All browsers make their requests, side by side; how many of them were signed out by it.
    async fn visit(&mut self, requests: u32) -> usize {
        let before = self.signed_in();
        let visits = self.members.iter_mut().filter(|member| member.signed_in);
        stream::iter(visits).for_each_concurrent(None, |member| member.visit(requests)).await;
        before - self.signed_in()
    }

    /// One browser of each person signs out everywhere; how many of the others still get in. Nobody is counted whose
    /// first browser had been signed out before.
    async fn sign_out_everywhere(&mut self, requests: u32) -> usize {
        let mut not_reached = 0;
        for pair in self.members.chunks_mut(2) {
            let [one, other] = pair else { continue };
            if !(one.signed_in && other.signed_in && one.person == other.person) {
                continue;
            }
            if one.browser.sign_out_everywhere().await != Answer::SignedIn {
                one.trouble += 1;
                continue;
            }
            other.visit(requests).await;
            not_reached += usize::from(other.signed_in);
        }
        not_reached
    }

    fn signed_in(&self) -> usize {
        self.members.iter().filter(|member| member.signed_in).count()
    }

    fn trouble(&self) -> usize {
        self.members.iter().map(|member| member.trouble).sum()
    }
}

impl Member {
    async fn visit(&mut self, requests: u32) {
        for _ in 0..requests {
            match self.browser.look().await {
                Answer::SignedIn => {}
                Answer::SignedOut => {
                    self.signed_in = false;
                    return;
                }
                Answer::ComeAgain | Answer::Trouble => self.trouble += 1,
            }
        }
    }
}

impl Row {
    /// The line above the rows.
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:<20} {:<16} {:>10} {:>10} {:>16} {:>22} {:>8}",
            "sessions in",
            "balanced by",
            "signed in",
            "lost",
            "lost by restart",
            "sign-out didn't reach",
            "trouble"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, signed_in, lost, lost_by_restart, not_reached, trouble } = self;
        let Scenario { store, balancing } = scenario;
        write!(
            f,
            "{store:<20} {balancing:<16} {signed_in:>10} {lost:>10} {lost_by_restart:>16} {not_reached:>22} {trouble:>8}"
        )
    }
}
