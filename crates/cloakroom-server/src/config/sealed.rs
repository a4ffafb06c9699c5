//! `[sealed]`: with which keys sessions are sealed that travel in their cookies, and what holds where their list is out of reach.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::Place;
use super::model::Config;
use super::read::{Reader, words};
use super::store_url::StoreUrl;

/// How sessions are sealed that travel in their cookies. Without effect on others.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SealedConfig {
    /// Which application it is: what was sealed for another is not opened, though both have the same keys.
    pub application: String,
    /// The file of the keys; `None` for `sealed.keys` in the data directory, or where the environment has them.
    pub keys_file: Option<PathBuf>,
    /// The keys themselves, from the environment.
    pub keys: Option<SealedKeysText>,
    /// Whether sessions are accepted that may have been ended, while the list of ends cannot be read.
    pub dangerously_open_when_unreachable: bool,
    /// Which older cookies of a session are refused.
    pub replay: Replay,
}

/// Which older cookies of a session are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replay {
    /// Those from before its token was exchanged: at each sign-in, each proof of identity, each interval.
    #[default]
    Rotations,
    /// Those from before any change, too: a round trip more for each.
    Changes,
}

impl Replay {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotations => "rotations",
            Self::Changes => "changes",
        }
    }
}

words!(Replay, "\"rotations\" or \"changes\"", "rotations" => Replay::Rotations, "changes" => Replay::Changes);

/// Keys in the form of their file.
///
/// # Security
/// `Debug` masks them; what shows them is [`expose`](Self::expose). They are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKeysText(Zeroizing<String>);

impl SealedKeysText {
    /// The keys in clear, for whoever seals alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SealedKeysText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedKeysText(..)")
    }
}

impl Default for SealedConfig {
    fn default() -> Self {
        Self {
            application: DEFAULT_APPLICATION.to_owned(),
            keys_file: None,
            keys: None,
            dangerously_open_when_unreachable: false,
            replay: Replay::default(),
        }
    }
}

impl Config {
    /// The file of the keys that seal, whether it is there or not; `None` where the environment has them.
    #[must_use]
    pub fn sealed_keys_path(&self) -> Option<PathBuf> {
        self.sealed.keys.is_none().then(|| self.sealed_keys_file())
    }

    /// The file of the keys that seal, where they are in one.
    pub(crate) fn sealed_keys_file(&self) -> PathBuf {
        self.sealed.keys_file.clone().unwrap_or_else(|| self.data_dir.join("sealed.keys"))
    }

    /// Whether sessions are sealed, and the list of ends lives inside the server, out of every other process's reach.
    #[must_use]
    pub fn list_is_in_the_server(&self) -> bool {
        self.store.revocations().is_some_and(StoreUrl::is_in_the_server)
    }

    /// The database file of `sealed:?revocations=sqlite:` without a path.
    #[must_use]
    pub fn default_revocations_path(&self) -> PathBuf {
        self.data_dir.join("revocations.db")
    }
}

/// Reads the section.
pub(super) fn read_sealed(r: &mut Reader<'_>) -> SealedConfig {
    let default = SealedConfig::default();
    let keys_file: Option<PathBuf> = r.get("sealed.keys_file");
    let keys = read_keys(r);
    if keys.is_some() && keys_file.is_some() {
        let cause =
            "`sealed.keys_file` and CLOAKROOM__SEALED__KEYS are both set: one of them would be ignored";
        r.problem("sealed.keys_file", cause, "remove one of them");
    }
    SealedConfig {
        application: read_application(r).unwrap_or(default.application),
        keys_file,
        keys,
        dangerously_open_when_unreachable: r
            .get("sealed.dangerously_open_when_unreachable")
            .unwrap_or(default.dangerously_open_when_unreachable),
        replay: r.get("sealed.replay").unwrap_or_default(),
    }
}

/// Keys stand in a file of their own or in the environment, never between settings that people copy and paste.
fn read_keys(r: &mut Reader<'_>) -> Option<SealedKeysText> {
    let place = r.place("sealed.keys")?;
    if matches!(place, Place::File { .. }) {
        let remedy = "name their file with `sealed.keys_file`, or set CLOAKROOM__SEALED__KEYS; these were shown: make new ones";
        r.problem("sealed.keys", "keys do not belong into the configuration file", remedy);
        return None;
    }
    let text = Zeroizing::new(r.get::<String>("sealed.keys")?);
    if text.trim().is_empty() {
        r.problem("sealed.keys", "CLOAKROOM__SEALED__KEYS is set and empty", "fill it, or unset it");
        return None;
    }
    Some(SealedKeysText(text))
}

fn read_application(r: &mut Reader<'_>) -> Option<String> {
    let name: String = r.get("sealed.application")?;
    if name.is_empty() || name.len() > MAX_APPLICATION || name.chars().any(char::is_control) {
        let cause = format!("`sealed.application` is empty, longer than {MAX_APPLICATION} bytes, or no text");
        r.problem("sealed.application", cause, format!("the default is \"{DEFAULT_APPLICATION}\""));
        return None;
    }
    Some(name)
}

/// Not the host of `public_url`: an application that moves to another one would sign everybody out.
const DEFAULT_APPLICATION: &str = "cloakroom";
const MAX_APPLICATION: usize = 128;
