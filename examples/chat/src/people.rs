//! Who may sign in, as in the shop: names, and argon2id hashes of passwords.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use cloakroom::{PrincipalId, Random};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Whoever has an account.
#[derive(Debug)]
pub struct People {
    hashes: Arc<[(PrincipalId, PasswordHash)]>,
    /// Hashing takes memory and time on purpose: so many at once.
    turns: Semaphore,
}

impl People {
    /// These names and passwords.
    ///
    /// # Errors
    /// [`PeopleError`] where a name is none, or there is no randomness for the salts.
    pub fn new(random: &impl Random, people: &[(&str, &str)]) -> Result<Self, PeopleError> {
        let hashed = |(name, password): &(&str, &str)| {
            let mut salt = [0; 16];
            random.fill(&mut salt).map_err(|_| PeopleError)?;
            let name = PrincipalId::new(name).map_err(|_| PeopleError)?;
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            Ok((name, hash.map_err(|_| PeopleError)?))
        };
        let hashes = people.iter().map(hashed).collect::<Result<_, _>>()?;
        Ok(Self { hashes, turns: Semaphore::new(AT_ONCE) })
    }

    /// The person of this name, where the password is right. An unknown name takes as long as a wrong password
    /// (ASVS 6.3.8): somebody's hash is always checked.
    pub async fn check(&self, name: &str, password: String) -> Option<PrincipalId> {
        if password.len() > PASSWORD_MAX_BYTES {
            return None;
        }
        let _turn = self.turns.acquire().await.ok()?;
        let known = self.hashes.iter().position(|(id, _)| id.as_str() == name);
        let hashes = Arc::clone(&self.hashes);
        let checking = tokio::task::spawn_blocking(move || {
            let (id, hash) = hashes.get(known.unwrap_or(0))?;
            let right = Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
            (right && known.is_some()).then(|| id.clone())
        });
        checking.await.ok().flatten()
    }
}

/// The list of people cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeopleError;

impl std::fmt::Display for PeopleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the list of people cannot be used")
    }
}

impl std::error::Error for PeopleError {}

/// Hashes computed at once; each takes 19 MiB.
const AT_ONCE: usize = 4;
/// Longer passwords would only cost time.
const PASSWORD_MAX_BYTES: usize = 1_024;
