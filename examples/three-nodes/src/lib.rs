//! Three session servers behind a balancer, and many browsers in front of it.
//!
//! With sessions in each node's own memory, and requests going round, most sign-ins are lost at once: the next request
//! meets a node that knows nothing of them. Sticky routing hides that until a node restarts, and "sign out everywhere"
//! reaches one node of three. With any shared store nothing is lost, whatever node answers; and while that store is down,
//! balancers pass on what the nodes say: come again.

mod balancer;
mod browser;
mod heads;
mod nodes;
mod outage;
mod play;
mod scenario;

use std::fmt;

pub use heads::carries_cookie;
pub use outage::{Outage, play_outage};
pub use play::{Effort, Row, play};
pub use scenario::{Balancing, Scenario, Store};

/// What a step answers.
pub type Outcome<T = ()> = Result<T, Trouble>;

/// Something that the comparison needs could not be done.
#[derive(Debug)]
pub struct Trouble(String);

impl Trouble {
    pub(crate) fn new(cause: impl Into<String>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<cloakroom_servers::Failure> for Trouble {
    fn from(failure: cloakroom_servers::Failure) -> Self {
        Self(failure.to_string())
    }
}
