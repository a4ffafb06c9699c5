//! Accounts in MySQL or MariaDB.

use std::num::NonZeroU16;

use cloakroom_core::Timestamp;
use cloakroom_mysql::{
    MysqlError, MysqlOptions, MysqlPlan, MysqlPool, MysqlStep, MysqlTransaction, Row, Value,
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

/// The built-in accounts in a database of MySQL or MariaDB, shared by any number of nodes.
///
/// Every change is a transaction that locks what it decides by before it looks: the account's row for its password, and one
/// row for all where it is about who may administer (the first account, the last administrator).
#[derive(Debug)]
pub struct MysqlAccounts {
    place: Place,
    pool: MysqlPool,
}

impl MysqlAccounts {
    /// Connects, and makes the tables or brings them up to date; `shown` is where that is, without a password.
    ///
    /// # Errors
    /// [`AccountError`] where the server cannot be reached or refuses, or a later version has changed the tables.
    pub async fn connect(options: MysqlOptions, shown: String) -> Result<Self, AccountError> {
        let place = Place::Server(shown);
        match MysqlPool::connect(&options, &PLAN).await {
            Ok(pool) => Ok(Self { place, pool }),
            Err(error) => Err(failed(error, "open", &place)),
        }
    }

    async fn read(
        &self,
        op: &'static str,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, AccountError> {
        let answer = self.pool.read(sql, values).await;
        Ok(answer.map_err(|error| failed(error, op, &self.place))?.rows())
    }

    async fn change(&self, op: &'static str) -> Result<Change<'_>, AccountError> {
        let transaction = self.pool.begin().await.map_err(|error| failed(error, op, &self.place))?;
        Ok(Change { transaction, op, place: &self.place })
    }

    /// A transaction in which nobody else changes who may administer.
    async fn alone(&self, op: &'static str) -> Result<Change<'_>, AccountError> {
        let mut change = self.change(op).await?;
        change.ask("SELECT 1 FROM account_setup WHERE singleton = 1 FOR UPDATE", vec![]).await?;
        Ok(change)
    }
}

/// A transaction.
struct Change<'a> {
    transaction: MysqlTransaction,
    op: &'static str,
    place: &'a Place,
}

impl Change<'_> {
    async fn ask(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, AccountError> {
        let answer = self.transaction.ask(sql, values).await;
        Ok(answer.map_err(|error| failed(error, self.op, self.place))?.rows())
    }

    async fn commit<T>(self, outcome: T) -> Result<T, AccountError> {
        let committed = self.transaction.commit().await;
        committed.map(|()| outcome).map_err(|error| failed(error, self.op, self.place))
    }

    /// The account with this key, which nobody else changes until this is over.
    async fn locked(&mut self, key: &AccountKey) -> Result<Option<Account>, AccountError> {
        let rows = self.ask(&select("WHERE account_key = ? FOR UPDATE"), vec![key.as_str().into()]).await?;
        let first = rows.into_iter().next();
        first.map(|row| Ok(credentials(row, self.op, self.place)?.account)).transpose()
    }

    /// Changes something about the account with this key: `set` is what, and the key is its last value.
    async fn update(
        &mut self,
        key: &AccountKey,
        set: &str,
        mut values: Vec<Value>,
    ) -> Result<Option<Account>, AccountError> {
        values.push(key.as_str().into());
        let sql = format!(
            "UPDATE account SET {set}, credential_epoch = credential_epoch + 1 WHERE account_key = ?"
        );
        self.ask(&sql, values).await?;
        self.locked(key).await
    }

    async fn insert(&mut self, new: &NewAccount, now: Timestamp) -> Result<Option<Account>, AccountError> {
        // Whoever adds holds the lock: nobody else adds between these two.
        if self.locked(new.name.key()).await?.is_some() {
            return Ok(None);
        }
        let sql = "INSERT INTO account (account_key, name, roles, password_hash, created_at, \
                   password_changed_at, credential_epoch) VALUES (?, ?, ?, ?, ?, ?, 1)";
        let (name, now) = (&new.name, Value::from(now.as_millis()));
        let values = vec![
            name.key().as_str().into(),
            name.as_str().into(),
            new.roles.joined().into(),
            new.hash.as_str().into(),
            now.clone(),
            now,
        ];
        self.ask(sql, values).await?;
        self.locked(name.key()).await
    }

    async fn is_first(&mut self) -> Result<bool, AccountError> {
        Ok(self.ask("SELECT 1 FROM account LIMIT 1", vec![]).await?.is_empty())
    }

    async fn close_setup(&mut self) -> Result<(), AccountError> {
        let sql = "UPDATE account_setup SET digest = NULL, expires_at = NULL WHERE singleton = 1";
        self.ask(sql, vec![]).await.map(drop)
    }

    /// Whether `remaining` asks for an administrator, and there is none but the account with this key.
    async fn is_needed(&mut self, key: &AccountKey, remaining: Remaining) -> Result<bool, AccountError> {
        if remaining == Remaining::Anybody {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM account WHERE account_key <> ? AND disabled_at IS NULL \
                   AND INSTR(CONCAT(',', roles, ','), ?) > 0 LIMIT 1";
        let administrator = format!(",{},", Roles::ADMINISTRATOR);
        Ok(self.ask(sql, vec![key.as_str().into(), administrator.into()]).await?.is_empty())
    }
}

impl AccountStore for MysqlAccounts {
    fn place(&self) -> &Place {
        &self.place
    }

    fn add<'a>(&'a self, new: &'a NewAccount, now: Timestamp) -> AccountFuture<'a, Added> {
        Box::pin(async move {
            let mut change = self.alone("add").await?;
            let created = change.insert(new, now).await?;
            change.close_setup().await?;
            change.commit(created.map_or(Added::NameTaken, Added::Created)).await
        })
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Credentials>> {
        Box::pin(async move {
            let rows = self.read("get", select("WHERE account_key = ?"), vec![key.as_str().into()]).await?;
            let first = rows.into_iter().next();
            first.map(|row| credentials(row, "get", &self.place)).transpose()
        })
    }

    fn page<'a>(
        &'a self,
        after: Option<&'a AccountKey>,
        limit: NonZeroU16,
    ) -> AccountFuture<'a, Vec<Account>> {
        Box::pin(async move {
            // No key is empty: behind the empty one are all.
            let after = after.map_or("", AccountKey::as_str);
            let sql = select("WHERE account_key > ? ORDER BY account_key LIMIT ?");
            let rows = self.read("page", sql, vec![after.into(), limit.get().into()]).await?;
            rows.into_iter().map(|row| Ok(credentials(row, "page", &self.place)?.account)).collect()
        })
    }

    fn count(&self) -> AccountFuture<'_, u64> {
        Box::pin(async move {
            let rows = self.read("count", "SELECT COUNT(*) FROM account".to_owned(), vec![]).await?;
            let row = rows.into_iter().next().ok_or_else(|| damaged("count", &self.place, "a count"))?;
            Columns { row, next: 0, op: "count", place: &self.place }.get("a count")
        })
    }

    fn disable<'a>(
        &'a self,
        key: &'a AccountKey,
        remaining: Remaining,
        now: Timestamp,
    ) -> AccountFuture<'a, AccountChange> {
        Box::pin(async move {
            let mut change = self.alone("disable").await?;
            let Some(before) = change.locked(key).await? else {
                return change.commit(AccountChange::NoSuchAccount).await;
            };
            if before.administers() && change.is_needed(key, remaining).await? {
                return change.commit(AccountChange::LastAdministrator).await;
            }
            if !before.is_enabled() {
                return change.commit(AccountChange::Changed(before)).await;
            }
            let after = change.update(key, "disabled_at = ?", vec![now.as_millis().into()]).await?;
            change.commit(after.map_or(AccountChange::NoSuchAccount, AccountChange::Changed)).await
        })
    }

    fn enable<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Account>> {
        Box::pin(async move {
            let mut change = self.alone("enable").await?;
            match change.locked(key).await? {
                Some(before) if !before.is_enabled() => {
                    let after = change.update(key, "disabled_at = NULL", vec![]).await?;
                    change.commit(after).await
                }
                before => change.commit(before).await,
            }
        })
    }

    fn set_roles<'a>(
        &'a self,
        key: &'a AccountKey,
        roles: &'a Roles,
        remaining: Remaining,
    ) -> AccountFuture<'a, AccountChange> {
        Box::pin(async move {
            let mut change = self.alone("set_roles").await?;
            let Some(before) = change.locked(key).await? else {
                return change.commit(AccountChange::NoSuchAccount).await;
            };
            let stops = before.administers() && !roles.has_administrator();
            if stops && change.is_needed(key, remaining).await? {
                return change.commit(AccountChange::LastAdministrator).await;
            }
            if before.roles == *roles {
                return change.commit(AccountChange::Changed(before)).await;
            }
            let after = change.update(key, "roles = ?", vec![roles.joined().into()]).await?;
            change.commit(after.map_or(AccountChange::NoSuchAccount, AccountChange::Changed)).await
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
            let mut change = self.change("set_password").await?;
            let Some(before) = change.locked(key).await? else {
                return change.commit(PasswordSet::NoSuchAccount).await;
            };
            if matches!(guard, Guard::Epoch(epoch) if epoch != before.credential_epoch) {
                return change.commit(PasswordSet::Stale).await;
            }
            let values = vec![hash.as_str().into(), now.as_millis().into()];
            let after = change.update(key, "password_hash = ?, password_changed_at = ?", values).await?;
            change.commit(after.map_or(PasswordSet::NoSuchAccount, PasswordSet::Changed)).await
        })
    }

    fn rehash<'a>(
        &'a self,
        key: &'a AccountKey,
        old: &'a StoredHash,
        new: &'a StoredHash,
    ) -> AccountFuture<'a, ()> {
        Box::pin(async move {
            let sql = "UPDATE account SET password_hash = ? WHERE account_key = ? AND password_hash = ?";
            let values = vec![new.as_str().into(), key.as_str().into(), old.as_str().into()];
            let written = self.pool.write(sql, values).await;
            written.map(drop).map_err(|error| failed(error, "rehash", &self.place))
        })
    }

    fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> AccountFuture<'_, bool> {
        Box::pin(async move {
            let mut change = self.alone("begin_setup").await?;
            let is_first = change.is_first().await?;
            if is_first {
                let sql = "UPDATE account_setup SET digest = ?, expires_at = ? WHERE singleton = 1";
                change.ask(sql, vec![token.as_bytes().into(), expires_at.as_millis().into()]).await?;
            }
            change.commit(is_first).await
        })
    }

    fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> AccountFuture<'_, bool> {
        Box::pin(async move {
            let sql = format!("{HOLDS} AND NOT EXISTS (SELECT 1 FROM account)");
            let values = vec![token.as_bytes().into(), now.as_millis().into()];
            Ok(!self.read("setup_is_open", sql, values).await?.is_empty())
        })
    }

    fn complete_setup<'a>(
        &'a self,
        token: SetupDigest,
        first: &'a NewAccount,
        now: Timestamp,
    ) -> AccountFuture<'a, SetupUsed> {
        Box::pin(async move {
            let mut change = self.alone("complete_setup").await?;
            let values = vec![token.as_bytes().into(), now.as_millis().into()];
            let holds = !change.ask(HOLDS, values).await?.is_empty();
            if !holds || !change.is_first().await? {
                return change.commit(SetupUsed::Invalid).await;
            }
            change.close_setup().await?;
            let created = change.insert(first, now).await?;
            change.commit(created.map_or(SetupUsed::Invalid, SetupUsed::Created)).await
        })
    }
}

fn select(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM account {condition}")
}

/// The columns of a row, from left to right. What is wrong with one is said without its value.
struct Columns<'a> {
    row: Row,
    next: usize,
    op: &'static str,
    place: &'a Place,
}

impl Columns<'_> {
    fn get<T: cloakroom_mysql::FromValue>(&mut self, name: &'static str) -> Result<T, AccountError> {
        let value = self.row.take_opt(self.next);
        self.next += 1;
        value.and_then(Result::ok).ok_or_else(|| damaged(self.op, self.place, name))
    }
}

fn credentials(row: Row, op: &'static str, place: &Place) -> Result<Credentials, AccountError> {
    let mut columns = Columns { row, next: 0, op, place };
    let name: String = columns.get("name")?;
    let roles: String = columns.get("roles")?;
    let hash = StoredHash::from_stored(columns.get("password_hash")?);
    let account = Account {
        name: AccountName::new(&name).map_err(|error| damaged(op, place, "name").caused_by(error))?,
        roles: Roles::split(&roles).map_err(|error| damaged(op, place, "roles").caused_by(error))?,
        created_at: Timestamp::from_millis(columns.get("created_at")?),
        password_changed_at: Timestamp::from_millis(columns.get("password_changed_at")?),
        disabled_at: columns.get::<Option<i64>>("disabled_at")?.map(Timestamp::from_millis),
        credential_epoch: columns.get("credential_epoch")?,
    };
    Ok(Credentials { account, hash })
}

fn damaged(op: &'static str, place: &Place, column: &'static str) -> AccountError {
    AccountError::new(AccountErrorKind::Corrupt, op, place)
        .caused_by(format!("a row with an impossible {column}"))
}

fn failed(error: MysqlError, op: &'static str, place: &Place) -> AccountError {
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
/// The digest of 256 random bits is compared: how long that takes says nothing about the token.
const HOLDS: &str = "SELECT 1 FROM account_setup WHERE digest = ? AND expires_at > ?";
static PLAN: MysqlPlan = MysqlPlan {
    stamp: "account_version",
    create_stamp: include_str!("schema/version.sql"),
    names: &["account", "account_setup"],
    migrations: &[&[
        MysqlStep::statement(include_str!("schema/1_account.sql")),
        MysqlStep::statement(include_str!("schema/1_setup.sql")),
        MysqlStep::statement(include_str!("schema/1_setup_row.sql")),
    ]],
};
