//! Cloakroom sessions in Redis or Valkey: standalone, behind Sentinel, or in a Cluster.

mod answer;
mod client;
mod cluster;
mod epoch;
mod error;
mod greeting;
mod keys;
mod link;
mod map;
mod node;
mod nonce;
mod options;
mod script;
mod sentinel;
mod store;
mod url;
mod verb;

pub use options::RedisOptions;
pub use store::RedisStore;
pub use url::UrlError;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "redis";
