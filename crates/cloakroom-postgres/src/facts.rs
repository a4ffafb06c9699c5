//! What the server says of itself: what `doctor` has to know.

use cloakroom_store::{StoreError, Verb};
use tokio_postgres::Row;

use crate::database::Database;
use crate::error::{Problem, Sent};
use crate::map::column;
use crate::options::{PostgresOptions, TlsMode};

/// What the server says of itself and of our connections, and what follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts")]
#[non_exhaustive]
pub struct PostgresFacts {
    /// Its version, for example `15.18`.
    pub version: String,
    /// Whether what is committed is on the disk (`fsync`).
    pub syncs: bool,
    /// Whether a page torn by a power cut can be mended (`full_page_writes`).
    pub mends_pages: bool,
    /// `synchronous_commit` on our connections.
    pub synchronous_commit: String,
    /// The server's bound on our statements in milliseconds; 0 for none.
    pub statement_timeout: i64,
    /// Whether it is a standby, which takes no changes.
    pub is_standby: bool,
    /// Whether our role may do anything.
    pub is_superuser: bool,
    /// Whether our connections are encrypted.
    pub is_encrypted: bool,
    /// Whether what changes is written down for whoever watches.
    pub tells_changes: bool,
    /// Whether our role may read what is written down there.
    pub may_watch: bool,
    /// Whether our role may remove what is over.
    pub may_remove: bool,
    way: Way,
}

/// The way to the server, as far as it is known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// It does not leave this computer.
    Local,
    /// Whoever answers has to prove who it is.
    Verified,
    /// Anybody may answer.
    Unverified,
}

impl Way {
    pub(crate) fn of(options: &PostgresOptions) -> Self {
        let named = options.authorities().is_some();
        match options.tls() {
            _ if options.is_local() => Self::Local,
            TlsMode::VerifyCa | TlsMode::VerifyFull => Self::Verified,
            TlsMode::Require if named => Self::Verified,
            TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Self::Unverified,
        }
    }
}

impl PostgresFacts {
    /// What somebody who runs this should know, a sentence each with its remedy; nothing where all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |applies: bool, sentence: &str| {
            if applies {
                warnings.push(sentence.to_owned());
            }
        };
        warn(
            !self.syncs,
            "fsync is off: a power cut forgets acknowledged sign-outs, or everything; set it to on",
        );
        warn(!self.mends_pages, "full_page_writes is off: a power cut can damage the tables; set it to on");
        warn(
            self.synchronous_commit == "off",
            "synchronous_commit is off on these connections: a crash forgets acknowledged sign-outs; take it out of options, \
             or set it to on for the role",
        );
        warn(
            self.statement_timeout == 0,
            "nothing bounds a statement on the server: a call that timed out may still be applied much later; set \
             statement_timeout for the role",
        );
        warn(
            self.is_standby,
            "the server is a standby: nobody can sign in or out; name the primary in the URL",
        );
        warn(
            self.is_superuser,
            "the role is a superuser: whoever takes over Cloakroom takes over every database there; use a role of its own",
        );
        warn(
            !self.is_encrypted && self.way != Way::Local,
            "the way to the server is in the clear: whoever listens sees the password and every session; set \
             sslmode=verify-full",
        );
        warn(
            self.is_encrypted && self.way == Way::Unverified,
            "the server's certificate is not verified: anybody on the way can be the server; set sslmode=verify-full",
        );
        warn(
            !self.tells_changes,
            "the triggers told_of_… are missing or disabled: no node can keep copies of sessions; enable them (ALTER TABLE … \
             ENABLE ALWAYS TRIGGER …)",
        );
        warn(
            !self.may_watch,
            "the role may not read the list of changes: no node can keep copies of sessions; GRANT SELECT on the tables \
             change and feed",
        );
        warn(
            !self.may_remove,
            "the role may not DELETE: what is over is never removed; GRANT DELETE ON ALL TABLES IN SCHEMA … TO it",
        );
        warnings
    }
}

impl PostgresFacts {
    /// The same for whoever keeps only the list of ends there.
    #[must_use]
    pub fn warnings_of_list(&self) -> Vec<String> {
        // Nobody keeps copies of sessions there.
        Self { tells_changes: true, may_watch: true, ..self.clone() }.warnings()
    }
}

/// Asks the server; `ask` is [`ASK`] for the schema.
pub(crate) async fn facts(database: &Database, ask: &str, way: Way) -> Result<PostgresFacts, StoreError> {
    let rows = database.read(Verb::Ping, ask, &[]).await?;
    let facts = rows.first().ok_or(Problem::Column("fact")).and_then(|row| answer(row, way));
    facts.map_err(|problem| problem.into_error(Verb::Ping, Sent::Reading))
}

pub(crate) fn answer(row: &Row, way: Way) -> Result<PostgresFacts, Problem> {
    Ok(PostgresFacts {
        version: column(row, 0, "version")?,
        syncs: column(row, 1, "fsync")?,
        mends_pages: column(row, 2, "full_page_writes")?,
        synchronous_commit: column(row, 3, "synchronous_commit")?,
        statement_timeout: column(row, 4, "statement_timeout")?,
        is_standby: column(row, 5, "standby")?,
        is_superuser: column(row, 6, "superuser")?,
        is_encrypted: column(row, 7, "encryption")?,
        tells_changes: column(row, 8, "triggers")?,
        may_watch: column(row, 9, "rights")?,
        may_remove: column(row, 10, "rights")?,
        way,
    })
}

/// Whether what changes is written down, however it is changed.
macro_rules! tells_changes {
    () => {
        "(SELECT count(*) = 6 FROM pg_trigger
            WHERE tgname LIKE 'told\\_of\\_%' AND tgenabled = 'A' AND tgrelid IN (
                'cloakroom.session'::regclass, 'cloakroom.epoch'::regclass, 'cloakroom.change'::regclass
            )
        )"
    };
}
pub(crate) use tells_changes;

macro_rules! of_the_server {
    () => {
        "SELECT
        current_setting('server_version'), current_setting('fsync')::boolean,
        current_setting('full_page_writes')::boolean, current_setting('synchronous_commit'),
        (SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'), pg_is_in_recovery(),
        current_setting('is_superuser')::boolean,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), "
    };
}

pub(crate) const ASK: &str = concat!(
    of_the_server!(),
    tells_changes!(),
    ", has_table_privilege('cloakroom.change', 'SELECT') AND has_table_privilege('cloakroom.feed', 'SELECT'),
        has_table_privilege('cloakroom.session', 'DELETE') AND has_table_privilege('cloakroom.retired', 'DELETE')
        AND has_table_privilege('cloakroom.epoch', 'DELETE')"
);
/// The same where there may be no sessions, and no copies of them.
pub(crate) const ASK_OF_LIST: &str =
    concat!(of_the_server!(), "true, true, has_table_privilege('cloakroom.revocation', 'DELETE')");
