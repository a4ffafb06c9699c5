//! One server, by a few connections.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Route;

use super::lane::Lane;
use super::link::Link;
use crate::error::Problem;
use crate::ring::mix;

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    lanes: Vec<Lane>,
}

impl Server {
    /// Starts to connect, and stays connected until it is dropped.
    pub(crate) fn start(name: &str, connections: NonZeroUsize, patience: Duration, seed: u64) -> Self {
        let name: Arc<str> = Arc::from(name);
        let lanes = (0_u64..)
            .take(connections.get())
            .map(|number| Lane::start(Arc::clone(&name), patience, mix(seed ^ number)))
            .collect();
        Self { lanes }
    }

    /// Whether there is a connection to it, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    /// The connection for everything of `route`: what is asked of one session arrives in the order it was asked.
    pub(crate) async fn link(&self, route: Route) -> Result<Arc<Link>, Problem> {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(u64::MAX);
        let number = mix(u64::from(route.as_u16())).checked_rem(lanes).unwrap_or(0);
        match usize::try_from(number).ok().and_then(|number| self.lanes.get(number)) {
            Some(lane) => lane.link().await,
            None => Err(Problem::Closed),
        }
    }
}
