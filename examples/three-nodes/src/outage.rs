//! The shared store killed behind the nodes, and started again.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use cloakroom_servers::{Port, Redis};
use futures_util::future::join_all;
use serde::Serialize;

use crate::balancer::Balancer;
use crate::browser::Answer;
use crate::nodes::Nodes;
use crate::play::{Crowd, Effort, Member};
use crate::scenario::Balancing;
use crate::{Outcome, Trouble};

/// What came of it. The numbers are browsers, where they are not requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Outage {
    /// How requests find a node.
    pub balancing: Balancing,
    /// Signed in.
    pub signed_in: usize,
    /// Requests during the outage that were told to come again: 503 with `Retry-After`, and no cookie changed.
    pub told_to_come_again: usize,
    /// Requests during the outage that were answered otherwise.
    pub answered_otherwise: usize,
    /// Found themselves signed out when the store was back.
    pub signed_out: usize,
}

/// Kills Redis behind three nodes, lets everybody make their requests, starts it again, and asks who is still signed in.
///
/// # Errors
/// Where something does not start, nobody can sign in, or the outage does not begin or end within a minute.
pub async fn play_outage(balancing: Balancing, program: &Path, effort: Effort) -> Outcome<Outage> {
    let store = Redis::start()?;
    let port = Port::free()?;
    let number = port.number();
    let accounts = effort.accounts();
    let public_url = format!("http://localhost:{number}");
    let nodes = Nodes::start(program, &public_url, &store.url(), &accounts).await?;
    let balancer = Balancer::start(balancing, port, nodes.ports())?;
    let mut crowd = Crowd::sign_in(&format!("http://127.0.0.1:{number}"), &accounts).await?;
    let mut outage = Outage {
        balancing,
        signed_in: crowd.members.len(),
        told_to_come_again: 0,
        answered_otherwise: 0,
        signed_out: 0,
    };
    store.kill();
    // For a lease a node may answer from memory.
    if let Some(member) = crowd.members.first_mut() {
        for node in nodes.ports() {
            let notices = async || member.browser.look_past(node).await == Answer::ComeAgain;
            until("a node to notice", notices).await?;
        }
    }
    until("the balancer to give up all nodes", async || balancer.has_given_up_all_nodes()).await?;
    let out_of_reach = crowd.members.iter_mut().map(|member| requests(member, effort.requests));
    for (told, otherwise) in join_all(out_of_reach).await {
        outage.told_to_come_again += told;
        outage.answered_otherwise += otherwise;
    }
    store.restart()?;
    let back = join_all(crowd.members.iter_mut().map(is_signed_in)).await;
    for signed_in in back {
        outage.signed_out += usize::from(!signed_in?);
    }
    Ok(outage)
}

/// How many of its requests a browser is told to make again later, and how many are answered otherwise.
async fn requests(member: &mut Member, requests: u32) -> (usize, usize) {
    let (mut told, mut otherwise) = (0, 0);
    for _ in 0..requests {
        match member.browser.look().await {
            Answer::ComeAgain => told += 1,
            Answer::SignedIn | Answer::SignedOut | Answer::Trouble => otherwise += 1,
        }
    }
    (told, otherwise)
}

/// Whether a browser is still signed in, asked until it is told.
async fn is_signed_in(member: &mut Member) -> Outcome<bool> {
    let mut found = false;
    until("the store to be used again", async || match member.browser.look().await {
        Answer::SignedIn => {
            found = true;
            true
        }
        Answer::SignedOut => true,
        Answer::ComeAgain | Answer::Trouble => false,
    })
    .await?;
    Ok(found)
}

/// Asks until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Outcome {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| Trouble::new(format!("waited in vain for {what}")))
}

impl Outage {
    /// The line above the rows.
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:<20} {:<16} {:>10} {:>18} {:>18} {:>20}",
            "Redis was killed",
            "balanced by",
            "signed in",
            "told to come again",
            "answered otherwise",
            "signed out by it"
        )
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { balancing, signed_in, told_to_come_again, answered_otherwise, signed_out } = self;
        write!(
            f,
            "{:<20} {balancing:<16} {signed_in:>10} {told_to_come_again:>18} {answered_otherwise:>18} {signed_out:>20}",
            "and started again"
        )
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
