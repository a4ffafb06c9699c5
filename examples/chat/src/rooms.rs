//! What is said, and who is here. In memory, shared by the nodes of one process; nodes of several processes would hear
//! each other by a message broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{broadcast, watch};

/// A room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Room {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
}

/// Every room.
pub(crate) const ROOMS: [Room; 3] = [
    Room { id: "lobby", name: "Lobby" },
    Room { id: "kitchen", name: "Kitchen" },
    Room { id: "balcony", name: "Balcony" },
];

impl Room {
    pub(crate) fn find(id: &str) -> Option<Self> {
        ROOMS.into_iter().find(|room| room.id == id)
    }
}

/// Something that somebody said.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    #[serde(skip)]
    pub(crate) room: Room,
    pub(crate) who: String,
    pub(crate) text: String,
}

/// By how many sockets somebody is in a room.
pub(crate) type Present = BTreeMap<(Room, Arc<str>), usize>;

/// The rooms, and whoever is in them.
#[derive(Debug)]
pub struct Rooms {
    said: broadcast::Sender<Line>,
    present: watch::Sender<Present>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { said: broadcast::Sender::new(BEHIND_MAX), present: watch::Sender::default() }
    }
}

impl Rooms {
    /// Somebody comes in, and is there until what this returns is dropped.
    pub(crate) fn enter(self: &Arc<Self>, room: Room, who: Arc<str>) -> Visit {
        self.present.send_modify(|present| *present.entry((room, Arc::clone(&who))).or_default() += 1);
        Visit { rooms: Arc::clone(self), lines: self.said.subscribe(), room, who }
    }

    pub(crate) fn present(&self) -> watch::Receiver<Present> {
        self.present.subscribe()
    }
}

/// Somebody's stay in a room.
#[derive(Debug)]
pub struct Visit {
    rooms: Arc<Rooms>,
    lines: broadcast::Receiver<Line>,
    room: Room,
    who: Arc<str>,
}

impl Visit {
    /// Says something to everybody in the room. Longer than a limit is cut.
    pub(crate) fn say(&self, text: &str) {
        let text: String = text.trim().chars().take(LINE_MAX_CHARS).collect();
        if !text.is_empty() {
            // Nobody may be listening: the speaker's own socket closes at this moment.
            let _ = self.rooms.said.send(Line { room: self.room, who: self.who.to_string(), text });
        }
    }

    /// What is said next in the room. Whoever is too slow misses lines.
    pub(crate) async fn hear(&mut self) -> Line {
        loop {
            match self.lines.recv().await {
                Ok(line) if line.room == self.room => return line,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let key = (self.room, Arc::clone(&self.who));
        self.rooms.present.send_modify(|present| {
            if let Some(count) = present.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    present.remove(&key);
                }
            }
        });
    }
}

/// Lines that somebody may be behind.
const BEHIND_MAX: usize = 256;
/// The longest line.
const LINE_MAX_CHARS: usize = 500;
