//! What lies in `deploy/` for Prometheus and Grafana.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder of `deploy/`.
pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// A file of `deploy/`.
pub(crate) fn read(name: &str) -> String {
    let path = directory(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sample configuration of Prometheus.
pub(crate) fn configuration() -> String {
    read("prometheus/prometheus.yml")
}

/// An expression, and where it stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Question {
    pub(crate) place: String,
    pub(crate) expression: String,
}

impl Question {
    /// Whether nothing may be the answer of a healthy server. Alerts that do not fire have none.
    pub(crate) fn may_be_empty(&self) -> bool {
        self.place.starts_with("Cloakroom") || MAY_BE_EMPTY.contains(&self.place.as_str())
    }
}

/// Panels that show what went wrong.
const MAY_BE_EMPTY: &[&str] = &["Errors", "Failures", "Requests that fail, by route"];

/// Every expression of the dashboard and of the rules, as Prometheus is asked it.
pub(crate) fn questions() -> Vec<Question> {
    let dashboard: Value =
        serde_json::from_str(&read("grafana/cloakroom.json")).expect("the dashboard is JSON");
    let mut questions = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let place = panel["title"].as_str().unwrap_or_default().to_owned();
        assert_eq!(panel["type"] == "row", panel["targets"].is_null(), "{place}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{place} says nothing");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{place} has no unit");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
            let expression = target["expr"].as_str().unwrap_or_default();
            assert!(expression.contains("$job"), "{place} shows everybody's: {expression}");
            let expression = expression
                .replace("$job", ".*")
                .replace("$instance", ".*")
                .replace("$__rate_interval", "10s");
            assert!(!expression.contains('$'), "{place}: {expression}");
            questions.push(Question { place: place.clone(), expression });
        }
    }
    for file in ["prometheus/cloakroom-rules.yml", "prometheus/cloakroom-alerts.yml"] {
        let text = read(file);
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let name = line.strip_prefix("- alert: ").or_else(|| line.strip_prefix("- record: "));
            let Some(name) = name else { continue };
            assert_eq!(lines.next(), Some("expr: >-"), "{name}");
            let expression: Vec<&str> = lines.by_ref().take_while(|line| !ends_expression(line)).collect();
            questions.push(Question { place: name.to_owned(), expression: expression.join(" ") });
        }
    }
    questions
}

/// Whether an expression is over at this line: the next field of a rule, or a comment. The next rule follows a field or is
/// begun by a line that is put back by nobody: so each rule here ends with one of these.
fn ends_expression(line: &str) -> bool {
    line.starts_with("for: ") || line.starts_with('#') || line.is_empty()
}

/// The names of all alerts.
pub(crate) fn alerts() -> Vec<String> {
    let text = read("prometheus/cloakroom-alerts.yml");
    let alerts: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    alerts
}

/// The metrics that an expression asks for, as the server names them.
pub(crate) fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | ':');
    let words = expression.split(|character| !is_part(character));
    let names = words
        .filter(|word| word.starts_with("cloakroom_") || word.starts_with("cloakroom:") || *word == "up");
    let parts = ["_bucket", "_count", "_sum"];
    let whole = |name: &str| {
        let of_histogram =
            parts.iter().find_map(|part| name.strip_suffix(part).filter(|name| name.ends_with("_seconds")));
        of_histogram.unwrap_or(name).to_owned()
    };
    names.map(whole).collect()
}

/// Each metric's labels, as the book has them.
pub(crate) fn labels_in_the_book() -> BTreeMap<String, BTreeSet<String>> {
    let book = read("../docs/book/metrics.md");
    let rows = book.lines().filter(|line| line.starts_with("| `cloakroom_"));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        Some((words(cells.get(1)?).pop()?, words(cells.get(3)?).into_iter().collect()))
    })
    .collect()
}

/// The metric of a line of the exposition, and its labels; `None` for a comment.
pub(crate) fn series(line: &str) -> Option<(String, BTreeSet<String>)> {
    let (name, labels) = match line.split_once('{') {
        Some((name, rest)) => (name, rest.split_once('}')?.0),
        None => (line.split_once(' ')?.0, ""),
    };
    let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    let name = metrics_in(name).pop_first()?;
    Some((name, labels.filter(|label| label != "le").collect()))
}
