//! Accounts in a SQLite file of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params};

use super::account::{Account, Added, Credentials, Guard, NewAccount, PasswordSet, Roles, SetupUsed};
use super::error::{AccountError, AccountErrorKind};
use super::hashing::StoredHash;
use super::name::{AccountName, account_key};
use super::schema;
use super::setup::SetupDigest;

/// The built-in accounts, in `accounts.db`. Several processes can use one file at the same time.
///
/// Every change is one immediate transaction: it is there when the call returns, also after a power cut, or it never
/// happened. All functions block on the disk: call them where that is allowed, or use [`Accounts`](super::Accounts).
#[derive(Debug)]
pub struct AccountStore {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl AccountStore {
    /// Opens the accounts in this file; makes the file, and its directory, where there is none, readable by this user
    /// only.
    ///
    /// # Errors
    /// [`AccountError`] where the file cannot be opened, is something else, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, AccountError> {
        create_private(path)
            .map_err(|e| AccountError::new(AccountErrorKind::Unavailable, OPEN, path).caused_by(e))?;
        let broken = |e| AccountError::from_sqlite(e, OPEN, path);
        let mut connection = Connection::open(path).map_err(broken)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(broken)?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`AccountError`]; then there is no new account.
    pub fn add(&self, new: &NewAccount, now: Timestamp) -> Result<Added, AccountError> {
        self.write("add", |tx| {
            let created = insert(tx, new, now)?;
            tx.execute("DELETE FROM setup", [])?;
            Ok(created.map_or(Added::NameTaken, Added::Created))
        })
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn list(&self) -> Result<Vec<Account>, AccountError> {
        self.read("list", |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY key"))?;
            let rows = statement.query_map([], |row| Ok(credentials(row)?.account))?;
            rows.collect()
        })
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn count(&self) -> Result<u64, AccountError> {
        self.read("count", count)
    }

    /// The account of this name, however it is typed, with the hash of its password.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn get(&self, name: &str) -> Result<Option<Credentials>, AccountError> {
        let key = account_key(name);
        self.read("get", |connection| find(connection, &key))
    }

    /// Lets the account sign in no longer, from `now` on. Does nothing to one that is disabled already.
    ///
    /// The caller ends its sessions.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub fn disable(&self, name: &str, now: Timestamp) -> Result<Option<Account>, AccountError> {
        let set = "disabled_at = :now, credential_epoch = credential_epoch + 1";
        self.change(
            "disable",
            name,
            &format!("UPDATE accounts SET {set} WHERE key = :key AND disabled_at IS NULL"),
            now,
        )
    }

    /// Lets the account sign in again. Does nothing to one that may.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub fn enable(&self, name: &str) -> Result<Option<Account>, AccountError> {
        let set = "disabled_at = NULL, credential_epoch = credential_epoch + 1";
        let sql =
            format!("UPDATE accounts SET {set} WHERE key = :key AND disabled_at IS NOT NULL AND :now = :now");
        self.change("enable", name, &sql, Timestamp::EPOCH)
    }

    /// Gives the account these roles instead of its own.
    ///
    /// The caller ends its sessions, which carry the old roles.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub fn set_roles(&self, name: &str, roles: &Roles) -> Result<Option<Account>, AccountError> {
        let key = account_key(name);
        self.write("set_roles", |tx| {
            let sql = "UPDATE accounts SET roles = :roles, credential_epoch = credential_epoch + 1 \
                       WHERE key = :key AND roles <> :roles";
            tx.prepare_cached(sql)?.execute(named_params! { ":key": key, ":roles": roles.joined() })?;
            Ok(find(tx, &key)?.map(|found| found.account))
        })
    }

    /// Gives the account another password, where `guard` allows it.
    ///
    /// The caller ends its other sessions.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has changed.
    pub fn set_password(
        &self,
        name: &str,
        hash: &StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> Result<PasswordSet, AccountError> {
        let key = account_key(name);
        self.write("set_password", |tx| {
            let Some(before) = find(tx, &key)? else { return Ok(PasswordSet::NoSuchAccount) };
            if matches!(guard, Guard::Epoch(epoch) if epoch != before.account.credential_epoch) {
                return Ok(PasswordSet::Stale);
            }
            let sql = "UPDATE accounts SET password_hash = :hash, password_changed_at = :now, \
                       credential_epoch = credential_epoch + 1 WHERE key = :key";
            let values = named_params! { ":key": key, ":hash": hash.as_str(), ":now": now.as_millis() };
            tx.prepare_cached(sql)?.execute(values)?;
            let after = find(tx, &key)?;
            Ok(after.map_or(PasswordSet::NoSuchAccount, |found| PasswordSet::Changed(found.account)))
        })
    }

    /// Stores a better hash of the same password, unless the password changed meanwhile. The epoch stays.
    ///
    /// # Errors
    /// [`AccountError`]; then the old hash is still there, and as good as before.
    pub fn rehash(&self, name: &AccountName, old: &StoredHash, new: &StoredHash) -> Result<(), AccountError> {
        self.write("rehash", |tx| {
            let sql = "UPDATE accounts SET password_hash = :new WHERE key = :key AND password_hash = :old";
            let values = named_params! { ":key": name.key(), ":old": old.as_str(), ":new": new.as_str() };
            tx.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }

    /// Makes `token` the one that lets the first administrator in until `expires_at`; earlier ones are worthless from
    /// now on. `false` where there is an account: then none does.
    ///
    /// # Errors
    /// [`AccountError`]; then the earlier token still holds.
    pub fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> Result<bool, AccountError> {
        self.write("begin_setup", |tx| {
            if count(tx)? > 0 {
                return Ok(false);
            }
            let sql = "INSERT INTO setup (id, digest, expires_at) VALUES (1, :digest, :expires_at) \
                       ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at";
            tx.execute(sql, named_params! { ":digest": token.as_bytes(), ":expires_at": expires_at.as_millis() })?;
            Ok(true)
        })
    }

    /// Whether `token` would let the first administrator in at `now`.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> Result<bool, AccountError> {
        self.read("setup_is_open", |connection| setup_is_open(connection, token, now))
    }

    /// Adds the first administrator and uses the token up, in one step: of two simultaneous uses one succeeds.
    ///
    /// # Errors
    /// [`AccountError`]; then there is no account and the token still holds.
    pub fn complete_setup(
        &self,
        token: SetupDigest,
        first: &NewAccount,
        now: Timestamp,
    ) -> Result<SetupUsed, AccountError> {
        self.write("complete_setup", |tx| {
            if !setup_is_open(tx, token, now)? {
                return Ok(SetupUsed::Invalid);
            }
            tx.execute("DELETE FROM setup", [])?;
            Ok(insert(tx, first, now)?.map_or(SetupUsed::Invalid, SetupUsed::Created))
        })
    }

    /// An error of this store in `op`, for callers that fail before they get here.
    pub(super) fn error(&self, kind: AccountErrorKind, op: &'static str) -> AccountError {
        AccountError::new(kind, op, &self.path)
    }

    fn change(
        &self,
        op: &'static str,
        name: &str,
        sql: &str,
        now: Timestamp,
    ) -> Result<Option<Account>, AccountError> {
        let key = account_key(name);
        self.write(op, |tx| {
            tx.prepare_cached(sql)?.execute(named_params! { ":key": key, ":now": now.as_millis() })?;
            Ok(find(tx, &key)?.map(|found| found.account))
        })
    }

    fn read<T>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        work(&self.connection.lock()).map_err(|e| AccountError::from_sqlite(e, op, &self.path))
    }

    fn write<T>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        let mut connection = self.connection.lock();
        let run = || {
            // Immediate: the write lock is taken before the first read, so that what was read still holds at commit.
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        run().map_err(|e| AccountError::from_sqlite(e, op, &self.path))
    }
}

fn insert(tx: &Transaction<'_>, new: &NewAccount, now: Timestamp) -> rusqlite::Result<Option<Account>> {
    let sql = "INSERT INTO accounts (key, name, roles, password_hash, created_at, password_changed_at, credential_epoch) \
               VALUES (:key, :name, :roles, :hash, :now, :now, 1) ON CONFLICT (key) DO NOTHING";
    let values = named_params! {
        ":key": new.name.key(),
        ":name": new.name.as_str(),
        ":roles": new.roles.joined(),
        ":hash": new.hash.as_str(),
        ":now": now.as_millis(),
    };
    match tx.prepare_cached(sql)?.execute(values)? {
        0 => Ok(None),
        _ => Ok(find(tx, new.name.key())?.map(|found| found.account)),
    }
}

fn find(connection: &Connection, key: &str) -> rusqlite::Result<Option<Credentials>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE key = :key"))?;
    statement.query_row(named_params! { ":key": key }, credentials).optional()
}

fn count(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT count(*) FROM accounts")?.query_row([], |row| row.get(0))
}

fn setup_is_open(connection: &Connection, token: SetupDigest, now: Timestamp) -> rusqlite::Result<bool> {
    if count(connection)? > 0 {
        return Ok(false);
    }
    // The digest of 256 random bits is compared: how long that takes says nothing about the token.
    let sql = "SELECT count(*) FROM setup WHERE digest = :digest AND expires_at > :now";
    let values = named_params! { ":digest": token.as_bytes(), ":now": now.as_millis() };
    let open: u64 = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(open > 0)
}

const SELECT: &str = "SELECT name, roles, password_hash, created_at, password_changed_at, disabled_at, credential_epoch \
                      FROM accounts";

fn credentials(row: &Row<'_>) -> rusqlite::Result<Credentials> {
    let instant = |index: usize| row.get(index).map(Timestamp::from_millis);
    let damaged = |index: usize, why: String| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, why.into())
    };
    let name: String = row.get(0)?;
    let roles: String = row.get(1)?;
    let account = Account {
        name: AccountName::new(&name).map_err(|e| damaged(0, e.to_string()))?,
        roles: Roles::split(&roles).map_err(|e| damaged(1, e.to_string()))?,
        created_at: instant(3)?,
        password_changed_at: instant(4)?,
        disabled_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
        credential_epoch: row.get(6)?,
    };
    Ok(Credentials { account, hash: StoredHash::from_stored(row.get(2)?) })
}

/// Makes an empty file that only this user can read, before SQLite would make one that everybody can. SQLite gives
/// its journal files the permissions of the database.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

const OPEN: &str = "open";
/// For how long a call waits for another process. Such a process holds the lock for one small transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
