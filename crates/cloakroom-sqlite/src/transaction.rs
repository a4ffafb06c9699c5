//! What a verb works with.

use rusqlite::{CachedStatement, Connection};

use crate::epoch::Epochs;
use crate::error::Problem;
use crate::schema;

/// An open transaction with the epochs as they are in it. Rolled back unless committed.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    pub(crate) epochs: Epochs,
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A snapshot; waits for nobody.
    Read,
    /// The one that writes: what is read in it holds until it is over, in every process.
    Write,
}

impl<'c> Transaction<'c> {
    /// Begins a transaction; waits up to the busy timeout for the one that writes.
    pub(crate) fn begin(connection: &'c Connection, purpose: Purpose) -> Result<Self, Problem> {
        let begin = match purpose {
            Purpose::Read => "BEGIN",
            Purpose::Write => "BEGIN IMMEDIATE",
        };
        connection.prepare_cached(begin)?.execute([])?;
        let mut transaction = Self { connection, epochs: Epochs::default() };
        schema::check(connection)?;
        transaction.epochs = Epochs::load(connection)?;
        Ok(transaction)
    }

    pub(crate) fn commit(self) -> Result<(), Problem> {
        self.execute("COMMIT")
    }

    /// Runs `operation`. If it fails, what it did is undone, and the transaction goes on without it.
    ///
    /// The outer error says that the transaction is lost.
    pub(crate) fn savepoint<E>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Result<(), E>, Problem> {
        self.execute("SAVEPOINT operation")?;
        let done = operation(self);
        if done.is_err() {
            self.execute("ROLLBACK TO operation")?;
            self.epochs = Epochs::load(self.connection)?;
        }
        self.execute("RELEASE operation")?;
        Ok(done)
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    pub(crate) fn statement(&self, sql: &str) -> Result<CachedStatement<'c>, Problem> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn execute(&self, sql: &str) -> Result<(), Problem> {
        self.statement(sql)?.execute([])?;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // Where this fails the next transaction cannot begin, and for that the connection is given up.
            let _ = self.execute("ROLLBACK");
        }
    }
}
