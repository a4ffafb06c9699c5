//! Who is here: a page that is told by server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::{CurrentPrincipal, Rejection, Session};
use futures_util::stream;
use tokio::sync::watch;

use crate::Node;
use crate::pages::{self, Visitor};
use crate::rooms::{Present, ROOMS};

pub(crate) async fn page(State(node): State<Node>, _: CurrentPrincipal, visitor: Visitor) -> Response {
    pages::page(&pages::Here { visitor, rooms: &ROOMS, node: &node.name })
}

/// Who is in which room, now and after each change, until the session ends. A browser that comes again after that is
/// answered 401, which an `EventSource` takes as final.
pub(crate) async fn events(
    State(node): State<Node>,
    _: CurrentPrincipal,
    session: Session,
) -> Result<Response, Rejection> {
    let mut present = node.rooms.present();
    present.mark_changed();
    let events = session.guard_events(stream::unfold(present, next)).await?;
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn next(
    mut present: watch::Receiver<Present>,
) -> Option<(Result<Event, Infallible>, watch::Receiver<Present>)> {
    present.changed().await.ok()?;
    let mut rooms: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (room, who) in present.borrow_and_update().keys() {
        rooms.entry(room.id).or_default().push(who.to_string());
    }
    let told = serde_json::to_string(&rooms).ok()?;
    Some((Ok(Event::default().data(told)), present))
}
