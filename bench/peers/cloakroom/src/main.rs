//! Cloakroom, as a server.

fn main() {
    peer_common::serve(peer_cloakroom::router);
}
