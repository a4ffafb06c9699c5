//! Whom we compare: each library with each of its stores.

use std::fmt;

use serde::Serialize;

use super::case::Case;

/// A server to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Subject {
    pub(super) library: Library,
    pub(super) store: Store,
    /// The program, and which of its stores.
    pub(super) program: &'static str,
    pub(super) variant: &'static str,
    pub(super) cases: &'static [Case],
}

/// A library. In the order in which they are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Library {
    Cloakroom,
    TowerSessions,
    AxumSession,
    ActixSession,
    /// A number in a cookie, looked up without any further thought.
    RawRedis,
    /// The web framework alone.
    BareAxum,
    BareActix,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Store {
    None,
    Redis,
    Memory,
    Sqlite,
}

impl Subject {
    pub(super) fn name(&self) -> String {
        match self.store {
            Store::None => self.library.to_string(),
            store => format!("{}, {store}", self.library),
        }
    }

    /// Sessions for each connection: very many where reads are cold because others were made in between.
    pub(super) fn sessions_each(&self) -> usize {
        if self.variant == "redis-small" { COLD_SESSIONS_EACH } else { SESSIONS_EACH }
    }

    pub(super) fn is_bare(&self) -> bool {
        matches!(self.library, Library::BareAxum | Library::BareActix)
    }
}

impl Library {
    /// Whether every read asks the store: a warm one is then a cold one.
    pub(super) fn keeps_nothing(self) -> bool {
        !matches!(self, Self::Cloakroom | Self::AxumSession)
    }

    /// The framework that it runs in, without any session.
    pub(super) fn bare(self) -> Self {
        if self == Self::ActixSession { Self::BareActix } else { Self::BareAxum }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cloakroom => "cloakroom",
            Self::TowerSessions => "tower-sessions",
            Self::AxumSession => "axum_session",
            Self::ActixSession => "actix-session",
            Self::RawRedis => "raw Redis GET",
            Self::BareAxum => "axum alone",
            Self::BareActix => "actix-web alone",
        })
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no store",
            Self::Redis => "Redis",
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
        })
    }
}

/// Every case but a cold read, for which whoever keeps something between requests needs other settings.
const USUAL: &[Case] = &[
    Case::NoCookie,
    Case::Unused,
    Case::WarmRead,
    Case::Write,
    Case::WriteAgain,
    Case::Rotate,
    Case::RotateAgain,
    Case::SignIn,
];

/// Enough for a turn of requests that each take another session.
pub(super) const SESSIONS_EACH: usize = 64;
/// Many times what the smallest near cache holds, over all connections.
const COLD_SESSIONS_EACH: usize = 256;

/// Everybody. Those without any session come first.
pub(super) const SUBJECTS: &[Subject] = &[
    of(Library::BareAxum, Store::None, "peer-bare", "axum", USUAL),
    of(Library::BareActix, Store::None, "peer-bare", "actix", USUAL),
    of(
        Library::RawRedis,
        Store::Redis,
        "peer-bare",
        "redis",
        &[Case::NoCookie, Case::WarmRead, Case::Write, Case::WriteAgain, Case::SignIn],
    ),
    of(Library::Cloakroom, Store::Redis, "peer-cloakroom", "redis", USUAL),
    of(Library::Cloakroom, Store::Redis, "peer-cloakroom", "redis-small", &[Case::ColdRead]),
    of(Library::TowerSessions, Store::Redis, "peer-tower-sessions", "redis", USUAL),
    of(Library::AxumSession, Store::Redis, "peer-axum-session", "redis", USUAL),
    of(Library::AxumSession, Store::Redis, "peer-axum-session", "redis-unkept", &[Case::ColdRead]),
    of(Library::ActixSession, Store::Redis, "peer-actix-session", "redis", USUAL),
    of(Library::Cloakroom, Store::Memory, "peer-cloakroom", "memory", USUAL),
    of(Library::TowerSessions, Store::Memory, "peer-tower-sessions", "memory", USUAL),
    of(Library::AxumSession, Store::Memory, "peer-axum-session", "memory", USUAL),
    of(Library::Cloakroom, Store::Sqlite, "peer-cloakroom", "sqlite", USUAL),
];

const fn of(
    library: Library,
    store: Store,
    program: &'static str,
    variant: &'static str,
    cases: &'static [Case],
) -> Subject {
    Subject { library, store, program, variant, cases }
}
