//! What a server needs to begin, beyond a store, where sessions are sealed in their cookies: their keys.

use std::io::Write;
use std::sync::Arc;

use cloakroom::{Clock, Sessions, SessionsBuilder};

use crate::config::Config;
#[cfg(feature = "sealed")]
use crate::sealing::{self, Keys, KeysError};
use crate::serve::{ServeError, Surroundings};
#[cfg(feature = "sealed")]
use crate::stores;
use crate::stores::Keeping;

/// The keys that seal, where any do.
#[derive(Debug, Default)]
pub(crate) struct SealingKeys {
    #[cfg(feature = "sealed")]
    opened: Option<(sealing::Opened, Keys)>,
}

/// Begins the engine for `keeping`; where it takes keys, reads them or makes them.
#[cfg_attr(not(feature = "sealed"), expect(clippy::unused_async, reason = "only keys are waited for"))]
pub(crate) async fn begin_sessions(
    keeping: Keeping,
    config: &Config,
    surroundings: &Surroundings,
) -> Result<(SessionsBuilder, SealingKeys), ServeError> {
    #[cfg(not(feature = "sealed"))]
    let _ = (config, surroundings);
    match keeping {
        Keeping::Records(store) => Ok((Sessions::builder_shared(store), SealingKeys::default())),
        #[cfg(feature = "sealed")]
        Keeping::Cookies(list) => {
            let (now, random) = (surroundings.clock.now(), Arc::clone(&surroundings.random));
            let of = config.clone();
            let opening = tokio::task::spawn_blocking(move || {
                sealing::open(&of, now, &*random).and_then(|opened| Ok((opened, Keys::of(&of)?)))
            });
            let opened = opening.await.map_err(|error| ServeError::new(error, "report this as a defect"))?;
            let (opened, keys) =
                opened.map_err(|error: KeysError| ServeError::new(error.cause(), error.remedy()))?;
            let sealer = Arc::clone(&opened.sealer);
            let builder = stores::sealed(sealer, list, config);
            Ok((builder, SealingKeys { opened: Some((opened, keys)) }))
        }
    }
}

impl SealingKeys {
    /// Says that keys were made, and where; never what they are.
    pub(crate) fn announce(&self, out: &mut (dyn Write + Send)) -> Result<(), ServeError> {
        #[cfg(feature = "sealed")]
        if let Some((path, id)) = self.opened.as_ref().and_then(|(opened, _)| opened.made.as_ref()) {
            let path = path.display();
            tracing::info!(event = "sealing_keys_made", file = %path, key = %id, "made the keys that seal sessions");
            writeln!(out, "Made the keys that seal sessions: {path}. Every server of this application needs the same file.")
                .map_err(|error| ServeError::new(error, "keep standard output open"))?;
        }
        let _ = out;
        Ok(())
    }

    /// Reads keys again whenever their file changes, until `stopped` resolves.
    pub(crate) async fn follow(
        self,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
        stopped: impl Future<Output = ()>,
    ) {
        #[cfg(feature = "sealed")]
        if let Some((opened, keys)) = self.opened {
            sealing::follow(opened.ring, keys, sessions, move || clock.now(), stopped).await;
            return;
        }
        drop((clock, sessions));
        stopped.await;
    }
}
