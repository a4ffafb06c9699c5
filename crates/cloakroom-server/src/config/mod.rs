//! Configuration: `cloakroom.toml`, overridden by `CLOAKROOM__SECTION__KEY`, overridden by flags.
//!
//! Reading goes in four steps, each in its own file: layers are merged key by key (`layer`), unknown keys are refused
//! with the nearest known one (`keys`), settings get types (`read`), and combinations that cannot be kept are refused
//! (`resolve`, `session`). Everything wrong is reported at once, each problem with place, cause and remedy. What works
//! but weakens something is a [`Warning`].

mod accounts_url;
mod audit;
mod console;
mod detection;
mod error;
mod keys;
mod layer;
mod model;
mod near_cache;
mod public_url;
mod read;
mod remote;
mod resolve;
mod sealed;
mod session;
mod show;
mod store_url;
mod telemetry;
mod units;
mod warning;

pub use accounts_url::{AccountsUrl, AccountsUrlError};
pub use audit::AuditConfig;
pub use console::ConsoleConfig;
pub use detection::{DetectionConfig, WebhookConfig};
pub use error::{ConfigError, Place, Problem};
pub use layer::ENVIRONMENT_PREFIX;
pub use model::{
    Config, DEFAULT_FILE, LogConfig, LogFormat, LogLevel, Overrides, SignInConfig, Sources, TlsConfig,
    TrustConfig,
};
pub use public_url::PublicUrl;
pub use remote::{RemoteUrl, StoreKind};
pub use sealed::{Replay, SealedConfig, SealedKeysText};
pub use show::{EffectiveKey, Source};
pub use store_url::{StoreUrl, StoreUrlError};
pub use telemetry::{OtlpHeaders, SampleRatio, TelemetryConfig, Traceparent};
pub use units::{format_bytes, format_duration, parse_bytes, parse_duration};
pub use warning::Warning;

use layer::{Layer, Layers};
use read::Reader;

/// A configuration together with the places its values come from.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    layers: Layers,
}

impl Loaded {
    /// Merges, reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong: unknown keys, settings that cannot be read, combinations that
    /// cannot be kept, cookies too weak to carry a session.
    ///
    /// ```
    /// use cloakroom_server::config::{Loaded, Sources};
    ///
    /// let error = Loaded::from_sources(&Sources::of_text("[session]\nidle_timout = \"5m\"")).unwrap_err();
    /// assert_eq!(error.to_string(), "cloakroom.toml:2: unknown key `session.idle_timout`");
    /// assert_eq!(error.problems()[0].remedy(), "did you mean `session.idle_timeout`?");
    /// ```
    pub fn from_sources(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        if let Some((path, text)) = &sources.file {
            layers.push(Layer::file(path, text).map_err(|problem| ConfigError::new(vec![problem]))?);
        }
        layers.push(Layer::environment(&sources.environment));
        layers.push(overrides_layer(&sources.overrides));
        let layers = Layers::merge(layers).map_err(|problem| ConfigError::new(vec![problem]))?;
        let mut reader = Reader::new(&layers);
        let config = resolve::resolve(&mut reader);
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(Self { config, layers }) } else { Err(ConfigError::new(problems)) }
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The layers hold what was written, secrets included.
        f.debug_struct("Loaded").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for Config {
    /// The configuration of a server that nobody configured.
    fn default() -> Self {
        Loaded::from_sources(&Sources::default()).expect("the defaults can be kept").config
    }
}

fn overrides_layer(overrides: &Overrides) -> Layer {
    let data_dir = overrides.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
    let given: Vec<(&str, &str, &str)> = [
        ("listen", "--listen", overrides.listen.as_deref()),
        ("public_url", "--public-url", overrides.public_url.as_deref()),
        ("data_dir", "--data-dir", data_dir.as_deref()),
        ("store", "--store", overrides.store.as_deref()),
    ]
    .into_iter()
    .filter_map(|(key, flag, value)| Some((key, flag, value?)))
    .collect();
    Layer::flags(&given)
}

#[cfg(test)]
mod tests;
