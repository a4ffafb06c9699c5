//! Accounts in a SQLite file.

mod schema;

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params};

use super::account::{
    Account, AccountChange, Added, Credentials, Guard, NewAccount, PasswordSet, Remaining, Roles, SetupUsed,
};
use super::error::{AccountError, AccountErrorKind, Place};
use super::hashing::StoredHash;
use super::name::{AccountKey, AccountName};
use super::setup::SetupDigest;
use super::store::{AccountFuture, AccountStore};

/// The built-in accounts, in `accounts.db`. Several processes of one machine can use one file at the same time.
///
/// Every change is one immediate transaction. The disk is waited for on threads that may block; a reader waits for no
/// writer.
#[derive(Debug)]
pub struct SqliteAccounts {
    place: Place,
    file: Arc<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
}

impl SqliteAccounts {
    /// Opens the accounts in this file; makes the file, and its directory, where there is none, readable by this user
    /// only.
    ///
    /// # Errors
    /// [`AccountError`] where the file cannot be opened, is something else, or was written by a newer version.
    ///
    /// # Cost
    /// Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, AccountError> {
        let place = Place::File(path.to_owned());
        create_private(path)
            .map_err(|e| AccountError::new(AccountErrorKind::Unavailable, OPEN, &place).caused_by(e))?;
        let broken = |e| AccountError::from_sqlite(e, OPEN, path);
        let mut writer = Connection::open(path).map_err(broken)?;
        writer.busy_timeout(BUSY_TIMEOUT).map_err(broken)?;
        schema::prepare(&mut writer, path)?;
        let reader = Connection::open(path).map_err(broken)?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(broken)?;
        reader.pragma_update(None, "query_only", true).map_err(broken)?;
        let file = File { path: path.to_owned(), reader: Mutex::new(reader), writer: Mutex::new(writer) };
        Ok(Self { place, file: Arc::new(file) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&File) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let file = Arc::clone(&self.file);
        match tokio::task::spawn_blocking(move || work(&file)).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            // The runtime is shutting down.
            Err(e) => Err(AccountError::new(AccountErrorKind::Unavailable, op, &self.place).caused_by(e)),
        }
    }

    fn read<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> AccountFuture<'_, T> {
        Box::pin(self.blocking(op, move |file| {
            let connection = file.connection(&file.reader, op)?;
            work(&connection).map_err(|e| AccountError::from_sqlite(e, op, &file.path))
        }))
    }

    fn write<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> AccountFuture<'_, T> {
        Box::pin(self.blocking(op, move |file| {
            let mut connection = file.connection(&file.writer, op)?;
            let run = || {
                // Immediate: the write lock is taken before the first read, so that what was read still holds at commit.
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&tx)?;
                tx.commit()?;
                Ok(result)
            };
            run().map_err(|e| AccountError::from_sqlite(e, op, &file.path))
        }))
    }
}

impl File {
    /// The connection, when nobody in this process has it any more.
    fn connection<'a>(
        &self,
        connection: &'a Mutex<Connection>,
        op: &'static str,
    ) -> Result<parking_lot::MutexGuard<'a, Connection>, AccountError> {
        let busy = || AccountError::new(AccountErrorKind::Busy, op, &Place::File(self.path.clone()));
        connection.try_lock_for(BUSY_TIMEOUT).ok_or_else(busy)
    }
}

impl AccountStore for SqliteAccounts {
    fn place(&self) -> &Place {
        &self.place
    }

    fn add<'a>(&'a self, new: &'a NewAccount, now: Timestamp) -> AccountFuture<'a, Added> {
        let new = new.clone();
        self.write("add", move |tx| {
            let created = insert(tx, &new, now)?;
            tx.execute("DELETE FROM setup", [])?;
            Ok(created.map_or(Added::NameTaken, Added::Created))
        })
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Credentials>> {
        let key = key.clone();
        self.read("get", move |connection| find(connection, &key))
    }

    fn page<'a>(
        &'a self,
        after: Option<&'a AccountKey>,
        limit: NonZeroU16,
    ) -> AccountFuture<'a, Vec<Account>> {
        // No key is empty: behind the empty one are all.
        let after = after.map_or_else(String::new, |key| key.as_str().to_owned());
        self.read("page", move |connection| {
            let sql = format!("{SELECT} WHERE key > :after ORDER BY key LIMIT :limit");
            let mut statement = connection.prepare_cached(&sql)?;
            let values = named_params! { ":after": after, ":limit": limit.get() };
            let rows = statement.query_map(values, |row| Ok(credentials(row)?.account))?;
            rows.collect()
        })
    }

    fn count(&self) -> AccountFuture<'_, u64> {
        self.read("count", count)
    }

    fn disable<'a>(
        &'a self,
        key: &'a AccountKey,
        remaining: Remaining,
        now: Timestamp,
    ) -> AccountFuture<'a, AccountChange> {
        let key = key.clone();
        self.write("disable", move |tx| {
            let Some(before) = find(tx, &key)? else { return Ok(AccountChange::NoSuchAccount) };
            if before.account.administers() && is_needed(tx, &key, remaining)? {
                return Ok(AccountChange::LastAdministrator);
            }
            let sql = "UPDATE accounts SET disabled_at = :now, credential_epoch = credential_epoch + 1 \
                       WHERE key = :key AND disabled_at IS NULL";
            let values = named_params! { ":key": key.as_str(), ":now": now.as_millis() };
            tx.prepare_cached(sql)?.execute(values)?;
            changed(tx, &key)
        })
    }

    fn enable<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Account>> {
        let key = key.clone();
        self.write("enable", move |tx| {
            let sql = "UPDATE accounts SET disabled_at = NULL, credential_epoch = credential_epoch + 1 \
                       WHERE key = :key AND disabled_at IS NOT NULL";
            tx.prepare_cached(sql)?.execute(named_params! { ":key": key.as_str() })?;
            Ok(find(tx, &key)?.map(|found| found.account))
        })
    }

    fn set_roles<'a>(
        &'a self,
        key: &'a AccountKey,
        roles: &'a Roles,
        remaining: Remaining,
    ) -> AccountFuture<'a, AccountChange> {
        let (key, roles) = (key.clone(), roles.clone());
        self.write("set_roles", move |tx| {
            let Some(before) = find(tx, &key)? else { return Ok(AccountChange::NoSuchAccount) };
            let stops = before.account.administers() && !roles.has_administrator();
            if stops && is_needed(tx, &key, remaining)? {
                return Ok(AccountChange::LastAdministrator);
            }
            let sql = "UPDATE accounts SET roles = :roles, credential_epoch = credential_epoch + 1 \
                       WHERE key = :key AND roles <> :roles";
            let values = named_params! { ":key": key.as_str(), ":roles": roles.joined() };
            tx.prepare_cached(sql)?.execute(values)?;
            changed(tx, &key)
        })
    }

    fn set_password<'a>(
        &'a self,
        key: &'a AccountKey,
        hash: &'a StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> AccountFuture<'a, PasswordSet> {
        let (key, hash) = (key.clone(), hash.clone());
        self.write("set_password", move |tx| {
            let Some(before) = find(tx, &key)? else { return Ok(PasswordSet::NoSuchAccount) };
            if matches!(guard, Guard::Epoch(epoch) if epoch != before.account.credential_epoch) {
                return Ok(PasswordSet::Stale);
            }
            let sql = "UPDATE accounts SET password_hash = :hash, password_changed_at = :now, \
                       credential_epoch = credential_epoch + 1 WHERE key = :key";
            let values = named_params! {
                ":key": key.as_str(), ":hash": hash.as_str(), ":now": now.as_millis()
            };
            tx.prepare_cached(sql)?.execute(values)?;
            let after = find(tx, &key)?;
            Ok(after.map_or(PasswordSet::NoSuchAccount, |found| PasswordSet::Changed(found.account)))
        })
    }

    fn rehash<'a>(
        &'a self,
        key: &'a AccountKey,
        old: &'a StoredHash,
        new: &'a StoredHash,
    ) -> AccountFuture<'a, ()> {
        let (key, old, new) = (key.clone(), old.clone(), new.clone());
        self.write("rehash", move |tx| {
            let sql = "UPDATE accounts SET password_hash = :new WHERE key = :key AND password_hash = :old";
            let values = named_params! {
                ":key": key.as_str(), ":old": old.as_str(), ":new": new.as_str()
            };
            tx.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }

    fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> AccountFuture<'_, bool> {
        self.write("begin_setup", move |tx| {
            if count(tx)? > 0 {
                return Ok(false);
            }
            let sql = "INSERT INTO setup (id, digest, expires_at) VALUES (1, :digest, :expires_at) \
                       ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at";
            let values = named_params! {
                ":digest": token.as_bytes(), ":expires_at": expires_at.as_millis()
            };
            tx.execute(sql, values)?;
            Ok(true)
        })
    }

    fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> AccountFuture<'_, bool> {
        self.read("setup_is_open", move |connection| setup_is_open(connection, token, now))
    }

    fn complete_setup<'a>(
        &'a self,
        token: SetupDigest,
        first: &'a NewAccount,
        now: Timestamp,
    ) -> AccountFuture<'a, SetupUsed> {
        let first = first.clone();
        self.write("complete_setup", move |tx| {
            if !setup_is_open(tx, token, now)? {
                return Ok(SetupUsed::Invalid);
            }
            tx.execute("DELETE FROM setup", [])?;
            Ok(insert(tx, &first, now)?.map_or(SetupUsed::Invalid, SetupUsed::Created))
        })
    }
}

/// The account as a change in the same transaction left it.
fn changed(tx: &Transaction<'_>, key: &AccountKey) -> rusqlite::Result<AccountChange> {
    let found = find(tx, key)?;
    Ok(found.map_or(AccountChange::NoSuchAccount, |found| AccountChange::Changed(found.account)))
}

/// Whether `remaining` asks for an administrator, and there is none but the account with this key.
fn is_needed(tx: &Transaction<'_>, key: &AccountKey, remaining: Remaining) -> rusqlite::Result<bool> {
    if remaining == Remaining::Anybody {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE key <> :key AND disabled_at IS NULL \
               AND instr(',' || roles || ',', :administrator) > 0)";
    let administrator = format!(",{},", Roles::ADMINISTRATOR);
    let values = named_params! { ":key": key.as_str(), ":administrator": administrator };
    let others: bool = tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(!others)
}

fn insert(tx: &Transaction<'_>, new: &NewAccount, now: Timestamp) -> rusqlite::Result<Option<Account>> {
    let sql = "INSERT INTO accounts (key, name, roles, password_hash, created_at, password_changed_at, credential_epoch) \
               VALUES (:key, :name, :roles, :hash, :now, :now, 1) ON CONFLICT (key) DO NOTHING";
    let values = named_params! {
        ":key": new.name.key().as_str(),
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

fn find(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<Credentials>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE key = :key"))?;
    statement.query_row(named_params! { ":key": key.as_str() }, credentials).optional()
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
