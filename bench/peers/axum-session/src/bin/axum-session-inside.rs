//! axum_session, without a network and with its allocations counted.

#[global_allocator]
static ALLOCATOR: peer_common::Counting = peer_common::Counting;

fn main() {
    peer_common::inside(peer_axum_session::router);
}
