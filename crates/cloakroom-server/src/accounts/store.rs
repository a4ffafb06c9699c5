//! The narrow waist between accounts and the database they are in.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;

use cloakroom_core::Timestamp;

use super::account::{
    Account, AccountChange, Added, Credentials, Guard, NewAccount, PasswordSet, Remaining, Roles, SetupUsed,
};
use super::error::{AccountError, Place};
use super::hashing::StoredHash;
use super::name::AccountKey;
use super::setup::SetupDigest;

/// An answer of the accounts' database.
pub type AccountFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AccountError>> + Send + 'a>>;

/// The built-in accounts as a database keeps them.
///
/// Every change is conditional and one transaction: it is there when the answer comes, also after a power cut, or it never
/// happened. Several processes, on one machine or on many, may share one database; each sees what the others were answered.
/// Every call comes back within a bound, whatever the database does.
///
/// Passwords and tokens never get here, only what was made of them. The suite in `tests/it/accounts` says what has to hold;
/// every implementation passes it.
///
/// # Errors
/// [`AccountError`] from every function; then nothing has changed, unless it is
/// [in doubt](AccountError::is_in_doubt).
pub trait AccountStore: fmt::Debug + Send + Sync + 'static {
    /// Where they are, for messages.
    fn place(&self) -> &Place;

    /// Adds an account, unless there is one with the same key. Every set-up token is worthless from then on.
    fn add<'a>(&'a self, new: &'a NewAccount, now: Timestamp) -> AccountFuture<'a, Added>;

    /// The account with this key, and the hash of its password.
    fn get<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Credentials>>;

    /// Up to `limit` accounts with keys behind `after`, in the order of the keys' bytes.
    fn page<'a>(
        &'a self,
        after: Option<&'a AccountKey>,
        limit: NonZeroU16,
    ) -> AccountFuture<'a, Vec<Account>>;

    /// How many accounts there are.
    fn count(&self) -> AccountFuture<'_, u64>;

    /// Lets the account sign in no longer, from `now` on. Does nothing to one that is disabled already.
    fn disable<'a>(
        &'a self,
        key: &'a AccountKey,
        remaining: Remaining,
        now: Timestamp,
    ) -> AccountFuture<'a, AccountChange>;

    /// Lets the account sign in again. Does nothing to one that may.
    fn enable<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Account>>;

    /// Gives the account these roles instead of its own. Does nothing where they are its own.
    fn set_roles<'a>(
        &'a self,
        key: &'a AccountKey,
        roles: &'a Roles,
        remaining: Remaining,
    ) -> AccountFuture<'a, AccountChange>;

    /// Gives the account another password, where `guard` allows it.
    fn set_password<'a>(
        &'a self,
        key: &'a AccountKey,
        hash: &'a StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> AccountFuture<'a, PasswordSet>;

    /// Stores a better hash of the same password, unless the hash is no longer `old`. The epoch stays.
    fn rehash<'a>(
        &'a self,
        key: &'a AccountKey,
        old: &'a StoredHash,
        new: &'a StoredHash,
    ) -> AccountFuture<'a, ()>;

    /// Makes `token` the one that lets the first administrator in until `expires_at`; earlier ones are worthless from now
    /// on. `false` where there is an account: then none does.
    fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> AccountFuture<'_, bool>;

    /// Whether `token` would let the first administrator in at `now`.
    fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> AccountFuture<'_, bool>;

    /// Adds the first administrator and uses the token up, in one step: of several simultaneous uses one succeeds.
    fn complete_setup<'a>(
        &'a self,
        token: SetupDigest,
        first: &'a NewAccount,
        now: Timestamp,
    ) -> AccountFuture<'a, SetupUsed>;
}
