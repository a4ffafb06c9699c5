//! One key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloakroom_core::Timestamp;
use zeroize::Zeroizing;

use crate::ring::KeyRing;

/// Tells keys apart: eight hexadecimal digits, random. Stands in clear in each token.
///
/// # Security
/// It says which key to take, so none is ever tried after another. It tells an onlooker when keys were rotated, and nothing
/// of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// Bytes of an id in a token.
    pub(crate) const LENGTH: usize = 4;

    /// The id of this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::LENGTH] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyTextProblem;

    /// Exactly eight digits of `0-9 a-f`.
    fn from_str(text: &str) -> Result<Self, KeyTextProblem> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != ID_DIGITS || !text.bytes().all(is_digit) {
            return Err(KeyTextProblem::Id);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| KeyTextProblem::Id)
    }
}

/// A key that was just made and belongs to no ring yet.
///
/// # Security
/// `Debug` shows its id alone; the bytes are wiped when it is dropped.
pub struct NewKey {
    pub(crate) id: KeyId,
    pub(crate) secret: Secret,
}

impl NewKey {
    /// Random bytes that a key is made from: four for its id, thirty-two for its secret.
    pub const RANDOM_BYTES: usize = KeyId::LENGTH + Secret::LENGTH;

    /// The key made of `random`, which must come from a cryptographic generator.
    #[must_use]
    pub fn from_random(random: &[u8; Self::RANDOM_BYTES]) -> Self {
        let (id, secret) = random.split_first_chunk().expect("an id is shorter");
        let (secret, _) = secret.split_first_chunk().expect("the rest is a secret");
        Self { id: KeyId::from_bytes(*id), secret: Secret::new(secret) }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// This key as the environment takes it: `id:base64`.
    ///
    /// # Security
    /// This is the secret. It is wiped when dropped.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}:{}", self.id, self.secret.to_base64().as_str()))
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One key, since when it seals and until when it opens.
///
/// # Security
/// Whoever has its bytes can read and make sessions. `Debug` shows its id alone; the bytes are wiped when the last copy is
/// dropped, and the library wipes what it made of them.
#[derive(Clone)]
pub struct SealKey {
    pub(crate) id: KeyId,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) seals_from: Option<Timestamp>,
    pub(crate) opens_until: Option<Timestamp>,
    material: Arc<Material>,
}

struct Material {
    secret: Secret,
    cipher: LessSafeKey,
}

impl SealKey {
    /// Bytes of a key of AES-256.
    pub const SECRET_BYTES: usize = Secret::LENGTH;

    /// The key of these bytes, which must come from a cryptographic generator. It opens, for ever, and never seals.
    #[must_use]
    pub fn new(id: KeyId, bytes: &[u8; Self::SECRET_BYTES]) -> Self {
        Self::of(id, Secret::new(bytes))
    }

    /// The same key, sealing from `at` on, unless a newer one does.
    #[must_use]
    pub fn seals_from(self, at: Timestamp) -> Self {
        Self { seals_from: Some(at), ..self }
    }

    /// The same key, opening until `at`, and nothing from that instant on.
    #[must_use]
    pub fn opens_until(self, at: Timestamp) -> Self {
        Self { opens_until: Some(at), ..self }
    }

    /// The same key, made at `at`.
    #[must_use]
    pub fn created_at(self, at: Timestamp) -> Self {
        Self { created_at: Some(at), ..self }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn of(id: KeyId, secret: Secret) -> Self {
        let key =
            UnboundKey::new(&AES_256_GCM_SIV, secret.0.as_slice()).expect("a key of AES-256 has 32 bytes");
        let material = Arc::new(Material { secret, cipher: LessSafeKey::new(key) });
        Self { id, created_at: None, seals_from: None, opens_until: None, material }
    }

    /// The same key with these instants instead of its own.
    pub(crate) fn with_instants(self, instants: Instants) -> Self {
        let Instants { created_at, seals_from, opens_until } = instants;
        Self { created_at, seals_from, opens_until, ..self }
    }

    pub(crate) fn cipher(&self) -> &LessSafeKey {
        &self.material.cipher
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.material.secret
    }

    /// Whether it opens nothing any more. A key is over *at* its instant.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.opens_until.is_some_and(|until| now >= until)
    }

    /// Whether it was over long ago: also by a clock that is late.
    pub(crate) fn is_long_over(&self, now: Timestamp) -> bool {
        self.opens_until.is_some_and(|until| now >= until.plus(KeyRing::KEPT_LONGER))
    }

    /// What the order of keys goes by: one that only opens is older than all that seal.
    pub(crate) const fn age(&self) -> (Option<Timestamp>, Option<Timestamp>, KeyId) {
        (self.seals_from, self.created_at, self.id)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a file says of a key's time.
pub(crate) struct Instants {
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) seals_from: Option<Timestamp>,
    pub(crate) opens_until: Option<Timestamp>,
}

/// The bytes of a key; wiped when dropped.
pub(crate) struct Secret(Zeroizing<[u8; Secret::LENGTH]>);

impl Secret {
    pub(crate) const LENGTH: usize = 32;
    /// Characters of base64.
    pub(crate) const TEXT_LENGTH: usize = Self::LENGTH.div_ceil(3) * 4;

    fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Reads what people keep.
    ///
    /// # Errors
    /// Without a word of the text: it is somebody's secret.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyTextProblem> {
        if text.len() != Self::TEXT_LENGTH {
            return Err(KeyTextProblem::Secret);
        }
        let mut secret = Self::new(&[0; Self::LENGTH]);
        match STANDARD.decode_slice(text, secret.0.as_mut_slice()) {
            Ok(Self::LENGTH) => {}
            _ => return Err(KeyTextProblem::Secret),
        }
        // Somebody's placeholder. Never the work of a generator: one key in 2^248.
        let is_constant = secret.0.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
        if is_constant { Err(KeyTextProblem::Constant) } else { Ok(secret) }
    }

    pub(crate) fn to_base64(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new([0; Self::TEXT_LENGTH]);
        STANDARD.encode_slice(self.0.as_slice(), text.as_mut_slice()).expect("44 characters for 32 bytes");
        Zeroizing::new(std::str::from_utf8(text.as_slice()).expect("base64 is ASCII").to_owned())
    }
}

/// What is wrong with the text of a key; says nothing of what the text was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextProblem {
    /// No id.
    #[error("the id is not eight digits of 0-9 a-f")]
    Id,
    /// No secret.
    #[error("the secret is not 32 bytes in base64 (44 characters)")]
    Secret,
    /// A placeholder.
    #[error("the secret is one byte repeated: make a random one")]
    Constant,
    /// No instant.
    #[error("an instant is neither `-` nor like 2026-03-01T09:30:00Z")]
    Instant,
    /// Parts are missing, or there are too many.
    #[error("it has not the parts that a key has")]
    Parts,
    /// The first line is not what it must be.
    #[error("it is not the first line of a key file that this version reads")]
    Header,
}

const ID_DIGITS: usize = 8;
