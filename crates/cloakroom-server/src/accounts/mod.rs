//! The built-in accounts: names, roles and argon2id hashes in a SQLite file of their own.
//!
//! [`Accounts`] is the face for async code: hashing runs off the async threads and is bounded, and an unknown, a
//! disabled and a wrong answer are one refusal that takes the same time (ASVS 6.3.8). [`AccountStore`] is the blocking
//! store below it.

mod account;
mod error;
mod gate;
mod hashing;
mod name;
mod password;
mod schema;
mod setup;
mod store;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::Random;
use cloakroom_core::Timestamp;

pub use account::{Account, Added, Credentials, Guard, NewAccount, PasswordSet, Roles, SetupUsed};
pub use error::{AccountError, AccountErrorKind};
pub use gate::HashingLimits;
pub use hashing::StoredHash;
pub use name::{AccountName, InvalidAccountName, account_key};
pub use password::{Password, PasswordAdvice, PasswordRefusal, PasswordTooLong};
pub use setup::{SetupDigest, SetupToken};
pub use store::AccountStore;

use gate::Gate;
use hashing::Salt;

/// The built-in accounts, for async code. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: AccountStore,
    random: Arc<dyn Random>,
    gate: Gate,
    /// What the password of an account that does not exist is checked against.
    nobody: StoredHash,
}

/// What became of checking a name and a password.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// They belong together, and the account may sign in.
    Verified(Account),
    /// They don't, or there is no such account, or it is disabled. Nobody is told which.
    Refused,
}

/// What became of a new password.
#[derive(Clone, Debug)]
#[must_use]
pub enum NewPassword {
    /// It was hashed, ready to be stored.
    Accepted {
        /// What to store.
        hash: StoredHash,
        /// What would be better still.
        advice: PasswordAdvice,
    },
    /// The rules refuse it.
    Refused(PasswordRefusal),
}

impl Accounts {
    /// For how long a set-up link holds.
    pub const SETUP_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

    /// Accounts in `store`, hashing within `limits`.
    ///
    /// # Errors
    /// [`AccountError`] where there are no random bytes.
    ///
    /// # Cost
    /// Blocks for one hash: some tens of milliseconds.
    pub fn new(
        store: AccountStore,
        random: Arc<dyn Random>,
        limits: HashingLimits,
    ) -> Result<Self, AccountError> {
        let nobody = Password::new("nobody's password").expect("a short text");
        let nobody = StoredHash::of(&nobody, salt(&store, &*random)?);
        Ok(Self { inner: Arc::new(Inner { store, random, gate: Gate::new(limits), nobody }) })
    }

    /// Checks a name and a password, however the name is typed.
    ///
    /// A hash made with outdated parameters is replaced on the way.
    ///
    /// # Errors
    /// [`AccountError`]; its kind is [`Overloaded`](AccountErrorKind::Overloaded), at once, where too many passwords
    /// wait already.
    ///
    /// # Security
    /// Every refusal hashes one password with the same parameters, so that neither answer nor time tells whether the
    /// account exists. The session issued for a verified account has to be checked once more: see
    /// [`is_current`](Self::is_current).
    pub async fn verify(&self, name: &str, password: Password) -> Result<Verdict, AccountError> {
        let typed = name.to_owned();
        self.hashing("verify", move |inner| {
            let found = inner.store.get(&typed)?;
            let matches = found.as_ref().map_or(&inner.nobody, |found| &found.hash).matches(&password);
            match found {
                Some(found) if matches && found.account.is_enabled() => {
                    if found.hash.is_outdated() {
                        let better = StoredHash::of(&password, salt(&inner.store, &*inner.random)?);
                        inner.store.rehash(&found.account.name, &found.hash, &better)?;
                    }
                    Ok(Verdict::Verified(found.account))
                }
                _ => Ok(Verdict::Refused),
            }
        })
        .await
    }

    /// Whether nothing about `account` changed since it was read: password, roles, state.
    ///
    /// Ask after issuing a session for it, and end that session if not.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing is known, and the session must end too.
    pub async fn is_current(&self, account: &Account) -> Result<bool, AccountError> {
        let now = self.get(account.name.as_str()).await?;
        Ok(now.is_some_and(|now| now.credential_epoch == account.credential_epoch))
    }

    /// Checks a new password for an account named `name` against the rules and hashes it.
    ///
    /// # Errors
    /// [`AccountError`], as [`verify`](Self::verify).
    pub async fn hash_new(&self, name: &str, password: Password) -> Result<NewPassword, AccountError> {
        let name = name.to_owned();
        self.hashing("hash_new", move |inner| match password.check(&name) {
            Ok(advice) => {
                let hash = StoredHash::of(&password, salt(&inner.store, &*inner.random)?);
                Ok(NewPassword::Accepted { hash, advice })
            }
            Err(refusal) => Ok(NewPassword::Refused(refusal)),
        })
        .await
    }

    /// [`AccountStore::add`].
    ///
    /// # Errors
    /// [`AccountError`]; then there is no new account.
    pub async fn add(&self, new: NewAccount, now: Timestamp) -> Result<Added, AccountError> {
        self.blocking(move |store| store.add(&new, now)).await
    }

    /// The account of this name, however it is typed.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn get(&self, name: &str) -> Result<Option<Account>, AccountError> {
        let name = name.to_owned();
        self.blocking(move |store| Ok(store.get(&name)?.map(|found| found.account))).await
    }

    /// [`AccountStore::list`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn list(&self) -> Result<Vec<Account>, AccountError> {
        self.blocking(AccountStore::list).await
    }

    /// [`AccountStore::count`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn count(&self) -> Result<u64, AccountError> {
        self.blocking(AccountStore::count).await
    }

    /// [`AccountStore::disable`]. The caller ends the account's sessions.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub async fn disable(&self, name: &str, now: Timestamp) -> Result<Option<Account>, AccountError> {
        let name = name.to_owned();
        self.blocking(move |store| store.disable(&name, now)).await
    }

    /// [`AccountStore::enable`].
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub async fn enable(&self, name: &str) -> Result<Option<Account>, AccountError> {
        let name = name.to_owned();
        self.blocking(move |store| store.enable(&name)).await
    }

    /// [`AccountStore::set_roles`]. The caller ends the account's sessions.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub async fn set_roles(&self, name: &str, roles: Roles) -> Result<Option<Account>, AccountError> {
        let name = name.to_owned();
        self.blocking(move |store| store.set_roles(&name, &roles)).await
    }

    /// [`AccountStore::set_password`]. The caller ends the account's other sessions.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub async fn set_password(
        &self,
        name: &str,
        hash: StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> Result<PasswordSet, AccountError> {
        let name = name.to_owned();
        self.blocking(move |store| store.set_password(&name, &hash, guard, now)).await
    }

    /// Makes a new set-up token, which holds for [`SETUP_LIFETIME`](Self::SETUP_LIFETIME), and earlier ones worthless;
    /// `None` where there is an account already.
    ///
    /// # Errors
    /// [`AccountError`]; then the earlier token still holds.
    pub async fn begin_setup(&self, now: Timestamp) -> Result<Option<SetupToken>, AccountError> {
        let mut random = [0; SetupToken::BYTES];
        fill(&self.inner.store, &*self.inner.random, &mut random)?;
        let token = SetupToken::from_random(random);
        let digest = token.digest();
        let begun =
            self.blocking(move |store| store.begin_setup(digest, now.plus(Self::SETUP_LIFETIME))).await?;
        Ok(begun.then_some(token))
    }

    /// [`AccountStore::setup_is_open`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn setup_is_open(&self, token: &SetupToken, now: Timestamp) -> Result<bool, AccountError> {
        let digest = token.digest();
        self.blocking(move |store| store.setup_is_open(digest, now)).await
    }

    /// [`AccountStore::complete_setup`].
    ///
    /// # Errors
    /// [`AccountError`]; then there is no account and the token still holds.
    pub async fn complete_setup(
        &self,
        token: &SetupToken,
        first: NewAccount,
        now: Timestamp,
    ) -> Result<SetupUsed, AccountError> {
        let digest = token.digest();
        self.blocking(move |store| store.complete_setup(digest, &first, now)).await
    }

    async fn hashing<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let inner = self.inner.clone();
        let done = self.inner.gate.run(move || work(&inner)).await;
        done.unwrap_or_else(|| Err(self.inner.store.error(AccountErrorKind::Overloaded, op)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountStore) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let inner = self.inner.clone();
        match tokio::task::spawn_blocking(move || work(&inner.store)).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => Err(self.inner.store.error(AccountErrorKind::Unavailable, "shut down").caused_by(e)),
        }
    }
}

fn salt(store: &AccountStore, random: &dyn Random) -> Result<Salt, AccountError> {
    let mut bytes = [0; Salt::BYTES];
    fill(store, random, &mut bytes)?;
    Ok(Salt::from_random(bytes))
}

fn fill(store: &AccountStore, random: &dyn Random, bytes: &mut [u8]) -> Result<(), AccountError> {
    random.fill(bytes).map_err(|e| store.error(AccountErrorKind::Unavailable, "random").caused_by(e))
}

#[cfg(test)]
mod tests;
