//! Cloakroom sessions on memcached servers.

mod client;
mod error;
mod layout;
mod options;
mod place;
mod ring;
mod servers;
mod stake;
mod store;
mod url;
mod verb;

pub use options::MemcachedOptions;
pub use store::MemcachedStore;
pub use url::UrlError;

/// The name of this store in errors, logs and metrics.
const NAME: &str = "memcached";
