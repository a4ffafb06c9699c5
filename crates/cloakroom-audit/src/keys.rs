//! Keys that seals and checkpoints are signed with: Ed25519.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloakroom::Random;
use sha2::{Digest as _, Sha256};

use crate::AuditError;

/// A private key that seals the log: one for each node, in a file that only the server reads.
///
/// # Security
/// Whoever has it can write another history. It never leaves the file and this process; `Debug` shows its name alone.
#[derive(Clone)]
pub struct SealingKey {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl SealingKey {
    /// The key in the file at `path` (PKCS#8, PEM); makes one, readable by this user alone, where there is no file.
    ///
    /// # Errors
    /// [`AuditError`] where the file cannot be read or made, or holds something else. A file that is there is never
    /// replaced.
    pub fn load_or_create(path: &Path, random: &dyn Random) -> Result<Self, AuditError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let mut seed = [0; SEED_BYTES];
        random.fill(&mut seed).map_err(|e| AuditError::new(MAKE, e))?;
        let key = Self::from_seed(&seed)?;
        let pem = key.to_pem()?;
        // Beside it and then in its place: nobody finds half a key, and of several that make one at once one wins.
        let fresh = path.with_extension(format!("key.{}", std::process::id()));
        let made =
            write_private(&fresh, pem.as_bytes()).and_then(|()| match std::fs::hard_link(&fresh, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            });
        let removed = std::fs::remove_file(&fresh);
        made.and(removed).map_err(|e| AuditError::new(MAKE, format!("{}: {e}", path.display())))?;
        Self::load(path)?.ok_or_else(|| AuditError::new(MAKE, "the file is gone again"))
    }

    /// The key in the file at `path`; `None` where there is no file.
    ///
    /// # Errors
    /// As [`load_or_create`](Self::load_or_create).
    pub fn load(path: &Path) -> Result<Option<Self>, AuditError> {
        let mut text = String::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MOST_PEM_BYTES).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::new(READ, error)),
            Ok(_) => Self::from_pem(&text).map(Some),
        }
    }

    /// The key of this seed, which must be random.
    ///
    /// # Errors
    /// [`AuditError`] where the library refuses it, which it does for no seed.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, AuditError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|e| AuditError::new(MAKE, e))?;
        Self::of(pair)
    }

    fn from_pem(text: &str) -> Result<Self, AuditError> {
        let none = || AuditError::new(READ, "the file holds no Ed25519 key in PKCS#8 and PEM");
        let body = text.trim().strip_prefix(PEM_BEGIN).and_then(|text| text.strip_suffix(PEM_END));
        let body: String = body.ok_or_else(none)?.split_whitespace().collect();
        let document = STANDARD.decode(body).map_err(|_| none())?;
        // What `openssl genpkey` writes lacks the public half; both forms are taken.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map_err(|_| none())?;
        Self::of(pair)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, AuditError> {
        let public = pair.public_key().as_ref().try_into().map_err(|e| AuditError::new(READ, e))?;
        Ok(Self { pair: Arc::new(pair), public: PublicKey(public) })
    }

    fn to_pem(&self) -> Result<String, AuditError> {
        let document = self.pair.to_pkcs8v1().map_err(|e| AuditError::new(MAKE, e))?;
        Ok(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(document)))
    }

    /// The public half: what others verify with.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; Signature::LENGTH];
        let signed = self.pair.sign(message);
        for (byte, of) in signature.iter_mut().zip(signed.as_ref()) {
            *byte = *of;
        }
        Signature(signature)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.public.id())
    }
}

/// The public half of a [`SealingKey`], written `ed25519:` and 44 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Its name: the beginning of its SHA-256.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.0);
        KeyId(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, &signature.0).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PublicKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let encoded = text.strip_prefix(PUBLIC_PREFIX).ok_or(MalformedKey)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| MalformedKey)?;
        bytes.try_into().map(Self).map_err(|_| MalformedKey)
    }
}

/// A text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not `ed25519:` and 32 bytes in base64")]
pub struct MalformedKey;

/// The name of a key: 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(String);

impl KeyId {
    /// A name as it was stored.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signature by Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature([u8; Signature::LENGTH]);

impl Signature {
    /// How many bytes it has.
    pub const LENGTH: usize = 64;

    /// A signature as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// The keys whose seals are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(BTreeMap<KeyId, PublicKey>);

impl TrustedKeys {
    /// These keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }

    /// These keys and this one.
    #[must_use]
    pub fn and(&self, key: Option<PublicKey>) -> Self {
        Self(self.0.values().copied().chain(key).map(|key| (key.id(), key)).collect())
    }

    /// Whether the key of this name is believed.
    #[must_use]
    pub fn trusts(&self, key: &KeyId) -> bool {
        self.0.contains_key(key)
    }

    /// Whether a believed key of this name signed `message`.
    pub(crate) fn verify(&self, key: &KeyId, message: &[u8], signature: &Signature) -> bool {
        self.0.get(key).is_some_and(|public| public.verifies(message, signature))
    }
}

#[cfg(unix)]
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(not(unix))]
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Bytes that a private key is made from.
pub const SEED_BYTES: usize = 32;
const MOST_PEM_BYTES: u64 = 4_096;
const PUBLIC_PREFIX: &str = "ed25519:";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
const READ: &str = "reading the key that signs it";
const MAKE: &str = "making the key that signs it";

#[cfg(test)]
mod tests {
    use cloakroom::OsRandom;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_user_alone_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        assert!(SealingKey::load(&path).unwrap().is_none());
        let made = SealingKey::load_or_create(&path, &OsRandom).unwrap();
        let again = SealingKey::load_or_create(&path, &OsRandom).unwrap();
        assert_eq!(made.public(), again.public());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{made:?}").contains(made.to_pem().unwrap().lines().nth(1).unwrap()));
        for broken in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            std::fs::write(&path, broken).unwrap();
            assert!(SealingKey::load_or_create(&path, &OsRandom).is_err(), "{broken}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
    }

    #[test]
    fn a_key_made_by_openssl_is_taken() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        // The example of RFC 8410 §10.3.
        let key = SealingKey::from_pem(pem).unwrap();
        assert_eq!(key.public().to_string(), "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
        assert_eq!(key.public().to_string().parse(), Ok(*key.public()));
        for text in ["", "ed25519:", "ed25519:AAAA", "rsa:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_believed_key_signs() {
        let (one, other) =
            (SealingKey::from_seed(&[1; 32]).unwrap(), SealingKey::from_seed(&[2; 32]).unwrap());
        let trusted = TrustedKeys::new([*one.public()]);
        let id = one.public().id();
        assert!(trusted.verify(&id, b"text", &one.sign(b"text")));
        assert!(!trusted.verify(&id, b"texts", &one.sign(b"text")));
        assert!(!trusted.verify(&id, b"text", &other.sign(b"text")), "in another's name");
        assert!(!trusted.verify(&other.public().id(), b"text", &other.sign(b"text")));
        assert!(trusted.and(Some(*other.public())).trusts(&other.public().id()));
    }
}
