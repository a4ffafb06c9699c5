//! The keys of an application.

use std::time::Duration;

use cloakroom_core::Timestamp;

use crate::key::{KeyId, KeyTextProblem, NewKey, SealKey, Secret};

/// The keys of an application: one seals, each opens what it sealed.
///
/// It is never empty, and no two keys have the same id. A ring does not change; another takes its place
/// ([`SharedRing`](crate::SharedRing)).
///
/// # Which key seals
/// Of the keys that are not over, the one that began to seal last. Where none has begun, which is the case on a node whose
/// clock is late, the one that begins first: a clock never leaves a node without a key.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// The oldest first.
    keys: Box<[SealKey]>,
}

impl KeyRing {
    /// Most keys in a ring: each of them is one rotation within the window, and a token's key is looked for among all.
    pub const KEYS_MAX: usize = 32;

    /// For how long a key that is over stays in the ring, though it opens nothing. The ring belongs to all nodes: one whose clock
    /// is ahead must not forget a key that others still open with.
    pub const KEPT_LONGER: Duration = Duration::from_secs(24 * 60 * 60);

    /// These keys.
    ///
    /// # Errors
    /// [`RingError`] where there is none, too many, two of one id, or none that seals.
    pub fn new(keys: impl IntoIterator<Item = SealKey>) -> Result<Self, RingError> {
        let mut keys: Vec<SealKey> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(RingError::Empty);
        }
        if keys.len() > Self::KEYS_MAX {
            return Err(RingError::TooMany);
        }
        if keys.iter().all(|key| key.seals_from.is_none()) {
            return Err(RingError::NoneSeals);
        }
        keys.sort_unstable_by_key(|key| key.id);
        if let Some([one, _]) = keys.array_windows().find(|[one, other]| one.id == other.id) {
            return Err(RingError::Twice(one.id));
        }
        keys.sort_unstable_by_key(SealKey::age);
        Ok(Self { keys: keys.into() })
    }

    /// The ring of one key, made at `now`, that seals at once.
    #[must_use]
    pub fn first(key: NewKey, now: Timestamp) -> Self {
        let key = SealKey::of(key.id, key.secret).created_at(now).seals_from(now);
        Self { keys: [key].into() }
    }

    /// Reads keys from a text such as an environment variable: `id:base64`, separated by commas. The first one seals, the
    /// others only open, all of them for as long as the text names them.
    ///
    /// Keys of this form have no instants, so they are rotated by hand, in three deployments: the new key is added at the
    /// end, so that every node opens what it seals; it is put in front; after the longest idle timeout the old one goes.
    ///
    /// # Errors
    /// [`KeyTextError`], which names the key by its place, and nothing of what it is.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let mut keys = Vec::new();
        for (position, part) in text.split(',').enumerate() {
            let failed = |problem| KeyTextError::Key { place: position.saturating_add(1), problem };
            let (id, secret) = part.trim().split_once(':').ok_or_else(|| failed(KeyTextProblem::Parts))?;
            let key = SealKey::of(id.parse().map_err(failed)?, Secret::parse(secret).map_err(failed)?);
            keys.push(if position == 0 { key.seals_from(Timestamp::EPOCH) } else { key });
        }
        Self::new(keys).map_err(KeyTextError::Ring)
    }

    /// The ring after a rotation: `key` seals from `rotation.now + spread` on, and opens at once; what sealed until now opens
    /// for `window` longer than it may seal. Keys that have been over for [a day](Self::KEPT_LONGER) are gone, and those that are
    /// over at all where there is no room else.
    ///
    /// Where the id of `key` is taken, it gets the next that is free.
    ///
    /// # Errors
    /// [`RingError::TooMany`], until the window of an older key has passed; [`RingError::Clock`] where a key was made later than
    /// `rotation.now`: by a clock that is late the old keys would be over before their time; [`RingError::Overtaken`] where a
    /// rotation that was put off begins later than this one.
    pub fn rotated(&self, key: NewKey, rotation: &Rotation) -> Result<Self, RingError> {
        let rotated = Self::rotate(self.keys.iter(), key, rotation)?;
        let seals_from = rotation.now.plus(rotation.spread);
        for later in self.keys.iter().filter(|key| !key.is_over(rotation.now)) {
            // The key that began last seals. This one would take over again, and be forgotten while it seals.
            if let Some(at) = later.seals_from.filter(|at| *at > seals_from) {
                return Err(RingError::Overtaken { key: later.id, at });
            }
        }
        Ok(rotated)
    }

    /// The ring after a rotation, and without the key called `stolen`, every key that was made later, and the one that still
    /// sealed when `stolen` was made: what those sealed opens nowhere any more, and whoever carries it is signed out. What a thief
    /// made with the one key may have been used since, and was then sealed anew, by us, with any of the others.
    /// `rotation.spread` may be zero: a node that has not read the new key yet does so when it first meets it.
    ///
    /// Whoever read the file has all its keys: this is for a key that got out alone. Else a new ring is the answer, and everybody
    /// signs in again.
    ///
    /// # Errors
    /// [`RingError::Unknown`] where there is no such key; else as [`rotated`](Self::rotated).
    pub fn revoked(&self, stolen: KeyId, key: NewKey, rotation: &Rotation) -> Result<Self, RingError> {
        let stolen = self.of(stolen).ok_or(RingError::Unknown(stolen))?;
        let made_at = stolen.created_at.unwrap_or(Timestamp::EPOCH);
        // A key seals until the next one does, on a node whose clock is late a little longer.
        let has_ended = |next: &SealKey| next.seals_from.is_some_and(|at| at.plus(CLOCKS_APART) <= made_at);
        let clean = self.keys.array_windows().filter(|[_, next]| has_ended(next)).map(|[key, _]| key);
        Self::rotate(clean, key, rotation)
    }

    fn rotate<'a>(
        keys: impl Iterator<Item = &'a SealKey>,
        key: NewKey,
        rotation: &Rotation,
    ) -> Result<Self, RingError> {
        let seals_from = rotation.now.plus(rotation.spread);
        let opens_until = seals_from.plus(rotation.window);
        let mut keys: Vec<SealKey> = keys
            .filter(|key| !key.is_long_over(rotation.now))
            .cloned()
            .map(|key| match key.opens_until {
                Some(_) => key,
                None => key.opens_until(opens_until),
            })
            .collect();
        let newest = keys.iter().filter_map(|key| key.created_at).max();
        if let Some(newest) = newest.filter(|at| *at > rotation.now.plus(CLOCKS_APART)) {
            return Err(RingError::Clock { newest, now: rotation.now });
        }
        if keys.len() >= Self::KEYS_MAX {
            keys.retain(|key| !key.is_over(rotation.now));
        }
        let mut id = key.id;
        while keys.iter().any(|key| key.id == id) {
            id = id.next();
        }
        keys.push(SealKey::of(id, key.secret).created_at(rotation.now).seals_from(seals_from));
        Self::new(keys)
    }

    /// The ring without the keys that have been over for [a day](Self::KEPT_LONGER) at `now`; `None` where none has. The key
    /// that seals is never one of them.
    #[must_use]
    pub fn without_over(&self, now: Timestamp) -> Option<Self> {
        let kept: Vec<SealKey> = self.keys.iter().filter(|key| !key.is_long_over(now)).cloned().collect();
        if kept.len() == self.keys.len() {
            return None;
        }
        Self::new(kept).ok()
    }

    /// What may be told of each key at `now`, the newest first. Never a secret.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<KeyFacts> {
        let sealing = self.sealing(now).map(|key| key.id);
        let facts = |key: &SealKey| KeyFacts {
            id: key.id,
            created_at: key.created_at,
            state: match key.seals_from {
                _ if key.is_over(now) => KeyState::Over,
                _ if sealing == Some(key.id) => KeyState::Seals,
                Some(from) if now < from => KeyState::SealsFrom(from),
                _ => KeyState::Opens,
            },
            opens_until: key.opens_until,
        };
        self.keys.iter().rev().map(facts).collect()
    }

    /// All keys, the oldest first.
    pub(crate) fn keys(&self) -> &[SealKey] {
        &self.keys
    }

    /// The key that seals at `now`; `None` where all are over.
    pub(crate) fn sealing(&self, now: Timestamp) -> Option<&SealKey> {
        let alive = || self.keys.iter().filter(|key| !key.is_over(now));
        let has_begun = |key: &&SealKey| key.seals_from.is_some_and(|from| from <= now);
        alive().rfind(has_begun).or_else(|| alive().find(|key| key.seals_from.is_some()))
    }

    pub(crate) fn of(&self, id: KeyId) -> Option<&SealKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Whether what `key` sealed is to be sealed anew: a newer one seals. What a newer one sealed is left alone, so that two
    /// nodes whose clocks differ do not undo each other's work at every request.
    pub(crate) fn is_stale(&self, key: &SealKey, now: Timestamp) -> bool {
        self.sealing(now).is_some_and(|sealing| sealing.age() > key.age())
    }
}

/// When a rotation happens, and how long its parts take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// The instant of the rotation.
    pub now: Timestamp,
    /// For how long the new key is only accepted, so that every node has it before any seals with it. More than nodes take
    /// to read the file again, and more than their clocks differ.
    pub spread: Duration,
    /// For how long the old key opens after it has sealed for the last time. The longest idle timeout: a cookie that was not
    /// sealed anew for so long is idle anyway.
    pub window: Duration,
}

/// What may be told of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KeyFacts {
    /// Its id.
    pub id: KeyId,
    /// When it was made; `None` for keys from the environment.
    pub created_at: Option<Timestamp>,
    /// What it does.
    pub state: KeyState,
    /// Until when it opens; `None` for a key that no rotation has replaced.
    pub opens_until: Option<Timestamp>,
}

/// What a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It seals, and opens.
    Seals,
    /// It opens, and will seal from this instant on.
    SealsFrom(Timestamp),
    /// It only opens.
    Opens,
    /// It does nothing any more, and will be forgotten.
    Over,
}

impl KeyState {
    /// A word for lists and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seals => "seals",
            Self::SealsFrom(_) => "will_seal",
            Self::Opens => "opens",
            Self::Over => "over",
        }
    }
}

/// Keys that are no ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is none.
    #[error("there is no key")]
    Empty,
    /// More than [`KeyRing::KEYS_MAX`].
    #[error("there are more than 32 keys; one goes when its time is over")]
    TooMany,
    /// Two have the same id.
    #[error("two keys have the id {0}")]
    Twice(KeyId),
    /// None seals.
    #[error("no key seals")]
    NoneSeals,
    /// The clock of who rotates is late.
    #[error("it is {now} by this clock, and the newest key was made at {newest}: set the clock right")]
    Clock {
        /// When the newest key was made.
        newest: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// A key begins later than the new one would.
    #[error("key {key} seals from {at} on, later than a new one would")]
    Overtaken {
        /// Which.
        key: KeyId,
        /// When it begins.
        at: Timestamp,
    },
    /// None has this id.
    #[error("there is no key {0}")]
    Unknown(KeyId),
}

/// A text is no keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// One of them is none.
    #[error("key {place} of the list: {problem}; expected id:base64")]
    Key {
        /// Which, from one.
        place: usize,
        /// What is wrong with it.
        problem: KeyTextProblem,
    },
    /// Together they are no ring.
    #[error("{0}")]
    Ring(RingError),
}

/// How far clocks of nodes may differ without anybody minding.
const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);
