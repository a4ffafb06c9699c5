//! The table: a line for each thing that is compared, a column for each who is.

use serde::Serialize;

/// One thing, measured of everybody.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    what: String,
    unit: &'static str,
    ours: f64,
    /// By column; those whom it does not apply to are missing.
    others: Vec<(Column, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<f64>,
}

/// Whom we compare with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Column {
    TowerSessions,
    AxumSession,
    ActixSession,
    /// The least that could be done: a look-up alone.
    Floor,
    /// The private jar of the `cookie` crate.
    PrivateJar,
    /// The format of iron-session.
    IronSession,
}

impl Column {
    /// Of those who keep sessions in stores.
    const STORES: [Self; 4] = [Self::TowerSessions, Self::AxumSession, Self::ActixSession, Self::Floor];
    /// Of those who keep them in cookies.
    const COOKIES: [Self; 2] = [Self::PrivateJar, Self::IronSession];

    /// The columns of a table with these lines: a table of cookies has no others.
    fn of(comparisons: &[Comparison]) -> Vec<Self> {
        let is_of_cookies =
            |line: &Comparison| line.others.iter().any(|(column, _)| Self::COOKIES.contains(column));
        let stores = if comparisons.iter().all(is_of_cookies) { &[][..] } else { &Self::STORES };
        let cookies = if comparisons.iter().any(is_of_cookies) { &Self::COOKIES[..] } else { &[] };
        [stores, cookies].concat()
    }

    fn title(self) -> &'static str {
        match self {
            Self::TowerSessions => "tower-sessions",
            Self::AxumSession => "axum_session",
            Self::ActixSession => "actix-session",
            Self::Floor => "floor",
            Self::PrivateJar => "cookie",
            Self::IronSession => "iron-session",
        }
    }
}

impl Comparison {
    pub(crate) fn new(what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self { what: what.into(), unit, ours, others: Vec::new(), reach: None }
    }

    /// Also theirs, if there is one.
    pub(crate) fn theirs(mut self, column: Column, value: Option<f64>) -> Self {
        self.others.extend(value.map(|value| (column, value)));
        self
    }

    /// With a value that ours should not exceed.
    pub(crate) fn at_most(self, reach: f64) -> Self {
        Self { reach: Some(reach), ..self }
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.reach.is_some_and(|reach| rounded(self.ours) > reach)
    }

    pub(crate) fn has_aim(&self) -> bool {
        self.reach.is_some()
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    fn cells(&self, columns: &[Column]) -> Vec<String> {
        let mut cells = vec![self.what.clone(), self.unit.to_owned(), shown(self.ours)];
        for column in columns {
            let value = self.others.iter().find(|(of, _)| of == column);
            cells.push(value.map_or_else(|| "–".to_owned(), |(_, value)| shown(*value)));
        }
        cells.push(self.reach.map_or_else(String::new, |reach| format!("≤ {reach}")));
        cells.push(match (self.reach, self.is_missed()) {
            (None, _) => String::new(),
            (Some(_), false) => "reached".to_owned(),
            (Some(_), true) => "**missed**".to_owned(),
        });
        cells
    }
}

/// The lines of a table, for a terminal.
pub(crate) fn text(comparisons: &[Comparison]) -> String {
    let rows = rows(comparisons);
    let mut lines = String::new();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let cell = cell.replace("**", "");
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        lines.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        lines.push('\n');
    }
    lines
}

/// The same as Markdown.
pub(crate) fn markdown(comparisons: &[Comparison]) -> String {
    let mut lines = String::new();
    for (number, row) in rows(comparisons).into_iter().enumerate() {
        lines.push_str(&format!("| {} |\n", row.join(" | ")));
        if number == 0 {
            lines.push_str(&format!("|---|---|{}\n", "---:|".repeat(row.len().saturating_sub(2))));
        }
    }
    lines
}

fn rows(comparisons: &[Comparison]) -> Vec<Vec<String>> {
    let columns = Column::of(comparisons);
    let mut head = vec!["what".to_owned(), "in".to_owned(), "cloakroom".to_owned()];
    head.extend(columns.iter().map(|column| column.title().to_owned()));
    head.extend(["to reach".to_owned(), String::new()]);
    let mut rows = vec![head];
    rows.extend(comparisons.iter().map(|line| line.cells(&columns)));
    rows
}

/// Three figures, or whole numbers: what a shared machine can tell.
fn shown(value: f64) -> String {
    // The sum of nothing is minus zero.
    let value = value + 0.0;
    let decimals = if value >= 99.95 || value == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// As it is shown: a value that reads like the one to reach has reached it.
fn rounded(value: f64) -> f64 {
    shown(value).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Comparison> {
        vec![
            Comparison::new("warm read", 1.104, "× bare")
                .theirs(Column::TowerSessions, Some(2.451))
                .at_most(1.1),
            Comparison::new("validate", 151.6, "ns").theirs(Column::Floor, Some(40.0)).at_most(150.0),
            Comparison::new("commands", -0.0, "").theirs(Column::ActixSession, None),
        ]
    }

    #[test]
    fn what_reads_like_the_value_to_reach_has_reached_it() {
        let lines = lines();
        assert!(!lines[0].is_missed() && lines[1].is_missed() && !lines[2].is_missed());
    }

    #[test]
    fn a_table_of_cookies_has_columns_of_its_own() {
        let cookie = Comparison::new("cookie", 275.0, "bytes").theirs(Column::IronSession, Some(1012.0));
        let head = |lines: &[Comparison]| markdown(lines).lines().next().map(str::to_owned).unwrap();
        let alone = head(std::slice::from_ref(&cookie));
        assert_eq!(alone, "| what | in | cloakroom | cookie | iron-session | to reach |  |");
        let all = head(&[lines(), vec![cookie]].concat());
        assert!(all.contains("| actix-session | floor | cookie | iron-session |"), "{all}");
    }

    #[test]
    fn a_table_has_a_line_for_each_thing_and_a_column_for_each_library() {
        let table = markdown(&lines());
        let mut table = table.lines();
        let head =
            "| what | in | cloakroom | tower-sessions | axum_session | actix-session | floor | to reach |  |";
        assert_eq!(table.next(), Some(head));
        assert_eq!(table.next(), Some("|---|---|---:|---:|---:|---:|---:|---:|---:|"));
        assert_eq!(table.next(), Some("| warm read | × bare | 1.10 | 2.45 | – | – | – | ≤ 1.1 | reached |"));
        assert_eq!(table.next(), Some("| validate | ns | 152 | – | – | – | 40.0 | ≤ 150 | **missed** |"));
        assert_eq!(table.next(), Some("| commands |  | 0 | – | – | – | – |  |  |"));
        assert_eq!(table.next(), None);
        assert!(text(&lines()).lines().count() == 4 && !text(&lines()).contains('*'));
    }
}
