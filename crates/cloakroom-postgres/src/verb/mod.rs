//! The verbs, one file each: its statement, and what its answer means.

mod change;
mod count;
mod end;
mod insert;
mod list;
mod look_up;
mod moving;
mod sweep;
mod touch;

pub(crate) use change::{Change, Changed, change};
pub(crate) use count::count;
pub(crate) use end::end;
pub(crate) use insert::insert;
pub(crate) use list::list;
pub(crate) use look_up::look_up;
pub(crate) use moving::{export, import};
pub(crate) use sweep::{ping, sweep};
pub(crate) use touch::touch;

use crate::schema::localized;

/// The fixed statements of the verbs, in the schema that is configured.
#[derive(Debug)]
pub(crate) struct Statements {
    schema: String,
    insert: String,
    change: String,
    touch: String,
    end: String,
    begin_epoch: String,
    count: String,
    count_covered: String,
    sweep: String,
    ping: String,
    export_sessions: String,
    export_retired: String,
    import_session: String,
    import_remains: String,
    import_retired: String,
    pub(crate) facts: String,
}

impl Statements {
    pub(crate) fn new(schema: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            insert: localized(insert::SQL, schema),
            change: localized(change::SQL, schema),
            touch: localized(touch::SQL, schema),
            end: localized(end::SQL, schema),
            begin_epoch: localized(end::BEGIN_EPOCH, schema),
            count: localized(count::SQL, schema),
            count_covered: localized(end::COUNT_COVERED, schema),
            sweep: localized(sweep::SQL, schema),
            ping: localized(sweep::PING, schema),
            export_sessions: localized(moving::SESSIONS, schema),
            export_retired: localized(moving::RETIRED, schema),
            import_session: localized(moving::IMPORT_SESSION, schema),
            import_remains: localized(moving::IMPORT_REMAINS, schema),
            import_retired: localized(moving::IMPORT_RETIRED, schema),
            facts: localized(crate::facts::ASK, schema),
        }
    }

    /// The statement that look-ups share.
    pub(crate) fn look_up(schema: &str) -> String {
        localized(look_up::SQL, schema)
    }

    fn local(&self, sql: &str) -> String {
        localized(sql, &self.schema)
    }
}
