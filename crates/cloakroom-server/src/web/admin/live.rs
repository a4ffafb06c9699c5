//! The log as it grows.

use std::collections::VecDeque;
use std::time::Duration;

use cloakroom::ListItem;
use cloakroom_audit::{AuditEvent, Tail};
use cloakroom_http::ProblemCode;
use futures_util::{Stream, stream};
use http::StatusCode;

use super::act::{RETRY_AFTER_SECONDS, unreadable};
use super::places::Place;
use crate::web::App;
use crate::web::refusal::Refusal;
use crate::web::staff::{Duty, Right, Staff};

/// What somebody who follows the log is told.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::web) enum LiveEvent {
    /// Something was recorded.
    Recorded(Box<AuditEvent>),
    /// More happened since the event that the client saw last than is told again: it had better look anew.
    Missed,
    /// Nothing for a while.
    StillHere,
}

/// A stream under way.
struct Follower {
    app: App,
    staff: Staff,
    tail: Tail,
    waiting: VecDeque<LiveEvent>,
    place: Place,
}

impl App {
    /// The audit log as it grows; from behind `after` on, where the client names the event it saw last.
    ///
    /// It ends when the right is gone. That it ends with the session is for whoever serves it:
    /// [`guard_events`](cloakroom_axum::Session::guard_events).
    ///
    /// # Errors
    /// Forbidden; `too_many_streams`; `audit_unavailable`.
    pub(in crate::web) async fn follow(
        &self,
        staff: &Staff,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = LiveEvent> + Send + use<>, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        let Some(place) = self.live.enter(&staff.id) else {
            return Err(Refusal::new(TOO_MANY_STREAMS).retry_after(RETRY_AFTER_SECONDS));
        };
        let head = self.audit.store().head().await.map_err(|error| unreadable(&error))?.seq;
        let (tail, waiting) = match after {
            None => (self.audit.tail_after(head), None),
            // Told again as far as that is little; a number that does not exist yet is none.
            Some(seen) if head.checked_sub(seen).is_some_and(|missed| missed <= REPLAY) => {
                (self.audit.tail_after(seen), None)
            }
            Some(_) => (self.audit.tail_after(head), Some(LiveEvent::Missed)),
        };
        let waiting = waiting.into_iter().collect();
        let follower = Follower { app: self.clone(), staff: staff.clone(), tail, waiting, place };
        Ok(stream::unfold(follower, Follower::next))
    }
}

impl Follower {
    async fn next(mut self) -> Option<(LiveEvent, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            tokio::select! {
                () = self.place.closed() => return None,
                events = self.tail.next() => match events {
                    Ok(events) => {
                        let recorded = events.into_iter().map(|event| LiveEvent::Recorded(Box::new(event)));
                        self.waiting.extend(recorded);
                    }
                    Err(error) => {
                        unreadable(&error);
                        tokio::time::sleep(HEARTBEAT).await;
                        return self.may_go_on().await.then_some((LiveEvent::StillHere, self));
                    }
                },
                () = tokio::time::sleep(HEARTBEAT) => {
                    return self.may_go_on().await.then_some((LiveEvent::StillHere, self));
                }
            }
        }
    }

    /// Whether the session still gives the right. A store that cannot say leaves it to the session's own end.
    async fn may_go_on(&self) -> bool {
        if !self.app.can_list() {
            return true;
        }
        match self.app.sessions.find(self.staff.active.id()).await {
            Ok(Some(ListItem::Live(live))) => {
                let roles = live.record.principal.as_ref().map(|principal| principal.roles());
                Duty::of_roles(roles.unwrap_or_default()).is_some_and(|duty| duty.has(Right::SeeAll))
            }
            Ok(Some(ListItem::Ended { .. }) | None) => false,
            Err(_) => true,
        }
    }
}

/// Most events that are told again to a client that comes back: a minute of a busy server.
const REPLAY: u64 = 200;
/// How often a stream in which nothing happens says that it is still there: more often than proxies give up.
const HEARTBEAT: Duration = Duration::from_secs(15);
const TOO_MANY_STREAMS: ProblemCode = ProblemCode::new(
    "too_many_streams",
    StatusCode::TOO_MANY_REQUESTS,
    "There are as many live views open as allowed",
);
