//! Our own client of memcached's meta protocol: a few pipelined connections to each server, which heal.

mod batch;
mod lane;
mod link;
mod reply;
mod server;

pub(crate) use batch::{Batch, Cas, Expiry, Item};
pub(crate) use link::{Found, Link, Reply};
pub(crate) use reply::Malformed;
pub(crate) use server::Server;
