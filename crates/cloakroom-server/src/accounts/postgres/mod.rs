//! Accounts in PostgreSQL.

use std::num::NonZeroU16;

use cloakroom_core::Timestamp;
use cloakroom_postgres::{
    Parameters, PostgresError, PostgresOptions, PostgresPlan, PostgresPool, PostgresTransaction, Row,
};
use cloakroom_store::{Applied, ErrorKind};

use super::account::{
    Account, AccountChange, Added, Credentials, Guard, NewAccount, PasswordSet, Remaining, Roles, SetupUsed,
};
use super::error::{AccountError, AccountErrorKind, Place};
use super::hashing::StoredHash;
use super::name::{AccountKey, AccountName};
use super::setup::SetupDigest;
use super::store::{AccountFuture, AccountStore};

/// The built-in accounts in a PostgreSQL database, shared by any number of nodes.
///
/// What one row decides is one statement. Who may administer at all (the first account, the last administrator) is decided
/// in a transaction that locks one row first, so that no two such changes overlap.
#[derive(Debug)]
pub struct PostgresAccounts {
    place: Place,
    pool: PostgresPool,
}

impl PostgresAccounts {
    /// Connects, and makes the tables or brings them up to date; `shown` is where that is, without a password.
    ///
    /// # Errors
    /// [`AccountError`] where the server cannot be reached or refuses, or a later version has changed the tables.
    pub async fn connect(options: PostgresOptions, shown: String) -> Result<Self, AccountError> {
        let place = Place::Server(shown);
        match PostgresPool::connect(&options, &PLAN).await {
            Ok(pool) => Ok(Self { place, pool }),
            Err(error) => Err(failed(error, "open", &place)),
        }
    }

    async fn read(
        &self,
        op: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, AccountError> {
        self.pool.read(sql, parameters).await.map_err(|error| failed(error, op, &self.place))
    }

    async fn write(
        &self,
        op: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, AccountError> {
        self.pool.write(sql, parameters).await.map_err(|error| failed(error, op, &self.place))
    }

    /// A transaction in which nobody else changes who may administer.
    async fn alone(&self, op: &'static str) -> Result<Alone<'_>, AccountError> {
        let transaction = self.pool.begin().await.map_err(|error| failed(error, op, &self.place))?;
        let mut alone = Alone { transaction, op, place: &self.place };
        alone.ask("SELECT FROM cloakroom.account_setup WHERE id = 1 FOR UPDATE", &[]).await?;
        Ok(alone)
    }

    async fn find(&self, op: &'static str, key: &AccountKey) -> Result<Option<Credentials>, AccountError> {
        let rows = self.read(op, &select("WHERE key = $1"), &[&key.as_str()]).await?;
        rows.first().map(|row| credentials(row, op, &self.place)).transpose()
    }
}

/// A transaction that holds the lock.
struct Alone<'a> {
    transaction: PostgresTransaction,
    op: &'static str,
    place: &'a Place,
}

impl Alone<'_> {
    async fn ask(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, AccountError> {
        self.transaction.ask(sql, parameters).await.map_err(|error| failed(error, self.op, self.place))
    }

    async fn commit<T>(self, outcome: T) -> Result<T, AccountError> {
        let committed = self.transaction.commit().await;
        committed.map(|()| outcome).map_err(|error| failed(error, self.op, self.place))
    }

    async fn changed(
        &mut self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Account>, AccountError> {
        let rows = self.ask(sql, parameters).await?;
        rows.first().map(|row| Ok(credentials(row, self.op, self.place)?.account)).transpose()
    }

    async fn find(&mut self, key: &AccountKey) -> Result<Option<Account>, AccountError> {
        self.changed(&select("WHERE key = $1"), &[&key.as_str()]).await
    }

    async fn insert(&mut self, new: &NewAccount, now: Timestamp) -> Result<Option<Account>, AccountError> {
        let sql = format!(
            "INSERT INTO cloakroom.account \
             (key, name, roles, password_hash, created_at, password_changed_at, credential_epoch) \
             VALUES ($1, $2, $3, $4, $5, $5, 1) ON CONFLICT (key) DO NOTHING RETURNING {COLUMNS}"
        );
        let (key, roles) = (new.name.key().as_str(), new.roles.joined());
        let now = now.as_millis();
        self.changed(&sql, &[&key, &new.name.as_str(), &roles, &new.hash.as_str(), &now]).await
    }

    async fn is_first(&mut self) -> Result<bool, AccountError> {
        let rows = self.ask("SELECT FROM cloakroom.account LIMIT 1", &[]).await?;
        Ok(rows.is_empty())
    }

    async fn close_setup(&mut self) -> Result<(), AccountError> {
        let sql = "UPDATE cloakroom.account_setup SET digest = NULL, expires_at = NULL WHERE id = 1";
        self.ask(sql, &[]).await.map(drop)
    }

    /// Whether `remaining` asks for an administrator, and there is none but the account with this key.
    async fn is_needed(&mut self, key: &AccountKey, remaining: Remaining) -> Result<bool, AccountError> {
        if remaining == Remaining::Anybody {
            return Ok(false);
        }
        let sql = "SELECT FROM cloakroom.account WHERE key <> $1 AND disabled_at IS NULL \
                   AND strpos(',' || roles || ',', $2) > 0 LIMIT 1";
        let administrator = format!(",{},", Roles::ADMINISTRATOR);
        Ok(self.ask(sql, &[&key.as_str(), &administrator]).await?.is_empty())
    }
}

impl AccountStore for PostgresAccounts {
    fn place(&self) -> &Place {
        &self.place
    }

    fn add<'a>(&'a self, new: &'a NewAccount, now: Timestamp) -> AccountFuture<'a, Added> {
        Box::pin(async move {
            let mut alone = self.alone("add").await?;
            let created = alone.insert(new, now).await?;
            alone.close_setup().await?;
            alone.commit(created.map_or(Added::NameTaken, Added::Created)).await
        })
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Credentials>> {
        Box::pin(self.find("get", key))
    }

    fn page<'a>(
        &'a self,
        after: Option<&'a AccountKey>,
        limit: NonZeroU16,
    ) -> AccountFuture<'a, Vec<Account>> {
        Box::pin(async move {
            // No key is empty: behind the empty one are all.
            let after = after.map_or("", AccountKey::as_str);
            let sql = select("WHERE key > $1 ORDER BY key LIMIT $2");
            let rows = self.read("page", &sql, &[&after, &i64::from(limit.get())]).await?;
            rows.iter().map(|row| Ok(credentials(row, "page", &self.place)?.account)).collect()
        })
    }

    fn count(&self) -> AccountFuture<'_, u64> {
        Box::pin(async move {
            let rows = self.read("count", "SELECT count(*) FROM cloakroom.account", &[]).await?;
            let count: i64 = rows
                .first()
                .map_or(Ok(0), |row| row.try_get(0))
                .map_err(|error| damaged("count", &self.place).caused_by(error))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    fn disable<'a>(
        &'a self,
        key: &'a AccountKey,
        remaining: Remaining,
        now: Timestamp,
    ) -> AccountFuture<'a, AccountChange> {
        Box::pin(async move {
            let mut alone = self.alone("disable").await?;
            let Some(before) = alone.find(key).await? else {
                return alone.commit(AccountChange::NoSuchAccount).await;
            };
            if before.administers() && alone.is_needed(key, remaining).await? {
                return alone.commit(AccountChange::LastAdministrator).await;
            }
            let sql = format!(
                "UPDATE cloakroom.account SET disabled_at = $2, credential_epoch = credential_epoch + 1 \
                 WHERE key = $1 AND disabled_at IS NULL RETURNING {COLUMNS}"
            );
            let after = alone.changed(&sql, &[&key.as_str(), &now.as_millis()]).await?;
            alone.commit(AccountChange::Changed(after.unwrap_or(before))).await
        })
    }

    fn enable<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Account>> {
        Box::pin(async move {
            let mut alone = self.alone("enable").await?;
            let sql = format!(
                "UPDATE cloakroom.account SET disabled_at = NULL, credential_epoch = credential_epoch + 1 \
                 WHERE key = $1 AND disabled_at IS NOT NULL RETURNING {COLUMNS}"
            );
            let after = match alone.changed(&sql, &[&key.as_str()]).await? {
                Some(after) => Some(after),
                None => alone.find(key).await?,
            };
            alone.commit(after).await
        })
    }

    fn set_roles<'a>(
        &'a self,
        key: &'a AccountKey,
        roles: &'a Roles,
        remaining: Remaining,
    ) -> AccountFuture<'a, AccountChange> {
        Box::pin(async move {
            let mut alone = self.alone("set_roles").await?;
            let Some(before) = alone.find(key).await? else {
                return alone.commit(AccountChange::NoSuchAccount).await;
            };
            let stops = before.administers() && !roles.has_administrator();
            if stops && alone.is_needed(key, remaining).await? {
                return alone.commit(AccountChange::LastAdministrator).await;
            }
            let sql = format!(
                "UPDATE cloakroom.account SET roles = $2, credential_epoch = credential_epoch + 1 \
                 WHERE key = $1 AND roles <> $2 RETURNING {COLUMNS}"
            );
            let after = alone.changed(&sql, &[&key.as_str(), &roles.joined()]).await?;
            alone.commit(AccountChange::Changed(after.unwrap_or(before))).await
        })
    }

    fn set_password<'a>(
        &'a self,
        key: &'a AccountKey,
        hash: &'a StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> AccountFuture<'a, PasswordSet> {
        Box::pin(async move {
            let op = "set_password";
            let epoch = match guard {
                Guard::Epoch(epoch) => Some(i64::try_from(epoch).unwrap_or(i64::MAX)),
                Guard::None => None,
            };
            let sql = format!(
                "UPDATE cloakroom.account SET password_hash = $2, password_changed_at = $3, \
                 credential_epoch = credential_epoch + 1 \
                 WHERE key = $1 AND ($4::bigint IS NULL OR credential_epoch = $4) RETURNING {COLUMNS}"
            );
            let values: Parameters<'_> = &[&key.as_str(), &hash.as_str(), &now.as_millis(), &epoch];
            if let Some(row) = self.write(op, &sql, values).await?.first() {
                return Ok(PasswordSet::Changed(credentials(row, op, &self.place)?.account));
            }
            // An account is never removed: one that is there now was there then, under another epoch.
            let found = self.find(op, key).await?;
            Ok(found.map_or(PasswordSet::NoSuchAccount, |_| PasswordSet::Stale))
        })
    }

    fn rehash<'a>(
        &'a self,
        key: &'a AccountKey,
        old: &'a StoredHash,
        new: &'a StoredHash,
    ) -> AccountFuture<'a, ()> {
        Box::pin(async move {
            let sql = "UPDATE cloakroom.account SET password_hash = $3 WHERE key = $1 AND password_hash = $2";
            let values: Parameters<'_> = &[&key.as_str(), &old.as_str(), &new.as_str()];
            self.write("rehash", sql, values).await.map(drop)
        })
    }

    fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> AccountFuture<'_, bool> {
        Box::pin(async move {
            let mut alone = self.alone("begin_setup").await?;
            let is_first = alone.is_first().await?;
            if is_first {
                let sql = "UPDATE cloakroom.account_setup SET digest = $1, expires_at = $2 WHERE id = 1";
                alone.ask(sql, &[&token.as_bytes(), &expires_at.as_millis()]).await?;
            }
            alone.commit(is_first).await
        })
    }

    fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> AccountFuture<'_, bool> {
        Box::pin(async move {
            // The digest of 256 random bits is compared: how long that takes says nothing about the token.
            let sql = "SELECT FROM cloakroom.account_setup WHERE digest = $1 AND expires_at > $2 \
                       AND NOT EXISTS (SELECT FROM cloakroom.account)";
            let rows = self.read("setup_is_open", sql, &[&token.as_bytes(), &now.as_millis()]).await?;
            Ok(!rows.is_empty())
        })
    }

    fn complete_setup<'a>(
        &'a self,
        token: SetupDigest,
        first: &'a NewAccount,
        now: Timestamp,
    ) -> AccountFuture<'a, SetupUsed> {
        Box::pin(async move {
            let mut alone = self.alone("complete_setup").await?;
            let sql = "SELECT FROM cloakroom.account_setup WHERE digest = $1 AND expires_at > $2";
            let holds = !alone.ask(sql, &[&token.as_bytes(), &now.as_millis()]).await?.is_empty();
            if !holds || !alone.is_first().await? {
                return alone.commit(SetupUsed::Invalid).await;
            }
            alone.close_setup().await?;
            let created = alone.insert(first, now).await?;
            alone.commit(created.map_or(SetupUsed::Invalid, SetupUsed::Created)).await
        })
    }
}

fn select(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM cloakroom.account {condition}")
}

fn credentials(row: &Row, op: &'static str, place: &Place) -> Result<Credentials, AccountError> {
    let column = |error| damaged(op, place).caused_by(error);
    let instant = |index: usize| row.try_get(index).map(Timestamp::from_millis).map_err(column);
    let name: &str = row.try_get(0).map_err(column)?;
    let roles: &str = row.try_get(1).map_err(column)?;
    let disabled_at: Option<i64> = row.try_get(5).map_err(column)?;
    let epoch: i64 = row.try_get(6).map_err(column)?;
    let account = Account {
        name: AccountName::new(name).map_err(|error| damaged(op, place).caused_by(error))?,
        roles: Roles::split(roles).map_err(|error| damaged(op, place).caused_by(error))?,
        created_at: instant(3)?,
        password_changed_at: instant(4)?,
        disabled_at: disabled_at.map(Timestamp::from_millis),
        credential_epoch: u64::try_from(epoch).map_err(|error| damaged(op, place).caused_by(error))?,
    };
    Ok(Credentials { account, hash: StoredHash::from_stored(row.try_get(2).map_err(column)?) })
}

fn damaged(op: &'static str, place: &Place) -> AccountError {
    AccountError::new(AccountErrorKind::Corrupt, op, place)
}

fn failed(error: PostgresError, op: &'static str, place: &Place) -> AccountError {
    let kind = match error.kind() {
        _ if error.is_of_a_later_version() => AccountErrorKind::Newer,
        ErrorKind::Unavailable | ErrorKind::Timeout => AccountErrorKind::Unavailable,
        ErrorKind::Full => AccountErrorKind::Full,
        ErrorKind::ReadOnly => AccountErrorKind::ReadOnly,
        ErrorKind::Corrupt => AccountErrorKind::Corrupt,
        _ => AccountErrorKind::Internal,
    };
    let told = AccountError::new(kind, op, place);
    if error.applied() == Applied::Unknown { told.in_doubt().caused_by(error) } else { told.caused_by(error) }
}

const COLUMNS: &str =
    "name, roles, password_hash, created_at, password_changed_at, disabled_at, credential_epoch";
const PLAN: PostgresPlan =
    PostgresPlan { versions: "account_version", migrations: &[include_str!("schema/1.sql")] };
