//! A room, and the socket by which its page talks.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cloakroom_axum::{CurrentPrincipal, Rejection, Session, SessionSocket};

use crate::Node;
use crate::pages::{self, Visitor};
use crate::rooms::{ROOMS, Room, Visit};

pub(crate) async fn page(
    State(node): State<Node>,
    _: CurrentPrincipal,
    visitor: Visitor,
    Path(room): Path<String>,
) -> Response {
    match Room::find(&room) {
        Some(room) => pages::page(&pages::RoomPage { visitor, rooms: &ROOMS, room, node: &node.name }),
        None => (StatusCode::NOT_FOUND, pages::apology("There is no such room")).into_response(),
    }
}

/// Opens the socket. Its handshake comes with the user's cookie, whichever site's page asks for it: the layer's origin guard
/// has let only our own pass.
pub(crate) async fn talk(
    State(node): State<Node>,
    CurrentPrincipal(principal): CurrentPrincipal,
    session: Session,
    Path(room): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Rejection> {
    let Some(room) = Room::find(&room) else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    // Watched before the upgrade: from here on no end of the session is missed.
    let watch = session.watch().await?;
    let who: Arc<str> = principal.id().as_str().into();
    Ok(upgrade.max_message_size(MESSAGE_MAX_BYTES).on_upgrade(async move |socket| {
        // Only what somebody typed comes over this socket, so it keeps their session from going idle.
        let socket = SessionSocket::new(socket, watch).counting_as_activity();
        converse(socket, node.rooms.enter(room, who)).await;
    }))
}

/// Until either side closes, or the session ends: then the socket closes itself, and says why.
async fn converse(mut socket: SessionSocket, mut visit: Visit) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => visit.say(&text),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            line = visit.hear() => {
                let Ok(line) = serde_json::to_string(&line) else { return };
                if socket.send(Message::Text(line.into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Four bytes for each character of the longest line.
const MESSAGE_MAX_BYTES: usize = 2_000;
