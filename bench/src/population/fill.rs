//! Issuing many sessions, and weighing them.

use std::time::Duration;

use cloakroom::{AuthLevel, Authentication, Issue, Method, Principal, PrincipalId, SessionToken, Sessions};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::allocator::counted;
use crate::error::{Doing as _, Outcome};
use crate::machine::private_memory;

/// What all sessions weigh together, their tokens apart: those belong to their clients.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Weight {
    /// Private memory that came into use.
    pub(super) resident_bytes: u64,
    /// What this thread asked of the allocator and did not give back.
    pub(super) allocated_bytes: u64,
}

/// Issues `count` sessions, each for a principal of its own or for nobody.
pub(super) async fn fill(
    sessions: &Sessions,
    count: usize,
    anonymous: bool,
) -> Outcome<(Vec<SessionToken>, Weight)> {
    let mut tokens = Vec::with_capacity(count);
    let resident = private_memory().doing("reading this process's memory")?;
    let allocated = counted().bytes;
    let issues = stream::iter(0..count).map(|number| issue(sessions, number, anonymous));
    let mut issued = issues.buffered(AT_ONCE);
    while let Some(token) = issued.try_next().await? {
        tokens.push(token);
    }
    drop(issued);
    let tokens_bytes = u64::try_from(size_of_val(&*tokens)).doing("counting bytes")?;
    let grown = private_memory().doing("reading this process's memory")?.saturating_sub(resident);
    let weight = Weight {
        resident_bytes: grown.saturating_sub(tokens_bytes),
        allocated_bytes: u64::try_from(counted().bytes - allocated).unwrap_or_default(),
    };
    Ok((tokens, weight))
}

async fn issue(sessions: &Sessions, number: usize, anonymous: bool) -> Outcome<SessionToken> {
    let issue = if anonymous {
        Issue::anonymous()
    } else {
        let principal = PrincipalId::new(format!("user-{number:06}")).doing("naming a principal")?;
        let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
        Issue::signed_in(Principal::new(principal), proof)
    };
    Ok(sessions.issue(issue).await.doing("issuing a session")?.expect_issued().token)
}

/// Issues under way at once, so that SQLite commits them in groups.
const AT_ONCE: usize = 512;

/// Longer than any run: what a touch costs is not what is asked here.
pub(super) const TOUCH_INTERVAL: Duration = Duration::from_secs(20 * 60);
