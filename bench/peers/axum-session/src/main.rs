//! axum_session, as a server.

fn main() {
    peer_common::serve(peer_axum_session::router);
}
