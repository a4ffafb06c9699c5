//! What the server says of itself: what `doctor` has to know.

use cloakroom_store::Verb;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::Columns;

/// What the server says of itself, and what follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MysqlFacts {
    /// Its version, for example `10.11.19-MariaDB`.
    pub version: String,
    /// `innodb_flush_log_at_trx_commit`. With 1 an acknowledged change is on the disk; with 2 it survives the end of the
    /// server process, with 0 not even that.
    pub flush_log_at_commit: i64,
    /// `sync_binlog`, where there is a binary log. With 1 a replica, or a recovery from the log, has what was acknowledged.
    pub sync_binlog: Option<i64>,
    /// `binlog_row_image`, where there is a binary log.
    pub binlog_row_image: Option<String>,
    /// Whether it accepts no changes.
    pub is_read_only: bool,
    /// Most connections it takes.
    pub max_connections: i64,
    /// Most bytes of a statement or a row: records cannot be larger.
    pub max_allowed_packet: i64,
    /// Whether our user may remove what is over.
    pub may_remove: bool,
}

impl MysqlFacts {
    /// What somebody who runs this should know, a sentence each with its remedy; nothing where all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.flush_log_at_commit != 1 {
            warnings.push(format!(
                "innodb_flush_log_at_trx_commit is {}: a crash forgets up to a second of acknowledged sign-outs; set it to 1",
                self.flush_log_at_commit
            ));
        }
        if let Some(sync @ (0 | 2..)) = self.sync_binlog {
            warnings.push(format!(
                "sync_binlog is {sync}: after a crash, replicas may lack acknowledged sign-outs; set it to 1"
            ));
        }
        if self.binlog_row_image.as_deref() == Some("FULL") {
            warnings.push(
                "binlog_row_image is FULL: every touch writes its whole record into the binary log twice; NOBLOB or MINIMAL \
                 is enough"
                    .to_owned(),
            );
        }
        if self.is_read_only {
            warnings.push("the server accepts no changes: nobody can sign in or out".to_owned());
        }
        if !self.may_remove {
            let sentence =
                "the user may not DELETE: what is over is never removed; GRANT DELETE ON the database to it";
            warnings.push(sentence.to_owned());
        }
        warnings
    }
}

impl MysqlFacts {
    /// The same for whoever keeps only the list of ends there.
    #[must_use]
    pub fn warnings_of_list(&self) -> Vec<String> {
        // What activity costs in the binary log is no matter: none is written.
        Self { binlog_row_image: None, ..self.clone() }.warnings()
    }
}

/// [`MysqlStore::facts`](crate::MysqlStore::facts).
#[derive(Debug)]
pub(crate) struct Facts {
    /// A statement for each table of which something is removed in the end: it says how it would be, and removes nothing.
    pub(crate) removals: &'static [&'static str],
}

impl Facts {
    pub(crate) const OF_SESSIONS: Self = Self {
        removals: &[
            "EXPLAIN DELETE FROM session WHERE number = 0",
            "EXPLAIN DELETE FROM retired WHERE digest = ''",
            "EXPLAIN DELETE FROM epoch WHERE number = 0",
        ],
    };
    pub(crate) const OF_LIST: Self = Self { removals: &["EXPLAIN DELETE FROM revocation WHERE number = 0"] };

    async fn may_remove(&self, link: &mut Link) -> Result<bool, Problem> {
        for removal in self.removals {
            match link.ask(removal, Vec::new()).await {
                // A server that accepts no changes says nothing of rights.
                Ok(_) | Err(Problem::Server { code: READ_ONLY, .. }) => {}
                Err(Problem::Server { code: TABLE_ACCESS_DENIED, .. }) => return Ok(false),
                Err(problem) => return Err(problem),
            }
        }
        Ok(true)
    }
}

impl Work for Facts {
    type Answer = MysqlFacts;
    const VERB: Verb = Verb::Ping;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<MysqlFacts, Problem> {
        let rows = link.ask(ASK, Vec::new()).await?.rows();
        let mut columns = Columns::of(rows.into_iter().next().ok_or(Problem::Answer("a row"))?);
        let version = columns.text("version")?;
        let flush_log_at_commit = columns.integer("innodb_flush_log_at_trx_commit")?;
        let has_binary_log = columns.integer("log_bin")? != 0;
        let (sync_binlog, binlog_row_image) =
            (columns.integer("sync_binlog")?, columns.text("binlog_row_image")?);
        Ok(MysqlFacts {
            version,
            flush_log_at_commit,
            sync_binlog: has_binary_log.then_some(sync_binlog),
            binlog_row_image: has_binary_log.then_some(binlog_row_image),
            is_read_only: columns.integer("read_only")? != 0,
            max_connections: columns.integer("max_connections")?,
            max_allowed_packet: columns.integer("max_allowed_packet")?,
            may_remove: self.may_remove(link).await?,
        })
    }
}

const ASK: &str =
    "SELECT VERSION(), @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin, @@GLOBAL.sync_binlog,
    @@GLOBAL.binlog_row_image, @@GLOBAL.read_only, @@GLOBAL.max_connections, @@GLOBAL.max_allowed_packet";

/// `ER_OPTION_PREVENTS_STATEMENT`.
const READ_ONLY: u16 = 1290;
/// `ER_TABLEACCESS_DENIED_ERROR`.
const TABLE_ACCESS_DENIED: u16 = 1142;

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> MysqlFacts {
        MysqlFacts {
            version: "10.11.19-MariaDB".to_owned(),
            flush_log_at_commit: 1,
            sync_binlog: Some(1),
            binlog_row_image: Some("MINIMAL".to_owned()),
            is_read_only: false,
            max_connections: 151,
            max_allowed_packet: 16 << 20,
            may_remove: true,
        }
    }

    #[test]
    fn what_can_lose_or_refuse_something_is_warned_of_by_its_name() {
        assert_eq!(sound().warnings(), Vec::<String>::new());
        assert_eq!(
            MysqlFacts { sync_binlog: None, binlog_row_image: None, ..sound() }.warnings(),
            Vec::<String>::new()
        );
        for (facts, name) in [
            (MysqlFacts { flush_log_at_commit: 2, ..sound() }, "innodb_flush_log_at_trx_commit"),
            (MysqlFacts { sync_binlog: Some(0), ..sound() }, "sync_binlog"),
            (MysqlFacts { sync_binlog: Some(100), ..sound() }, "sync_binlog"),
            (MysqlFacts { binlog_row_image: Some("FULL".to_owned()), ..sound() }, "binlog_row_image"),
            (MysqlFacts { is_read_only: true, ..sound() }, "no changes"),
            (MysqlFacts { may_remove: false, ..sound() }, "may not DELETE"),
        ] {
            let warnings = facts.warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(name), "{name}: {warnings:?}");
            let of_list = facts.warnings_of_list();
            assert_eq!(of_list, if name == "binlog_row_image" { Vec::new() } else { warnings });
        }
    }
}
