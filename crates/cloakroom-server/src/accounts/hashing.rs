//! Argon2id: what is stored instead of a password.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use super::password::Password;

/// A password's hash as it is stored: a PHC string with algorithm, parameters, salt and hash.
///
/// # Security
/// It does not lead back to the password except by guessing; `Debug` does not print it all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash(String);

impl StoredHash {
    /// Hashes a password with `salt`, which must be random and new.
    ///
    /// # Cost
    /// 19 MiB and some tens of milliseconds of one core: only on a thread that may block.
    #[must_use]
    pub fn of(password: &Password, salt: Salt) -> Self {
        let hash = argon2().hash_password_with_salt(password.as_bytes(), &salt.0);
        Self(hash.expect("parameters, salt and password lengths are within Argon2's limits").to_string())
    }

    /// The hash with this text, as a database kept it.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `password` is the one that was hashed. A stored text that is no hash matches nothing.
    ///
    /// # Cost
    /// As [`of`](Self::of), with the parameters that were used then.
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// Whether it was made with other parameters than a new one would be.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let current = (Algorithm::Argon2id.ident(), params());
        let made_with = PasswordHash::new(&self.0)
            .ok()
            .and_then(|hash| Some((hash.algorithm, Params::try_from(&hash).ok()?)));
        made_with.is_none_or(|(algorithm, made)| {
            (algorithm, made.m_cost(), made.t_cost(), made.p_cost())
                != (current.0, current.1.m_cost(), current.1.t_cost(), current.1.p_cost())
        })
    }
}

impl std::fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredHash(..)")
    }
}

/// Random bytes that make equal passwords have different hashes.
#[derive(Clone, Copy)]
pub struct Salt([u8; Salt::BYTES]);

impl Salt {
    /// Bytes in a salt (RFC 9106 §3.1 recommends 16).
    pub const BYTES: usize = 16;

    /// The salt made of `random`, which must be new for each hash.
    #[must_use]
    pub const fn from_random(random: [u8; Self::BYTES]) -> Self {
        Self(random)
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params())
}

fn params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within Argon2's limits")
}

/// 19 MiB, two passes, one lane: the first choice of OWASP's password storage cheat sheet that a small machine can
/// run several times at once.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn only_the_password_matches_its_hash_and_equal_passwords_differ() {
        let hash = StoredHash::of(&password("plum tractor 42"), Salt::from_random([1; 16]));
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hash.matches(&password("plum tractor 42")));
        assert!(!hash.matches(&password("plum tractor 43")));
        assert_ne!(hash, StoredHash::of(&password("plum tractor 42"), Salt::from_random([2; 16])));
        assert!(!hash.is_outdated());
    }

    #[test]
    fn a_hash_of_other_parameters_still_matches_and_is_outdated() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let old = weak.hash_password_with_salt(b"plum tractor 42", &[3; 16]).unwrap().to_string();
        let old = StoredHash::from_stored(old);
        assert!(old.matches(&password("plum tractor 42")));
        assert!(old.is_outdated());
    }

    #[test]
    fn a_stored_text_that_is_no_hash_matches_nothing() {
        for text in ["", "plum tractor 42", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"] {
            let stored = StoredHash::from_stored(text.into());
            assert!(!stored.matches(&password("plum tractor 42")), "{text}");
            assert!(stored.is_outdated(), "{text}");
        }
    }
}
