//! The built-in accounts: names, roles and argon2id hashes, in SQLite, PostgreSQL or MySQL.
//!
//! [`Accounts`] is the face for everybody: hashing runs off the async threads and is bounded, and an unknown, a disabled
//! and a wrong answer are one refusal that takes the same time (ASVS 6.3.8). [`AccountStore`] is the narrow waist below it;
//! [`open()`] opens the one that is configured.

mod account;
mod error;
mod gate;
mod hashing;
#[cfg(feature = "mysql")]
mod mysql;
mod name;
mod open;
mod password;
#[cfg(feature = "postgres")]
mod postgres;
mod setup;
mod sqlite;
mod store;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::Random;
use cloakroom_core::Timestamp;

pub use account::{
    Account, AccountChange, Added, Credentials, Guard, NewAccount, PasswordSet, Remaining, Roles, SetupUsed,
};
pub use error::{AccountError, AccountErrorKind, Place};
pub use gate::HashingLimits;
pub use hashing::StoredHash;
#[cfg(feature = "mysql")]
pub use mysql::MysqlAccounts;
pub use name::{AccountKey, AccountName, InvalidAccountName, account_key};
pub use open::open;
pub use password::{Password, PasswordAdvice, PasswordRefusal, PasswordTooLong};
#[cfg(feature = "postgres")]
pub use postgres::PostgresAccounts;
pub use setup::{SetupDigest, SetupToken};
pub use sqlite::SqliteAccounts;
pub use store::{AccountFuture, AccountStore};

use gate::{Admission, Gate};
use hashing::Salt;

/// The built-in accounts, for async code. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AccountStore>,
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
        store: Arc<dyn AccountStore>,
        random: Arc<dyn Random>,
        limits: HashingLimits,
    ) -> Result<Self, AccountError> {
        let nobody = Password::new("nobody's password").expect("a short text");
        let nobody = StoredHash::of(&nobody, salt(&*store, &*random)?);
        Ok(Self { inner: Arc::new(Inner { store, random, gate: Gate::new(limits), nobody }) })
    }

    /// Checks a name and a password, however the name is typed.
    ///
    /// A hash made with outdated parameters is replaced on the way, where the database takes it.
    ///
    /// # Errors
    /// [`AccountError`]; its kind is [`Overloaded`](AccountErrorKind::Overloaded), at once, where too many passwords
    /// wait already, and [`Unavailable`](AccountErrorKind::Unavailable) where the database cannot be asked. Neither says
    /// anything about the password.
    ///
    /// # Security
    /// Every refusal asks the database once and hashes one password with the same parameters, so that neither answer nor
    /// time tells whether the account exists. The session issued for a verified account has to be checked once more: see
    /// [`is_current`](Self::is_current).
    pub async fn verify(&self, name: &str, password: Password) -> Result<Verdict, AccountError> {
        // Before the database is asked: it is not to be flooded either.
        let admission = self.admit("verify")?;
        let found = self.inner.store.get(&AccountKey::of(name)).await?;
        let inner = Arc::clone(&self.inner);
        let checked = self.hashing("verify", admission, move || {
            let Some(found) = found else {
                // As long as for anybody else, for nothing.
                let _ = inner.nobody.matches(&password);
                return Ok((Verdict::Refused, None));
            };
            if !found.hash.matches(&password) || !found.account.is_enabled() {
                return Ok((Verdict::Refused, None));
            }
            let better = found.hash.is_outdated().then(|| salt(&*inner.store, &*inner.random)).transpose()?;
            let better = better.map(|salt| (found.hash, StoredHash::of(&password, salt)));
            Ok((Verdict::Verified(found.account), better))
        });
        let (verdict, better) = checked.await?;
        if let (Verdict::Verified(account), Some((old, better))) = (&verdict, better) {
            // The old hash is as good as it was: nobody is kept out because a better one cannot be written.
            if let Err(error) = self.inner.store.rehash(account.name.key(), &old, &better).await {
                tracing::warn!(%error, cause = std::error::Error::source(&error), "an outdated hash could not be replaced");
            }
        }
        Ok(verdict)
    }

    /// Whether nothing about `account` changed since it was read: password, roles, state.
    ///
    /// Ask after issuing a session for it, and end that session if not.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing is known, and the session must end too.
    pub async fn is_current(&self, account: &Account) -> Result<bool, AccountError> {
        let now = self.inner.store.get(account.name.key()).await?;
        Ok(now.is_some_and(|now| now.account.credential_epoch == account.credential_epoch))
    }

    /// Checks a new password for an account named `name` against the rules and hashes it.
    ///
    /// # Errors
    /// [`AccountError`], as [`verify`](Self::verify).
    pub async fn hash_new(&self, name: &str, password: Password) -> Result<NewPassword, AccountError> {
        let admission = self.admit("hash_new")?;
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        let hashed = self.hashing("hash_new", admission, move || match password.check(&name) {
            Ok(advice) => {
                let hash = StoredHash::of(&password, salt(&*inner.store, &*inner.random)?);
                Ok(NewPassword::Accepted { hash, advice })
            }
            Err(refusal) => Ok(NewPassword::Refused(refusal)),
        });
        hashed.await
    }

    /// [`AccountStore::add`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn add(&self, new: NewAccount, now: Timestamp) -> Result<Added, AccountError> {
        self.inner.store.add(&new, now).await
    }

    /// The account of this name, however it is typed.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn get(&self, name: &str) -> Result<Option<Account>, AccountError> {
        Ok(self.inner.store.get(&AccountKey::of(name)).await?.map(|found| found.account))
    }

    /// Up to `limit` accounts behind the one named `after`, by name as it is looked up.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn page(&self, after: Option<&str>, limit: NonZeroU16) -> Result<Vec<Account>, AccountError> {
        self.inner.store.page(after.map(AccountKey::of).as_ref(), limit).await
    }

    /// Every account, by name as it is looked up: page by page, for commands.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn list(&self) -> Result<Vec<Account>, AccountError> {
        let mut all = Vec::<Account>::new();
        loop {
            let page = self.inner.store.page(all.last().map(|last| last.name.key()), PAGE).await?;
            let is_last = page.len() < usize::from(PAGE.get());
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// [`AccountStore::count`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn count(&self) -> Result<u64, AccountError> {
        self.inner.store.count().await
    }

    /// [`AccountStore::disable`]. The caller ends the account's sessions.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn disable(
        &self,
        name: &str,
        remaining: Remaining,
        now: Timestamp,
    ) -> Result<AccountChange, AccountError> {
        self.inner.store.disable(&AccountKey::of(name), remaining, now).await
    }

    /// [`AccountStore::enable`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn enable(&self, name: &str) -> Result<Option<Account>, AccountError> {
        self.inner.store.enable(&AccountKey::of(name)).await
    }

    /// [`AccountStore::set_roles`]. The caller ends the account's sessions, which carry the old roles.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_roles(
        &self,
        name: &str,
        roles: Roles,
        remaining: Remaining,
    ) -> Result<AccountChange, AccountError> {
        self.inner.store.set_roles(&AccountKey::of(name), &roles, remaining).await
    }

    /// [`AccountStore::set_password`]. The caller ends the account's other sessions.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_password(
        &self,
        name: &str,
        hash: StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> Result<PasswordSet, AccountError> {
        self.inner.store.set_password(&AccountKey::of(name), &hash, guard, now).await
    }

    /// Makes a new set-up token, which holds for [`SETUP_LIFETIME`](Self::SETUP_LIFETIME), and earlier ones worthless;
    /// `None` where there is an account already.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn begin_setup(&self, now: Timestamp) -> Result<Option<SetupToken>, AccountError> {
        let mut random = [0; SetupToken::BYTES];
        fill(&*self.inner.store, &*self.inner.random, &mut random)?;
        let token = SetupToken::from_random(random);
        let begun = self.inner.store.begin_setup(token.digest(), now.plus(Self::SETUP_LIFETIME)).await?;
        Ok(begun.then_some(token))
    }

    /// [`AccountStore::setup_is_open`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn setup_is_open(&self, token: &SetupToken, now: Timestamp) -> Result<bool, AccountError> {
        self.inner.store.setup_is_open(token.digest(), now).await
    }

    /// [`AccountStore::complete_setup`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn complete_setup(
        &self,
        token: &SetupToken,
        first: NewAccount,
        now: Timestamp,
    ) -> Result<SetupUsed, AccountError> {
        self.inner.store.complete_setup(token.digest(), &first, now).await
    }

    fn admit(&self, op: &'static str) -> Result<Admission, AccountError> {
        self.inner.gate.admit().ok_or_else(|| self.error(AccountErrorKind::Overloaded, op))
    }

    async fn hashing<T: Send + 'static>(
        &self,
        op: &'static str,
        admission: Admission,
        work: impl FnOnce() -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let done = admission.run(work).await;
        done.unwrap_or_else(|| Err(self.error(AccountErrorKind::Overloaded, op)))
    }

    fn error(&self, kind: AccountErrorKind, op: &'static str) -> AccountError {
        AccountError::new(kind, op, self.inner.store.place())
    }
}

fn salt(store: &dyn AccountStore, random: &dyn Random) -> Result<Salt, AccountError> {
    let mut bytes = [0; Salt::BYTES];
    fill(store, random, &mut bytes)?;
    Ok(Salt::from_random(bytes))
}

fn fill(store: &dyn AccountStore, random: &dyn Random, bytes: &mut [u8]) -> Result<(), AccountError> {
    let failed = |e| AccountError::new(AccountErrorKind::Unavailable, "random", store.place()).caused_by(e);
    random.fill(bytes).map_err(failed)
}

/// Accounts read at once where all are wanted.
const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");

#[cfg(test)]
mod tests;
