//! The chapter about metrics and logs says what the code does, and all of it: of a build with all features.

#![cfg(feature = "otlp")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

/// Hears what is described.
#[derive(Default)]
struct Described(Mutex<BTreeMap<String, (&'static str, String)>>);

impl Described {
    fn note(&self, kind: &'static str, name: &KeyName, help: SharedString) {
        let before = self.0.lock().insert(name.as_str().to_owned(), (kind, help.into_owned()));
        assert!(before.is_none(), "{name:?} is described twice");
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("counter", &name, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("gauge", &name, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("histogram", &name, help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of the table that begins with this cell: name, and the cell behind it.
fn rows(first: &str) -> BTreeMap<String, String> {
    let book = std::fs::read_to_string(workspace().join("docs/book/metrics.md")).unwrap();
    let table = book.lines().skip_while(|line| !line.starts_with(&format!("| {first} |"))).skip(2);
    let rows: Vec<(String, String)> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "no row twice");
    rows
}

#[test]
fn the_book_has_a_row_for_each_metric_with_its_type_and_none_besides() {
    let described = Described::default();
    metrics::with_local_recorder(&described, crate::web::describe_metrics);
    let described = described.0.into_inner();
    for (name, (kind, help)) in &described {
        assert!(name.starts_with("cloakroom_"), "{name}");
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        assert!(*kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(help.len() > 15 && !help.contains('\n'), "{name}: {help}");
    }
    let kinds: BTreeMap<String, String> =
        described.into_iter().map(|(name, (kind, _))| (name, kind.to_owned())).collect();
    assert_eq!(rows("metric"), kinds);
}

#[test]
fn every_metric_of_the_contract_exists() {
    let described = rows("metric");
    for name in [
        "sessions_active",
        "sessions_issued_total",
        "sessions_ended_total",
        "validations_total",
        "validation_duration_seconds",
        "store_operation_duration_seconds",
        "store_errors_total",
        "touches_total",
        "conflicts_total",
        "resurrections_blocked_total",
        "near_cache_entries",
        "near_cache_bytes",
        "near_cache_trusted",
        "revocation_lag_seconds",
        "sign_ins_total",
        "unknown_tokens_total",
        "streams_open",
    ] {
        assert!(described.contains_key(&format!("cloakroom_{name}")), "{name}");
    }
}

/// Names in OWASP's logging vocabulary that are used here.
const OWASP: &[&str] = &[
    "authn_login_success",
    "authn_login_successafterfail",
    "authn_login_fail",
    "authn_login_fail_max",
    "authn_login_lock",
    "authn_password_change",
    "authn_password_change_fail",
    "authn_impossible_travel",
    "authn_token_created",
    "authn_token_revoked",
    "authn_token_reuse",
    "authn_token_delete",
    "authz_fail",
    "authz_change",
    "authz_admin",
    "excess_rate_limit_exceeded",
    "excess_sessions_exceeded",
    "input_validation_fail",
    "input_validation_discrete_fail",
    "malicious_extraneous",
    "malicious_csrf",
    "privilege_permissions_changed",
    "sensitive_create",
    "sensitive_read",
    "sensitive_update",
    "sensitive_delete",
    "session_created",
    "session_renewed",
    "session_expired",
    "session_logout",
    "session_use_after_expire",
    "sys_startup",
    "sys_shutdown",
    "sys_restart",
    "sys_crash",
    "sys_monitor_disabled",
    "sys_monitor_enabled",
    "user_created",
    "user_updated",
    "user_archived",
    "user_deleted",
];

#[test]
fn the_book_has_a_row_for_each_name_of_an_event_and_says_whose_word_it_is() {
    let mut used = BTreeSet::new();
    for file in sources(&workspace().join("crates")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        used.extend(literals(code, "event = \""));
        if file.ends_with("cloakroom-audit/src/names.rs") {
            used.extend(literals(code, ": &str = \""));
        }
        if file.ends_with("cloakroom/src/event.rs") {
            used.extend(literals(code, "=> \"").into_iter().filter(|name| name.contains('_')));
        }
    }
    assert!(used.len() > 40, "{used:?}");
    let rows = rows("event");
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), used);
    for (name, vocabulary) in &rows {
        let word = if OWASP.contains(&name.as_str()) { "OWASP" } else { "ours" };
        assert_eq!(vocabulary, word, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    }
}

/// Every text in quotes behind `before`.
fn literals(code: &str, before: &str) -> Vec<String> {
    code.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// All source files below the `src` folders of `crates`.
fn sources(crates: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        crates.read_dir().unwrap().map(|entry| entry.unwrap().path().join("src")).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
