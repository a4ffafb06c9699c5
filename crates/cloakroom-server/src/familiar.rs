//! Where people are signed in now, for limits that forgot it with the last restart.

use std::num::NonZeroU16;

use cloakroom::{ListFilter, ListItem, ListQuery, Sessions, StoreError};

use crate::limits::SignInLimits;

/// Tells `limits` from where each live session was signed in to, so that a restart in the middle of an attack shuts
/// nobody out. Returns how many sessions that were.
///
/// # Errors
/// [`StoreError`]; what was read until then is remembered.
///
/// # Cost
/// A page of the list for every 500 sessions, up to 65 000 sessions; spawn it beside the server.
pub async fn remember(limits: &SignInLimits, sessions: &Sessions) -> Result<usize, StoreError> {
    let mut remembered = 0;
    if !sessions.store().capabilities().listing {
        // Then the limits learn it as people come.
        return Ok(remembered);
    }
    let mut query = ListQuery::new(ListFilter::default());
    query.limit = PAGE;
    for _ in 0..MAX_PAGES {
        let page = sessions.list(&query).await?;
        for item in &page.items {
            let ListItem::Live(live) = item else { continue };
            let place = live.record.device.as_ref().and_then(|device| device.ip());
            if let (Some(principal), Some(address)) = (&live.record.principal, place) {
                limits.remember(principal.id().as_str(), address, live.last_seen_at);
                remembered += 1;
            }
        }
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    Ok(remembered)
}

const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
/// As many sessions as the limits have room for.
const MAX_PAGES: usize = 131;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use cloakroom::{AuthLevel, Authentication, Device, Issue, IssueOutcome, Method, Principal, PrincipalId};
    use cloakroom_memory::MemoryStore;

    use super::*;
    use crate::config::Config;
    use crate::limits::Admission;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    #[tokio::test]
    async fn whoever_is_signed_in_gets_in_again_from_there_after_a_restart_under_attack() {
        let sessions = Sessions::builder(MemoryStore::default()).build().unwrap();
        let signed_in = |name: String| {
            let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
            Issue::signed_in(Principal::new(PrincipalId::new(name).unwrap()), proof)
        };
        let at = |n| Device::new().with_ip(ip(n));
        let mut issues = vec![signed_in("Alice".into()).device(at(1)), Issue::anonymous().device(at(2))];
        issues.extend((0..600).map(|n| signed_in(format!("user{n}"))));
        for issue in issues {
            assert!(matches!(sessions.issue(issue).await.unwrap(), IssueOutcome::Issued(_)));
        }

        let limits = SignInLimits::new(Config::default().sign_in);
        assert_eq!(
            remember(&limits, &sessions).await.unwrap(),
            1,
            "one has a name and a place, on the last page"
        );
        let now = sessions.now();
        for n in 0..1_000 {
            let _ = limits.admit("alice", ip(1_000 + n), now);
        }
        assert!(matches!(limits.admit("alice", ip(2), now), Admission::Refused { .. }));
        assert!(matches!(limits.admit("alice", ip(1), now), Admission::Allowed(_)));
    }
}
