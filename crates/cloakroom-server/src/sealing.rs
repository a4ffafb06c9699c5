//! The keys that seal sessions: read or made, followed, rotated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Random, Sessions, Timestamp};
use cloakroom_core::Policy;
use cloakroom_sealed::{
    Created, KeyFacts, KeyFile, KeyFileError, KeyId, KeyRing, KeyState, NewKey, Place, RingError, Rotation,
    Sealer, SharedRing,
};
use cloakroom_store::{NONCE_BYTES, OpenedSeal, SealError, SealRefusal, SealedContents, Sealing};
use zeroize::Zeroizing;

use crate::cli::counted;
use crate::config::Config;

/// Keys cannot be used: one line of cause, one of remedy, and nothing of a key in either.
#[derive(Debug)]
pub struct KeysError {
    cause: String,
    remedy: String,
}

impl KeysError {
    pub(crate) fn new(cause: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { cause: cause.to_string(), remedy: remedy.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What helps.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl From<KeyFileError> for KeysError {
    fn from(error: KeyFileError) -> Self {
        let source =
            std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let remedy = match &error {
            KeyFileError::Missing { .. } => {
                "`cloakroom serve` makes it, or `cloakroom keys rotate`; where other servers have one, copy theirs"
            }
            // These name the command that helps.
            KeyFileError::Exposed { .. } | KeyFileError::Foreign { .. } => {
                "whoever can read them can make sessions of anybody: if others could, `cloakroom keys rotate --revoke-all`"
            }
            KeyFileError::Read { .. } | KeyFileError::Write { .. } => {
                "check the permissions of the file and of its directory, or name another one with `sealed.keys_file`"
            }
            KeyFileError::Ring { source: RingError::TooMany, .. } => {
                "wait until the oldest is over: `cloakroom keys list` says when"
            }
            KeyFileError::Ring { source: RingError::Unknown(_), .. } => {
                "`cloakroom keys list` shows all keys"
            }
            KeyFileError::Ring { source: RingError::Clock { .. }, .. } => "set the clock of this machine",
            KeyFileError::Ring { source: RingError::Overtaken { .. }, .. } => {
                "wait until then, or give the new one longer with --seals-in"
            }
            KeyFileError::Busy { .. } => "try again",
            _ => "restore the file from a copy; without one, move it away and everybody signs in again",
        };
        // What has a source of its own repeats it in its sentence.
        let cause = match &error {
            KeyFileError::Ring { .. } => error.to_string(),
            _ => format!("{error}{source}"),
        };
        Self::new(cause, remedy)
    }
}

/// Where the keys are.
#[derive(Debug)]
pub enum Keys {
    /// In a file.
    File(KeyFile),
    /// In the environment, which nobody but whoever starts the server can change.
    Environment(KeyRing),
}

impl Keys {
    /// Where the configuration says they are; reads those of the environment, and no file.
    ///
    /// # Errors
    /// [`KeysError`] where the environment's are none.
    pub fn of(config: &Config) -> Result<Self, KeysError> {
        if let Some(text) = &config.sealed.keys {
            let ring = KeyRing::parse(text.expose().trim()).map_err(|error| {
                let remedy =
                    "write `id:base64`, separated by commas, as `cloakroom keys generate` makes them";
                KeysError::new(format!("{VARIABLE}: {error}"), remedy)
            })?;
            return Ok(Self::Environment(ring));
        }
        Ok(Self::File(KeyFile::at(config.sealed_keys_file())))
    }

    /// The keys as they are now. Blocks for as long as reading the file takes.
    ///
    /// # Errors
    /// [`KeysError`] where the file cannot be read.
    pub fn ring(&self) -> Result<KeyRing, KeysError> {
        match self {
            Self::File(file) => Ok(file.read()?),
            Self::Environment(ring) => Ok(ring.clone()),
        }
    }
}

/// What a server that seals needs.
#[derive(Debug)]
pub struct Opened {
    /// Seals and opens.
    pub sealer: Arc<Sealer>,
    /// The keys in force, to be [followed](follow).
    pub ring: Arc<SharedRing>,
    /// The file and the id of the key that was made for it just now.
    pub made: Option<(std::path::PathBuf, KeyId)>,
}

/// Opens the keys that the configuration names; makes their file, with one key, where there is none. Blocks.
///
/// # Errors
/// [`KeysError`] where they cannot be read or made.
pub fn open(config: &Config, now: Timestamp, random: &dyn Random) -> Result<Opened, KeysError> {
    let (ring, made) = match Keys::of(config)? {
        Keys::Environment(ring) => (SharedRing::new(ring), None),
        Keys::File(file) => {
            let path = file.path().to_owned();
            let made = match file.create(new_key(random)?, now)? {
                Created::Made(ring) => ring.list(now).first().map(|key| (path, key.id)),
                Created::WasThere(_) => None,
            };
            (SharedRing::of_file(file)?, made)
        }
    };
    let ring = Arc::new(ring);
    let place =
        Place { cookie: config.cookie.name().to_owned(), application: config.sealed.application.clone() };
    let sealer = Sealer::new(Arc::clone(&ring), &place, config.cookie.bytes_around_value());
    Ok(Opened { sealer: Arc::new(sealer), ring, made })
}

/// Reads the keys again whenever their file changes, removes those from it that are over, and ends open streams where keys were
/// revoked, until `stopped` resolves.
pub(crate) async fn follow(
    ring: Arc<SharedRing>,
    keys: Keys,
    sessions: Sessions,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
    stopped: impl Future<Output = ()>,
) {
    let Keys::File(file) = keys else { return };
    let (file, now) = (Arc::new(file), Arc::new(now));
    let look_now = {
        let (ring, now) = (Arc::clone(&ring), Arc::clone(&now));
        move || look(&ring, &file, now())
    };
    follow_by(look_now, &ring, &sessions, &*now, stopped).await;
}

/// The same, where `look` says whether other keys are in force. It may hang, as file systems over networks do: whoever stops does
/// not wait for it.
async fn follow_by(
    look: impl Fn() -> Result<bool, KeysError> + Clone + Send + 'static,
    ring: &SharedRing,
    sessions: &Sessions,
    now: impl Fn() -> Timestamp,
    stopped: impl Future<Output = ()>,
) {
    let mut turns = tokio::time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    tokio::pin!(stopped);
    loop {
        let looked = async {
            turns.tick().await;
            tokio::task::spawn_blocking(look.clone()).await
        };
        let looked = tokio::select! {
            biased;
            () = &mut stopped => return,
            looked = looked => looked,
        };
        if ring.has_lost_keys(now()) {
            tracing::warn!(
                event = "sealing_keys_revoked",
                "keys that sealed sessions were revoked; open streams are ended, and come again if they may"
            );
            sessions.give_up_streams();
        }
        let error = match looked {
            Ok(Ok(true)) => {
                tracing::info!(event = "sealing_keys_read", "the keys that seal sessions were read again");
                None
            }
            Ok(Ok(false)) => None,
            Ok(Err(error)) => Some(error.cause),
            Err(error) => Some(error.to_string()),
        };
        if trouble.is_to_be_told(error.as_deref()) {
            let cause = error.unwrap_or_default();
            let event = "sealing_keys_unreadable";
            tracing::error!(
                event,
                cause,
                "the keys that seal sessions cannot be read again; those of before stay in force"
            );
        }
    }
}

/// What is wrong with the keys, and for how many looks it has not been told. It is told for as long as it lasts.
#[derive(Default)]
struct Trouble {
    told: Option<(String, u32)>,
}

impl Trouble {
    fn is_to_be_told(&mut self, error: Option<&str>) -> bool {
        let Some(cause) = error else {
            self.told = None;
            return false;
        };
        match &mut self.told {
            Some((told, since)) if told == cause && *since + 1 < TOLD_EVERY => {
                *since += 1;
                false
            }
            _ => {
                self.told = Some((cause.to_owned(), 0));
                true
            }
        }
    }
}

/// Whether other keys are in force now.
fn look(ring: &SharedRing, file: &KeyFile, now: Timestamp) -> Result<bool, KeysError> {
    let has_changed = ring.reload_if_changed()?;
    if ring.ring().without_over(now).is_some() {
        match file.forget_over(now) {
            // Somebody else does it, or nobody may: what is over opens nothing either way.
            Err(KeyFileError::Busy { .. } | KeyFileError::Write { .. }) => {}
            forgotten => drop(forgotten?),
        }
    }
    Ok(has_changed)
}

/// A key that nobody has.
///
/// # Errors
/// [`KeysError`] where there are no random bytes.
pub(crate) fn new_key(random: &dyn Random) -> Result<NewKey, KeysError> {
    let mut bytes = Zeroizing::new([0; NewKey::RANDOM_BYTES]);
    random
        .fill(bytes.as_mut())
        .map_err(|error| KeysError::new(error, "try again on a machine with randomness"))?;
    Ok(NewKey::from_random(&bytes))
}

/// How a key takes another's place at `now`: it is known everywhere before it seals, after `spread`, and the old one opens for
/// as long after that as a session may be silent.
pub(crate) fn rotation(policy: &Policy, now: Timestamp, spread: Duration) -> Rotation {
    Rotation { now, spread, window: longest_silence(policy) }
}

/// The longest idle timeout there is. A cookie that was not sealed anew for so long is over anyway.
fn longest_silence(policy: &Policy) -> Duration {
    // Roles only ever shorten.
    policy.remember_me().map_or(Duration::ZERO, |remembered| remembered.idle).max(policy.timeouts().idle)
}

/// What may be said of keys, and what is weak about them.
pub(crate) fn told(keys: &Keys, facts: &[KeyFacts], now: Timestamp) -> (Vec<String>, Vec<String>) {
    let place = match keys {
        Keys::File(file) => format!("the file {}", file.path().display()),
        Keys::Environment(_) => format!("the variable {VARIABLE}"),
    };
    let mut sentences =
        vec![format!("The keys that seal sessions are in {place}; every server needs the same.")];
    let mut weak = Vec::new();
    for key in facts {
        let age = key.created_at.map(|at| age(now.since(at)));
        match (key.state, key.opens_until) {
            (KeyState::Seals, _) => {
                sentences.push(match &age {
                    Some(age) => format!("Key {} seals; it was made {age}.", key.id),
                    None => format!("Key {} seals.", key.id),
                });
                if key.created_at.is_some_and(|at| now.since(at) > OLD) {
                    weak.push(format!(
                        "key {} has sealed sessions for longer than a year: rotate it with `cloakroom keys rotate`, which signs \
                         nobody out",
                        key.id
                    ));
                }
            }
            (KeyState::SealsFrom(at), _) => sentences.push(format!("Key {} will seal from {at} on.", key.id)),
            (KeyState::Opens, Some(until)) => sentences.push(format!("Key {} opens until {until}.", key.id)),
            (KeyState::Opens, None) => sentences.push(format!("Key {} opens.", key.id)),
            (KeyState::Over, _) => {}
        }
    }
    (sentences, weak)
}

/// Ages are told in days.
fn age(age: Duration) -> String {
    match age.as_secs() / DAY {
        0 => "within the last day".to_owned(),
        days => format!("{} ago", counted(days, "day")),
    }
}

/// Opens and seals nothing: for commands that end sessions and have no business with keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyless;

impl Sealing for Keyless {
    fn seal(
        &self,
        _: &SealedContents,
        _: [u8; NONCE_BYTES],
        _: Timestamp,
    ) -> Result<cloakroom::SessionToken, SealError> {
        Err(SealError::NoKey)
    }

    fn open(&self, _: &cloakroom::SessionToken, _: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        Err(SealRefusal::UnknownKey)
    }
}

const DAY: u64 = 86_400;
/// NIST SP 800-57 part 1, §5.3.6 lets a key that encrypts be used for up to two years; a rotation costs nobody anything.
const OLD: Duration = Duration::from_secs(365 * DAY);
/// Where keys come from that are in no file.
pub(crate) const VARIABLE: &str = "CLOAKROOM__SEALED__KEYS";
/// How often the file is looked at: well within [`SPREAD`]. One question to the file system.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Looks for each time that one and the same trouble is told: five minutes.
const TOLD_EVERY: u32 = 60;
/// The longest that a rotation may be put off: whoever forgets to copy a file in a week forgets it.
pub(crate) const LONGEST_SPREAD: Duration = Duration::from_secs(7 * DAY);
/// For how long a new key only opens, where nobody says otherwise: every server has read it by then, also where the file is copied by hand or a clock is
/// late.
pub(crate) const SPREAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use cloakroom::OsRandom;

    use super::*;
    use crate::config::{Loaded, Sources};

    fn config(dir: &std::path::Path, more: &str) -> Config {
        let text = format!("store = \"sealed:\"\ndata_dir = {:?}\n{more}", dir.to_str().unwrap());
        Loaded::from_sources(&Sources::of_text(&text)).unwrap().config
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_one_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (config, now) = (config(dir.path(), ""), Timestamp::from_millis(1_800_000_000_000));
        let first = open(&config, now, &OsRandom).unwrap();
        let (path, id) = first.made.clone().expect("there was none");
        assert_eq!(path, dir.path().join("sealed.keys"));
        let second = open(&config, now, &OsRandom).unwrap();
        assert!(second.made.is_none());
        assert_eq!(second.ring.ring().list(now)[0].id, id);
    }

    #[test]
    fn a_key_opens_for_the_longest_silence_that_anybody_is_granted() {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(longest_silence(&config(dir.path(), "").policy), 14 * day, "remembered ones");
        let forgetful = "[session]\nidle_timeout = \"2h\"\n[session.remember_me]\nenabled = false";
        assert_eq!(longest_silence(&config(dir.path(), forgetful).policy), day / 12);
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_may_read_are_refused_with_the_cure() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (config, now) = (config(dir.path(), ""), Timestamp::from_millis(1_800_000_000_000));
        open(&config, now, &OsRandom).unwrap();
        let path = dir.path().join("sealed.keys");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = open(&config, now, &OsRandom).unwrap_err();
        assert!(error.cause().contains("mode 0640") && error.cause().contains("chmod 600"), "{error:?}");
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_nobody_up_who_stops() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "");
        let opened = open(&config, Timestamp::from_millis(1_800_000_000_000), &OsRandom).unwrap();
        let sealing: Arc<dyn Sealing> = opened.sealer.clone();
        let sessions = Sessions::sealed_shared(sealing).policy(config.policy.clone()).build().unwrap();
        let (hangs, told) = std::sync::mpsc::sync_channel(1);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let look = move || {
            hangs.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            Ok(false)
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let ring = Arc::clone(&opened.ring);
        let following = tokio::spawn(async move {
            let now = || Timestamp::from_millis(1_800_000_000_000);
            follow_by(look, &ring, &sessions, now, async { drop(stopped.await) }).await;
        });
        tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(60), following).await.expect("it stops").unwrap();
        drop(release);
    }

    #[test]
    fn what_is_wrong_with_the_keys_is_told_for_as_long_as_it_lasts() {
        let mut trouble = Trouble::default();
        let told: Vec<bool> = (0..=TOLD_EVERY).map(|_| trouble.is_to_be_told(Some("hidden"))).collect();
        let expected: Vec<bool> = (0..=TOLD_EVERY).map(|look| look % TOLD_EVERY == 0).collect();
        assert_eq!(told, expected);
        assert!(trouble.is_to_be_told(Some("torn")), "another trouble is told at once");
        assert!(!trouble.is_to_be_told(None));
        assert!(trouble.is_to_be_told(Some("torn")), "and one that is back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_is_read_again_and_what_is_over_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "");
        let start = Timestamp::from_millis(1_800_000_000_000);
        let opened = open(&config, start, &OsRandom).unwrap();
        let file = KeyFile::at(dir.path().join("sealed.keys"));
        let old = opened.ring.ring().list(start)[0].id;
        let rotated =
            file.rotate(new_key(&OsRandom).unwrap(), &rotation(&config.policy, start, SPREAD)).unwrap();
        let (ring, keys) = (Arc::clone(&opened.ring), Keys::of(&config).unwrap());
        let over = start.plus(Duration::from_secs(15 * 86_400)).plus(KeyRing::KEPT_LONGER);
        let sealing: Arc<dyn Sealing> = opened.sealer.clone();
        let sessions = Sessions::sealed_shared(sealing).policy(config.policy.clone()).build().unwrap();
        let following = tokio::spawn(follow(ring, keys, sessions, move || over, std::future::pending()));
        let new = rotated.list(start)[0].id;
        while opened.ring.ring().list(start)[0].id != new || file.read().unwrap().list(start).len() != 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!following.is_finished());
        }
        assert_ne!(old, new);
        following.abort();
    }
}
