//! The areas of the test suite, and which tests belong to which.

use std::{convert::Infallible, fmt, str::FromStr};

use crate::layers::Kind;

/// A part of the test suite that can be run alone with `--only`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    /// The textual rules of house style.
    Tidy,
    /// Who imports whom.
    Layers,
    /// Tests beside the code, documentation examples, and integration tests of crates below HTTP that are no stores.
    Unit,
    /// The conformance suite and the integration tests of one store, on a real server if it has one.
    Store(String),
    /// Integration tests of the crates that know HTTP, and the examples.
    Http,
    /// Accounts and audit log in every database they can be in.
    Accounts,
    /// Servers, ours and the stores', killed, stopped and cut off while they work; and the tools that start them.
    Faults,
    /// What a real Prometheus makes of metrics, alerts and dashboard.
    Telemetry,
    /// The whole story in a real browser.
    Browser,
    /// No secret in anything that the areas before left behind.
    Secrets,
    /// A name that is no area; kept so that the answer can list those that are.
    Other(String),
}

impl Area {
    /// Whether the area consists of test programs that cargo builds.
    pub(crate) fn has_programs(&self) -> bool {
        matches!(
            self,
            Self::Unit
                | Self::Store(_)
                | Self::Http
                | Self::Accounts
                | Self::Faults
                | Self::Telemetry
                | Self::Browser
        )
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tidy => "tidy",
            Self::Layers => "layers",
            Self::Unit => "unit",
            Self::Store(name) => return write!(f, "store={name}"),
            Self::Http => "http",
            Self::Accounts => "accounts",
            Self::Faults => "faults",
            Self::Telemetry => "telemetry",
            Self::Browser => "browser",
            Self::Secrets => "secrets",
            Self::Other(name) => name,
        })
    }
}

impl FromStr for Area {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        let simple = [
            Self::Tidy,
            Self::Layers,
            Self::Unit,
            Self::Http,
            Self::Accounts,
            Self::Faults,
            Self::Telemetry,
            Self::Browser,
            Self::Secrets,
        ];
        Ok(match (simple.into_iter().find(|area| area.to_string() == name), name.strip_prefix("store=")) {
            (Some(area), _) => area,
            (None, Some(store)) => Self::Store(store.to_owned()),
            (None, None) => Self::Other(name.to_owned()),
        })
    }
}

/// What a test program is, as far as its area depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Tests inside a library or binary.
    Inside,
    /// A file or folder under `tests/`.
    Integration,
}

/// The area that a test program belongs to.
pub(crate) fn area_of(kind: Option<Kind>, package: &str, origin: Origin, target: &str) -> Area {
    match (kind, origin) {
        (Some(Kind::Store), Origin::Integration) => store_area(package),
        (Some(Kind::EndToEnd), Origin::Integration) if target == FAULTS => Area::Faults,
        (Some(Kind::EndToEnd), Origin::Integration) if target == TELEMETRY => Area::Telemetry,
        (Some(Kind::Servers | Kind::Tool), Origin::Integration) => Area::Faults,
        (Some(Kind::EndToEnd), _) => Area::Browser,
        (Some(Kind::Server), Origin::Integration) if target == ACCOUNTS => Area::Accounts,
        (Some(Kind::Http | Kind::Axum | Kind::Server), Origin::Integration) | (Some(Kind::Example), _) => {
            Area::Http
        }
        _ => Area::Unit,
    }
}

/// The area of the store in `package`: `store=sqlite` for `cloakroom-sqlite`.
pub(crate) fn store_area(package: &str) -> Area {
    Area::Store(package.strip_prefix("cloakroom-").unwrap_or(package).to_owned())
}

/// The name of the server's test that needs databases on servers.
const ACCOUNTS: &str = "accounts";
/// The name of the end-to-end test that does violence to the server.
const FAULTS: &str = "faults";

/// The name of the end-to-end test that a Prometheus takes part in.
const TELEMETRY: &str = "telemetry";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_read_as_they_are_written() {
        for name in [
            "tidy",
            "layers",
            "unit",
            "store=memory",
            "http",
            "accounts",
            "faults",
            "telemetry",
            "browser",
            "secrets",
            "no-such-area",
        ] {
            let area: Area = name.parse().unwrap();
            assert_eq!(area.to_string(), name);
            assert_eq!(matches!(area, Area::Other(_)), name == "no-such-area");
        }
    }

    #[test]
    fn each_test_program_belongs_to_the_area_of_its_subject() {
        let check = |kind, package, origin, target, area: Area| {
            assert_eq!(area_of(kind, package, origin, target), area, "{package} {target}");
        };
        let store = Some(Kind::Store);
        let sqlite = Area::Store("sqlite".to_owned());
        check(store, "cloakroom-sqlite", Origin::Integration, "conformance", sqlite.clone());
        check(store, "cloakroom-sqlite", Origin::Integration, "it", sqlite);
        check(store, "cloakroom-sqlite", Origin::Inside, "cloakroom_sqlite", Area::Unit);
        check(Some(Kind::Servers), "cloakroom-servers", Origin::Integration, "it", Area::Faults);
        check(Some(Kind::Tool), "xtask", Origin::Integration, "servers", Area::Faults);
        check(Some(Kind::Tool), "xtask", Origin::Inside, "xtask", Area::Unit);
        check(Some(Kind::Servers), "cloakroom-servers", Origin::Inside, "cloakroom_servers", Area::Unit);
        check(Some(Kind::Core), "cloakroom-core", Origin::Integration, "it", Area::Unit);
        check(Some(Kind::Axum), "cloakroom-axum", Origin::Inside, "cloakroom_axum", Area::Unit);
        check(Some(Kind::Axum), "cloakroom-axum", Origin::Integration, "it", Area::Http);
        check(Some(Kind::Example), "shop", Origin::Inside, "shop", Area::Http);
        check(Some(Kind::Server), "cloakroom-server", Origin::Integration, "it", Area::Http);
        check(Some(Kind::Server), "cloakroom-server", Origin::Integration, "accounts", Area::Accounts);
        check(Some(Kind::EndToEnd), "e2e", Origin::Integration, "faults", Area::Faults);
        check(Some(Kind::EndToEnd), "e2e", Origin::Integration, "telemetry", Area::Telemetry);
        check(Some(Kind::EndToEnd), "e2e", Origin::Integration, "browser", Area::Browser);
        check(None, "stranger", Origin::Inside, "stranger", Area::Unit);
    }
}
