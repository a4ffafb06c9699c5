//! How many sessions an end would concern, before anybody confirms it.

use std::collections::HashSet;
use std::num::NonZeroU16;

use cloakroom::{ListFilter, ListItem, ListQuery, SessionId};
use cloakroom_axum::Rejection;

use super::Selection;
use super::end::owner;
use super::look::hide_from;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// How many sessions an end would concern if it happened now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) enum Expected {
    /// So many.
    Exactly(u64),
    /// At least so many: counting goes to a bound.
    AtLeast(u64),
    /// Where sessions live they cannot be counted.
    Unknown,
}

impl App {
    /// How many sessions [`end_sessions`](Self::end_sessions) would end. Takes no fresh proof: nothing changes.
    ///
    /// # Errors
    /// Forbidden; `protected_principal`; what keeps the store from answering.
    ///
    /// # Cost
    /// At most a few thousand rows read, whatever the number of sessions; for all, the store's own count.
    pub(in crate::web) async fn count_sessions(
        &self,
        staff: &Staff,
        selection: &Selection,
    ) -> Result<Expected, Refusal> {
        staff.demand_sight(self, selection.right())?;
        if !self.can_list() {
            return match selection {
                Selection::One(_) if !staff.duty.has(Right::EndOfMany) => Err(Refusal::whose()),
                Selection::Principal { principal, .. } => {
                    self.guard_principal(staff, principal).await?;
                    Ok(Expected::Unknown)
                }
                _ => Ok(Expected::Unknown),
            };
        }
        let mut filter = ListFilter::default();
        match selection {
            Selection::All => {
                let counts = self.sessions.count().await.map_err(Rejection::from)?;
                let count = counts.anonymous.saturating_add(counts.signed_in);
                return Ok(Expected::Exactly(count));
            }
            Selection::One(id) => return self.count_named(staff, &[*id]).await,
            Selection::Many(ids) => return self.count_named(staff, ids).await,
            Selection::Principal { principal, .. } => {
                self.guard_principal(staff, principal).await?;
                filter.principal = Some(principal.clone());
            }
            Selection::IssuedBefore(instant) => filter.issued_before = Some(*instant),
        }
        let spared = match selection {
            Selection::Principal { except, .. } => *except,
            _ => None,
        };
        let mut query = ListQuery::new(filter);
        query.limit = PAGE;
        let mut count = 0_u64;
        for _ in 0..PAGES {
            let page = self.sessions.list(&query).await.map_err(Refusal::of_list)?;
            let counted = page.items.iter().filter(|item| Some(item.cursor().session) != spared).count();
            count = count.saturating_add(u64::try_from(counted).unwrap_or(u64::MAX));
            let Some(next) = page.next else { return Ok(Expected::Exactly(count)) };
            query.after = Some(next);
        }
        Ok(Expected::AtLeast(count))
    }

    /// The sessions of these names that are known, in their order, as whoever asks may see them: for a question that
    /// names them. None where sessions cannot be found by their names.
    ///
    /// # Errors
    /// As [`count_sessions`](Self::count_sessions).
    pub(in crate::web) async fn named_sessions(
        &self,
        staff: &Staff,
        ids: &[SessionId],
    ) -> Result<Vec<ListItem>, Refusal> {
        let right = if ids.len() > 1 { Right::EndOfMany } else { Right::EndOfOne };
        staff.demand_sight(self, right)?;
        let mut named = Vec::new();
        if !self.can_list() {
            return Ok(named);
        }
        let mut asked = HashSet::new();
        for id in ids.iter().take(Selection::MANY_MAX).filter(|id| asked.insert(**id)) {
            let Some(item) = self.sessions.find(*id).await.map_err(Refusal::of_list)? else { continue };
            if let Some(owner) = owner(&item) {
                self.guard_principal(staff, &owner).await?;
            }
            named.push(item);
        }
        hide_from(staff, &mut named);
        Ok(named)
    }

    async fn count_named(&self, staff: &Staff, ids: &[SessionId]) -> Result<Expected, Refusal> {
        let named = self.named_sessions(staff, ids).await?;
        let live = named.iter().filter(|item| matches!(item, ListItem::Live(_))).count();
        Ok(Expected::Exactly(u64::try_from(live).unwrap_or(u64::MAX)))
    }
}

const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
/// Pages counted: 5 000 sessions. More are "at least".
const PAGES: usize = 10;
