//! tower-sessions, as a server.

fn main() {
    peer_common::serve(peer_tower_sessions::router);
}
